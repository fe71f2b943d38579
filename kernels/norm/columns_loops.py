"""The compiled loops of `columns.py`.  Importing this file imports numba (0.5 s).

Each iteration takes PIECE columns through all rows.  Column sums are first taken over ROWS rows in their own precision,
then added in double precision.
"""

import numpy as np

from tinygen.kernels.norm.loops import ROWS, difference
from tinygen.kernels.runtime.njit import njit
from tinygen.kernels.runtime.with_numba import prange

PIECE = 128  # columns
_options = dict(cache=True, error_model="numpy", fastmath={"contract"})


@njit(**_options)
def _add_differences(x, origin, total):
    for i in range(x.size):
        total[i] += difference(x[i], origin[i])


@njit(**_options)
def _add_squares(x, center, total):
    for i in range(x.size):
        d = x[i] - center[i]
        total[i] += d * d


@njit(**_options)
def _add_products(g, x, center, total, product):
    for i in range(x.size):
        total[i] += g[i]
        product[i] += g[i] * (x[i] - center[i])


@njit(**_options)
def _scale(x, center, scale, shift, y):
    for i in range(x.size):
        y[i] = (x[i] - center[i]) * scale[i] + shift[i]


@njit(**_options)
def _combine(g, x, center, a, b, c, gx):
    for i in range(x.size):
        gx[i] = a[i] * (g[i] - c[i]) + b[i] * (x[i] - center[i])


@njit(**_options)
def _flush(part, total):
    """total += part, and part = 0"""
    for i in range(part.size):
        total[i] += part[i]
        part[i] = 0


@njit(**_options)
def _normalize_piece(x, own, weight, bias, eps, y, mean, var):
    """The columns `own` of x and y; the others have only those.

    The first number of a column is subtracted from all, as in row_moments: equal numbers have an exact mean."""
    rows, n = len(x), mean.size
    part, scale, total = np.zeros(n, x.dtype), np.empty(n, x.dtype), np.zeros(n)
    scale[:] = x[0, own]
    for i in range(n):
        scale[i] = scale[i] if np.isfinite(scale[i]) else 0
    for r in range(rows):
        _add_differences(x[r, own], scale, part)
        if r % ROWS == ROWS - 1 or r == rows - 1:
            _flush(part, total)
    for i in range(n):
        mean[i] = scale[i] + total[i] / rows
        total[i] = 0
    for r in range(rows):
        _add_squares(x[r, own], mean, part)
        if r % ROWS == ROWS - 1 or r == rows - 1:
            _flush(part, total)
    for i in range(n):
        var[i] = total[i] / rows
        scale[i] = weight[i] / np.sqrt(var[i] + eps)
    for r in range(rows):
        _scale(x[r, own], mean, scale, bias, y[r, own])


@njit(**_options)
def _grad_piece(g, x, own, weight, mean, var, eps, gx, gweight, gbias):
    """The columns `own` of g, x and gx; the others have only those."""
    rows, n = len(x), mean.size
    part, part_product = np.zeros(n, x.dtype), np.zeros(n, x.dtype)
    total, product = np.zeros(n), np.zeros(n)
    a, b, c = np.empty(n, x.dtype), np.empty(n, x.dtype), np.empty(n, x.dtype)
    for r in range(rows):
        _add_products(g[r, own], x[r, own], mean, part, part_product)
        if r % ROWS == ROWS - 1 or r == rows - 1:
            _flush(part, total)
            _flush(part_product, product)
    for i in range(n):
        inverse = x.dtype.type(1) / np.sqrt(var[i] + eps)
        gweight[i], gbias[i] = product[i] * inverse, total[i]
        a[i] = weight[i] * inverse
        b[i] = -product[i] / rows * weight[i] * inverse * inverse * inverse
        c[i] = total[i] / rows
    for r in range(rows):
        _combine(g[r, own], x[r, own], mean, a, b, c, gx[r, own])


@njit(cache=True, parallel=True, error_model="numpy")
def batch_norm(x, weight, bias, eps, y, mean, var):
    """x, y (R, C); the others (C,)"""
    columns = x.shape[1]
    for piece in prange((columns + PIECE - 1) // PIECE):
        own = slice(piece * PIECE, min(piece * PIECE + PIECE, columns))
        _normalize_piece(x, own, weight[own], bias[own], eps, y, mean[own], var[own])


@njit(cache=True, parallel=True, error_model="numpy")
def batch_norm_grad(g, x, weight, mean, var, eps, gx, gweight, gbias):
    """g, x, gx (R, C); the others (C,)"""
    columns = x.shape[1]
    for piece in prange((columns + PIECE - 1) // PIECE):
        own = slice(piece * PIECE, min(piece * PIECE + PIECE, columns))
        _grad_piece(g, x, own, weight[own], mean[own], var[own], eps, gx, gweight[own], gbias[own])
