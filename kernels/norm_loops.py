"""The compiled loops behind `norm.py`; a file of their own, because importing it imports numba (0.5 s).

A sum runs over blocks: inside one the compiler may reorder the additions, and so makes 8 to 32 at once; the sums of
blocks are added in double precision.  A block is an array of its own, counted from 0: an index that numba cannot see
to be 0 or more costs a comparison an element, and with it the vectors.
"""

import numpy as np

from tinygen.kernels.compiled import njit

BLOCK = 2048  # elements of a row summed in its own precision
ROWS = 128  # rows whose part of a column sum is added up before it joins the total
SUMS = {"reassoc", "contract", "nsz"}  # nan and inf stay what they are


@njit(cache=True, fastmath=SUMS, error_model="numpy")
def block_sum(x):
    total = x.dtype.type(0)
    for i in range(x.size):
        total += x[i]
    return total


@njit(cache=True, fastmath=SUMS, error_model="numpy")
def block_squares(x, centre):
    total = x.dtype.type(0)
    for i in range(x.size):
        d = x[i] - centre
        total += d * d
    return total


@njit(cache=True, fastmath=SUMS, error_model="numpy")
def block_products(g, x, centre):
    """Σ g and Σ g (x - centre)"""
    total, product = g.dtype.type(0), g.dtype.type(0)
    for i in range(x.size):
        total += g[i]
        product += g[i] * (x[i] - centre)
    return total, product


@njit(cache=True, fastmath=SUMS, error_model="numpy")
def block_weighted(g, x, weight, centre):
    """Σ h and Σ h (x - centre), h = g weight"""
    total, product = g.dtype.type(0), g.dtype.type(0)
    for i in range(x.size):
        h = g[i] * weight[i]
        total += h
        product += h * (x[i] - centre)
    return total, product


@njit(cache=True, error_model="numpy")
def row_moments(x, r):
    """The mean of row r and the sum of squares about it"""
    n = x.shape[1]
    total = 0.0
    for start in range(0, n, BLOCK):
        total += block_sum(x[r, start : start + BLOCK])
    centre = x.dtype.type(total / n)
    total = 0.0
    for start in range(0, n, BLOCK):
        total += block_squares(x[r, start : start + BLOCK], centre)
    return centre, total


@njit(cache=True, error_model="numpy")
def moments(x, mean, squares):
    """x (R, S), the others (R,)"""
    for r in range(x.shape[0]):
        mean[r], squares[r] = row_moments(x, r)


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def scale_rows(x, centre, scale, shift, y):
    """y = (x - centre) scale + shift.  x, y (R, S), the others (R,)"""
    for r in range(x.shape[0]):
        m, a, b = centre[r], scale[r], shift[r]
        for i in range(x.shape[1]):
            y[r, i] = (x[r, i] - m) * a + b


@njit(cache=True, error_model="numpy")
def products(g, x, centre, totals, products):
    """Σ g and Σ g (x - centre) of each row.  g, x (R, S), the others (R,)"""
    n = x.shape[1]
    for r in range(x.shape[0]):
        total = product = 0.0
        for start in range(0, n, BLOCK):
            t, p = block_products(g[r, start : start + BLOCK], x[r, start : start + BLOCK], centre[r])
            total += t
            product += p
        totals[r], products[r] = total, product


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def combine_rows(g, x, centre, a, b, c, gx):
    """gx = a g + b (x - centre) + c.  g, x, gx (R, S), the others (R,)"""
    for r in range(x.shape[0]):
        m, ar, br, cr = centre[r], a[r], b[r], c[r]
        for i in range(x.shape[1]):
            gx[r, i] = ar * g[r, i] + (br * (x[r, i] - m) + cr)


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def layer_norm(x, weight, bias, eps, y, mean, var):
    """x, y (R, D); weight, bias (D,); mean, var (R,)"""
    n = x.shape[1]
    for r in range(x.shape[0]):
        m, squares = row_moments(x, r)
        v = x.dtype.type(squares / n)
        mean[r], var[r] = m, v
        scale = x.dtype.type(1) / np.sqrt(v + eps)
        for i in range(n):
            y[r, i] = (x[r, i] - m) * scale * weight[i] + bias[i]


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def layer_norm_grad(g, x, weight, mean, inverse, gx, gweight, gbias):
    """g, x, gx (R, D); weight, gweight, gbias (D,); mean, inverse = 1 / σ (R,).  gweight and gbias are zeros before."""
    rows, n = x.shape
    part_weight, part_bias = np.zeros_like(gweight), np.zeros_like(gbias)
    for r in range(rows):
        m, scale = mean[r], inverse[r]
        total = product = 0.0
        for start in range(0, n, BLOCK):
            t, p = block_weighted(
                g[r, start : start + BLOCK], x[r, start : start + BLOCK], weight[start : start + BLOCK], m
            )
            total += t
            product += p
        b = x.dtype.type(-product * scale * scale * scale / n)
        c = x.dtype.type(-total * scale / n)
        for i in range(n):
            d = x[r, i] - m
            gx[r, i] = scale * weight[i] * g[r, i] + (b * d + c)
            part_weight[i] += g[r, i] * (d * scale)
            part_bias[i] += g[r, i]
        if r % ROWS == ROWS - 1 or r == rows - 1:
            for i in range(n):
                gweight[i] += part_weight[i]
                gbias[i] += part_bias[i]
                part_weight[i] = part_bias[i] = 0
