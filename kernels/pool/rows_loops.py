"""The compiled loops of `rows.py`.  Importing this file imports numba (0.5 s)."""

import numpy as np

from tinygen.kernels.runtime.njit import njit
from tinygen.kernels.runtime.with_numba import prange


@njit(cache=True, parallel=True, error_model="numpy")
def nearest(x, rows, columns, y):
    """y[m, p, q] = x[m, rows[p], columns[q]].  x (M, H, W), y (M, P, Q); all indices are valid"""
    for m in prange(x.shape[0]):
        for p in range(rows.size):
            if p and rows[p] == rows[p - 1]:
                for q in range(columns.size):
                    y[m, p, q] = y[m, p - 1, q]
            else:
                for q in range(columns.size):
                    y[m, p, q] = x[m, rows[p], columns[q]]


@njit(cache=True, error_model="numpy")
def add_row(g, total):
    for q in range(total.size):
        total[q] += g[q]


@njit(cache=True, error_model="numpy")
def sum_pairs(total, gx):
    """gx[w] = total[2 w] + total[2 w + 1]"""
    for w in range(gx.size):
        gx[w] = total[2 * w] + total[2 * w + 1]


@njit(cache=True, error_model="numpy")
def sum_parts(total, starts, gx):
    """gx[w] = the sum of total from starts[w] to starts[w + 1]"""
    for w in range(gx.size):
        part = 0.0
        for q in range(starts[w], starts[w + 1]):
            part += total[q]
        gx[w] = part


@njit(cache=True, parallel=True, error_model="numpy")
def nearest_grad(g, rows, columns, gx):
    """gx[m, h, w] = the sum of g[m] from rows[h] to rows[h + 1] and from columns[w] to columns[w + 1].

    g (M, P, Q), gx (M, H, W), rows (H + 1,), columns (W + 1,): ascending, the last ones P and Q
    """
    pairs = True
    for w in range(columns.size):
        pairs = pairs and columns[w] == 2 * w
    for m in prange(g.shape[0]):
        total = np.empty(g.shape[2], g.dtype)
        for h in range(gx.shape[1]):
            total[:] = 0
            for p in range(rows[h], rows[h + 1]):
                add_row(g[m, p], total)
            if pairs:
                sum_pairs(total, gx[m, h])
            else:
                sum_parts(total, columns, gx[m, h])
