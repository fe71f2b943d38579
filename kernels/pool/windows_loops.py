"""The compiled loops of `windows.py`.  Importing this file imports numba (0.5 s)."""

import numpy as np

from tinygen.kernels.runtime.njit import njit
from tinygen.kernels.runtime.with_numba import prange


@njit(cache=True, parallel=True, error_model="numpy")
def max_pool(x, rows, columns, kernel, stride, padding, dilation, best, index):
    """One window after another, its pixels row by row; pixels in the padding are skipped.

    x (M, H, W), best and index (M, P, Q); rows (P,) and columns (Q,): the first pixel of each window inside the image
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
    """gx[m, index[m, i]] += g[m, i].  g, index (M, P Q), gx (M, H W); all indices are valid"""
    for m in prange(g.shape[0]):
        for i in range(g.shape[1]):
            gx[m, index[m, i]] += g[m, i]
