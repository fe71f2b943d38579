"""The compiled loops of the gradients of a product.  Importing this file imports numba (0.5 s)."""

from tinygen.kernels.elementwise.loops import scale_row
from tinygen.kernels.reduce.loops import BLOCK, SUMS
from tinygen.kernels.runtime.njit import njit
from tinygen.kernels.runtime.with_numba import prange


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def _multiply_and_add(g, x, other, gx, total):
    """gx = g other, and total += g x"""
    for i in range(g.size):
        gx[i] = g[i] * other[i]
        total[i] += g[i] * x[i]


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def _add_products(g, x, total):
    for i in range(g.size):
        total[i] += g[i] * x[i]


@njit(cache=True, parallel=True, error_model="numpy")
def multiply_grad_rows(g, x, other, rows, gx, parts):
    """g, x, gx (Q E, C), other (Q, C); parts[q, p] (Q, P, C) = Σ g x of the p-th block of `rows` of the E rows of q"""
    Q, P = parts.shape[:2]
    E = g.shape[0] // Q
    for item in prange(Q * P):
        q, p = item // P, item % P
        parts[q, p] = 0
        for r in range(q * E + p * rows, q * E + min(p * rows + rows, E)):
            _multiply_and_add(g[r], x[r], other[q], gx[r], parts[q, p])


@njit(cache=True, parallel=True, error_model="numpy")
def products_of_rows(g, x, rows, parts):
    """The sums of multiply_grad_rows alone"""
    Q, P = parts.shape[:2]
    E = g.shape[0] // Q
    for item in prange(Q * P):
        q, p = item // P, item % P
        parts[q, p] = 0
        for r in range(q * E + p * rows, q * E + min(p * rows + rows, E)):
            _add_products(g[r], x[r], parts[q, p])


@njit(cache=True, fastmath=SUMS, error_model="numpy")
def _block_of_products(g, x):
    total = g.dtype.type(0)
    for i in range(g.size):
        total += g[i] * x[i]
    return total


@njit(cache=True, error_model="numpy")
def _sum_of_products(g, x):
    """Σ g x, in blocks"""
    total = 0.0
    for start in range(0, g.size, BLOCK):
        total += _block_of_products(g[start : start + BLOCK], x[start : start + BLOCK])
    return total


@njit(cache=True, parallel=True, error_model="numpy")
def multiply_grad_numbers(g, x, other, gx, totals):
    """g, x, gx (R, C), other (B,), of which row r meets number r % B; totals (R,) = Σ g x of each row"""
    for r in prange(g.shape[0]):
        scale_row(g[r], other[r % other.size], gx[r])
        totals[r] = _sum_of_products(g[r], x[r])


@njit(cache=True, parallel=True, error_model="numpy")
def products_of_numbers(g, x, totals):
    """The sums of multiply_grad_numbers alone"""
    for r in prange(g.shape[0]):
        totals[r] = _sum_of_products(g[r], x[r])
