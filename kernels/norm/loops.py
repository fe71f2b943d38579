"""The compiled loops of the norms.  Importing this file imports numba (0.5 s).

Sums run over blocks as in `reduce/loops.py`.  Each thread takes a share of the rows.
"""

import numpy as np

from tinygen.kernels.elementwise.loops import ONE, logistic
from tinygen.kernels.reduce.loops import BLOCK, SUMS
from tinygen.kernels.runtime.njit import njit
from tinygen.kernels.runtime.with_numba import prange

ROWS = 128  # column sums are first taken over so many rows, then added to the total


@njit(cache=True, error_model="numpy")
def difference(a, b):
    """a - b, rounded before it is added: with SUMS the compiler could subtract b from the total instead"""
    return a - b


@njit(cache=True, fastmath=SUMS, error_model="numpy")
def block_sum_from(x, origin):
    """Σ (x - origin)"""
    total = x.dtype.type(0)
    for i in range(x.size):
        total += difference(x[i], origin)
    return total


@njit(cache=True, fastmath=SUMS, error_model="numpy")
def block_squares(x, center):
    """Σ (x - center)²"""
    total = x.dtype.type(0)
    for i in range(x.size):
        d = x[i] - center
        total += d * d
    return total


@njit(cache=True, fastmath=SUMS, error_model="numpy")
def block_products(g, x, center):
    """Σ g and Σ g (x - center)"""
    total, product = g.dtype.type(0), g.dtype.type(0)
    for i in range(x.size):
        total += g[i]
        product += g[i] * (x[i] - center)
    return total, product


@njit(cache=True, fastmath=SUMS, error_model="numpy")
def block_weighted(g, x, weight, center):
    """Σ h and Σ h (x - center), h = g weight"""
    total, product = g.dtype.type(0), g.dtype.type(0)
    for i in range(x.size):
        h = g[i] * weight[i]
        total += h
        product += h * (x[i] - center)
    return total, product


@njit(cache=True, error_model="numpy")
def row_moments(x):
    """The mean of a row and the sum of squares about it.

    The loop sums the differences to the first number (to 0 if it is not finite).  If all numbers are equal, these are 0
    and the mean is exact.  In other rows nothing is lost: the first number is at most sqrt(n) deviations from the mean.
    """
    n = x.size
    origin = x[0] if np.isfinite(x[0]) else x.dtype.type(0)
    total = 0.0
    for start in range(0, n, BLOCK):
        total += block_sum_from(x[start : start + BLOCK], origin)
    center = x.dtype.type(origin + total / n)
    total = 0.0
    for start in range(0, n, BLOCK):
        total += block_squares(x[start : start + BLOCK], center)
    return center, total


@njit(cache=True, error_model="numpy")
def row_products(g, x, center):
    """Σ g and Σ g (x - center) of a row"""
    total = product = 0.0
    for start in range(0, x.size, BLOCK):
        t, p = block_products(g[start : start + BLOCK], x[start : start + BLOCK], center)
        total += t
        product += p
    return total, product


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def scale_row(x, m, a, b, y):
    """y = (x - m) a + b"""
    for i in range(x.size):
        y[i] = (x[i] - m) * a + b


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def combine_row(g, x, m, a, b, c, gx):
    """gx = a g + b (x - m) + c"""
    for i in range(x.size):
        gx[i] = a * g[i] + (b * (x[i] - m) + c)


@njit(cache=True, parallel=True, error_model="numpy")
def moments(x, mean, squares):
    """x (R, S), the others (R,)"""
    for r in prange(x.shape[0]):
        mean[r], squares[r] = row_moments(x[r])


@njit(cache=True, parallel=True, error_model="numpy")
def scale_rows(x, center, scale, shift, y):
    """y = (x - center) scale + shift.  x, y (R, S), the others (R,)"""
    for r in prange(x.shape[0]):
        scale_row(x[r], center[r], scale[r], shift[r], y[r])


@njit(cache=True, parallel=True, error_model="numpy")
def products(g, x, center, totals, products):
    """Σ g and Σ g (x - center) of each row.  g, x (R, S), the others (R,)"""
    for r in prange(x.shape[0]):
        totals[r], products[r] = row_products(g[r], x[r], center[r])


@njit(cache=True, parallel=True, error_model="numpy")
def combine_rows(g, x, center, a, b, c, gx):
    """gx = a g + b (x - center) + c.  g, x, gx (R, S), the others (R,)"""
    for r in prange(x.shape[0]):
        combine_row(g[r], x[r], center[r], a[r], b[r], c[r], gx[r])


@njit(cache=True, parallel=True, error_model="numpy")
def group_norm(x, weight, bias, eps, y, mean, var):
    """A row has C channels, each with its weight and bias.  x, y (R, C S); weight, bias (R, C); mean, var (R,)"""
    C = weight.shape[1]
    S = x.shape[1] // C
    for r in prange(x.shape[0]):
        m, squares = row_moments(x[r])
        v = x.dtype.type(squares / x.shape[1])
        mean[r], var[r] = m, v
        inverse = x.dtype.type(1) / np.sqrt(v + eps)
        for c in range(C):
            own = slice(c * S, (c + 1) * S)
            scale_row(x[r, own], m, inverse * weight[r, c], bias[r, c], y[r, own])


@njit(cache=True, parallel=True, error_model="numpy")
def group_norm_grad(g, x, weight, mean, inverse, gx, gweight, gbias):
    """g, x, gx (R, C S); weight, gweight, gbias (R, C); mean, inverse = 1 / σ (R,)"""
    n, C = x.shape[1], weight.shape[1]
    S = n // C
    for r in prange(x.shape[0]):
        m, scale = mean[r], inverse[r]
        total = product = 0.0
        for c in range(C):
            own = slice(c * S, (c + 1) * S)
            t, p = row_products(g[r, own], x[r, own], m)
            gweight[r, c], gbias[r, c] = p * scale, t
            total += t * weight[r, c]
            product += p * weight[r, c]
        b = x.dtype.type(-product * scale * scale * scale / n)
        shift = x.dtype.type(-total * scale / n)
        for c in range(C):
            own = slice(c * S, (c + 1) * S)
            combine_row(g[r, own], x[r, own], m, scale * weight[r, c], b, shift, gx[r, own])


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def scale_silu_row(x, m, a, b, out):
    """silu(y), y = (x - m) a + b"""
    for i in range(x.size):
        y = (x[i] - m) * a + b
        out[i] = y * logistic(y)


@njit(cache=True, fastmath=SUMS, error_model="numpy")
def block_silu_products(g, x, m, a, b, h):
    """Store h = g silu'((x - m) a + b).  -> Σ h, Σ h (x - m)"""
    total, product = g.dtype.type(0), g.dtype.type(0)
    for i in range(x.size):
        d = x[i] - m
        y = d * a + b
        p = logistic(y)
        slope = g[i] * (p * (ONE + y * (ONE - p)))
        h[i] = slope
        total += slope
        product += slope * d
    return total, product


@njit(cache=True, error_model="numpy")
def row_silu_products(g, x, m, a, b, h):
    """block_silu_products for a row of any length"""
    total = product = 0.0
    for start in range(0, x.size, BLOCK):
        own = slice(start, start + BLOCK)
        t, p = block_silu_products(g[own], x[own], m, a, b, h[own])
        total += t
        product += p
    return total, product


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def combine_row_in_place(x, m, a, b, c, gx):
    """combine_row with g stored in gx: given both, the compiler could not know that they may be one array"""
    for i in range(x.size):
        gx[i] = a * gx[i] + (b * (x[i] - m) + c)


@njit(cache=True, parallel=True, error_model="numpy")
def group_norm_silu(x, weight, bias, eps, y, mean, var):
    """As group_norm, followed by SiLU"""
    C = weight.shape[1]
    S = x.shape[1] // C
    for r in prange(x.shape[0]):
        m, squares = row_moments(x[r])
        v = x.dtype.type(squares / x.shape[1])
        mean[r], var[r] = m, v
        inverse = x.dtype.type(1) / np.sqrt(v + eps)
        for c in range(C):
            own = slice(c * S, (c + 1) * S)
            scale_silu_row(x[r, own], m, inverse * weight[r, c], bias[r, c], y[r, own])


@njit(cache=True, parallel=True, error_model="numpy")
def group_norm_silu_grad(g, x, weight, bias, mean, inverse, gx, gweight, gbias):
    """As group_norm_grad; gx holds the gradient of SiLU in between.  bias (R, C), the others as there"""
    n, C = x.shape[1], weight.shape[1]
    S = n // C
    for r in prange(x.shape[0]):
        m, scale = mean[r], inverse[r]
        total = product = 0.0
        for c in range(C):
            own = slice(c * S, (c + 1) * S)
            t, p = row_silu_products(g[r, own], x[r, own], m, scale * weight[r, c], bias[r, c], gx[r, own])
            gweight[r, c], gbias[r, c] = p * scale, t
            total += t * weight[r, c]
            product += p * weight[r, c]
        b = x.dtype.type(-product * scale * scale * scale / n)
        shift = x.dtype.type(-total * scale / n)
        for c in range(C):
            own = slice(c * S, (c + 1) * S)
            combine_row_in_place(x[r, own], m, scale * weight[r, c], b, shift, gx[r, own])


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def scale_each(x, m, scale, weight, bias, y):
    """y = (x - m) scale weight + bias; m and scale are numbers, the others arrays of one size"""
    for i in range(x.size):
        y[i] = (x[i] - m) * scale * weight[i] + bias[i]


@njit(cache=True, parallel=True, error_model="numpy")
def layer_norm(x, weight, bias, eps, y, mean, var):
    """x, y (R, D); weight, bias (D,); mean, var (R,)"""
    for r in prange(x.shape[0]):
        m, squares = row_moments(x[r])
        v = x.dtype.type(squares / x.shape[1])
        mean[r], var[r] = m, v
        scale_each(x[r], m, x.dtype.type(1) / np.sqrt(v + eps), weight, bias, y[r])


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def combine_each(g, x, m, scale, weight, b, c, gx, gweight, gbias):
    """gx = scale weight g + b (x - m) + c, and add the row to the column sums"""
    for i in range(x.size):
        d = x[i] - m
        gx[i] = scale * weight[i] * g[i] + (b * d + c)
        gweight[i] += g[i] * (d * scale)
        gbias[i] += g[i]


@njit(cache=True, error_model="numpy")
def layer_norm_grad_rows(g, x, weight, mean, inverse, gx, gweight, gbias):
    """layer_norm_grad for some rows; gweight and gbias start as zeros"""
    rows, n = x.shape
    part_weight, part_bias = np.zeros_like(gweight), np.zeros_like(gbias)
    for r in range(rows):
        m, scale = mean[r], inverse[r]
        total = product = 0.0
        for start in range(0, n, BLOCK):
            own = slice(start, start + BLOCK)
            t, p = block_weighted(g[r, own], x[r, own], weight[own], m)
            total += t
            product += p
        b = x.dtype.type(-product * scale * scale * scale / n)
        c = x.dtype.type(-total * scale / n)
        combine_each(g[r], x[r], m, scale, weight, b, c, gx[r], part_weight, part_bias)
        if r % ROWS == ROWS - 1 or r == rows - 1:
            for i in range(n):
                gweight[i] += part_weight[i]
                gbias[i] += part_bias[i]
                part_weight[i] = part_bias[i] = 0


@njit(cache=True, parallel=True, error_model="numpy")
def layer_norm_grad(g, x, weight, mean, inverse, gx, gweight, gbias):
    """g, x, gx (R, D); weight (D,); mean, inverse = 1 / σ (R,); gweight, gbias (parts, D) start as zeros"""
    rows, parts = len(x), len(gweight)
    for part in prange(parts):
        own = slice(rows * part // parts, rows * (part + 1) // parts)
        layer_norm_grad_rows(
            g[own], x[own], weight, mean[own], inverse[own], gx[own], gweight[part], gbias[part]
        )
