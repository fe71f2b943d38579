"""The compiled loops behind `pool.py` and `scatter.py`; importing it imports numba (0.5 s)."""

import numpy as np

from tinygen.kernels.runtime.njit import njit
from tinygen.kernels.runtime.with_numba import prange


@njit(cache=True, parallel=True, error_model="numpy")
def max_pool(x, rows, columns, kernel, stride, padding, dilation, best, index):
    """One window after the other, its pixels from left to right and down; those in the padding are left out.

    x (M, H, W), best and index (M, P, Q); rows (P,) and columns (Q,): the first place of a window in the image
    """
    M, H, W = x.shape
    for m in prange(M):
        for p in range(best.shape[1]):
            for q in range(best.shape[2]):
                most, place = x.dtype.type(-np.inf), rows[p] * W + columns[q]
                for r in range(kernel[0]):
                    h = p * stride[0] - padding[0] + r * dilation[0]
                    if h < 0 or h >= H:
                        continue
                    for s in range(kernel[1]):
                        w = q * stride[1] - padding[1] + s * dilation[1]
                        if 0 <= w < W:
                            value = x[m, h, w]
                            better = value > most or value != value
                            most = value if better else most
                            place = h * W + w if better else place
                best[m, p, q], index[m, p, q] = most, place


@njit(cache=True, parallel=True, error_model="numpy")
def add_at(g, index, gx):
    """gx[m, index[m, i]] += g[m, i].  g, index (M, P Q), gx (M, H W); every index is inside"""
    for m in prange(g.shape[0]):
        for i in range(g.shape[1]):
            gx[m, index[m, i]] += g[m, i]


@njit(cache=True, error_model="numpy")
def add_rows(rows, x, out):
    """out[rows[i]] += x[i].  rows (n,), all inside; x (n, D), out (R, D)"""
    for i in range(rows.size):
        to = out[rows[i]]
        for j in range(x.shape[1]):
            to[j] += x[i, j]


@njit(cache=True, parallel=True, error_model="numpy")
def nearest(x, rows, columns, y):
    """y[m, p, q] = x[m, rows[p], columns[q]].  x (M, H, W), y (M, P, Q); every index is inside"""
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
