"""The compiled loops behind `pool.py` and `scatter.py`; importing it imports numba (0.5 s)."""

import numpy as np

from tinygen.kernels.compiled import njit


@njit(cache=True, error_model="numpy")
def max_pool(x, rows, columns, kernel, stride, padding, dilation, best, index):
    """One window after the other, its pixels from left to right and down; those in the padding are left out.

    x (M, H, W), best and index (M, P, Q); rows (P,) and columns (Q,): the first place of a window in the image
    """
    M, H, W = x.shape
    for m in range(M):
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


@njit(cache=True, error_model="numpy")
def add_at(g, index, gx):
    """gx[m, index[m, i]] += g[m, i].  g, index (M, P Q), gx (M, H W); every index is inside"""
    for m in range(g.shape[0]):
        for i in range(g.shape[1]):
            gx[m, index[m, i]] += g[m, i]


@njit(cache=True, error_model="numpy")
def add_rows(rows, x, out):
    """out[rows[i]] += x[i].  rows (n,), all inside; x (n, D), out (R, D)"""
    for i in range(rows.size):
        to = out[rows[i]]
        for j in range(x.shape[1]):
            to[j] += x[i, j]
