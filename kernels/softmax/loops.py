"""The compiled loops of softmax.  Importing this file imports numba (0.5 s).

Each loop takes one float32 row at a time, which stays in the cache between its passes; each thread takes a share of the
rows.  Sums run over blocks as in `reduce/loops.py`.
"""

import numpy as np

from tinygen.kernels.elementwise.loops import decay
from tinygen.kernels.reduce.loops import BLOCK, SUMS, block_sum
from tinygen.kernels.runtime.njit import njit
from tinygen.kernels.runtime.with_numba import prange

F = np.float32
SIGN, MAGNITUDE = np.int32(31), np.int32(2**31 - 1)


@njit(cache=True, error_model="numpy")
def largest(x):
    """The maximum, found by comparing the bits as integers: a compiler may vectorize that, but not floats with their
    nan.

    The bits of positive floats are ordered like the floats, those of negative ones in reverse, so all bits but the sign
    are flipped.  A nan comes out as the largest; a nan with its sign set comes back later through exp(nan - m).
    """
    m = np.int32(-(2**31))
    for i in range(x.size):
        bits = np.float32(x[i]).view(np.int32)
        m = max(m, np.int32(bits ^ np.int32(np.int32(bits >> SIGN) & MAGNITUDE)))
    return np.int32(m ^ np.int32(np.int32(m >> SIGN) & MAGNITUDE)).view(np.float32)


@njit(cache=True, fastmath=SUMS, error_model="numpy")
def block_exp(x, m):
    """Σ exp(x - m), with m ≥ every x"""
    total = F(0)
    for i in range(x.size):
        total += decay(x[i] - m)
    return total


@njit(cache=True, fastmath=SUMS, error_model="numpy")
def block_exp_to(x, m, y):
    """y = exp(x - m).  -> Σ y"""
    total = F(0)
    for i in range(x.size):
        e = decay(x[i] - m)
        y[i] = e
        total += e
    return total


@njit(cache=True, fastmath=SUMS, error_model="numpy")
def block_dot(g, y):
    """Σ g y"""
    total = F(0)
    for i in range(y.size):
        total += g[i] * y[i]
    return total


@njit(cache=True, error_model="numpy")
def sum_exp(x, m):
    """Σ exp(x - m) over a row of any length"""
    total = 0.0
    for start in range(0, x.size, BLOCK):
        total += block_exp(x[start : start + BLOCK], m)
    return total


@njit(cache=True, parallel=True, fastmath={"contract"}, error_model="numpy")
def softmax(x, y):
    """x, y (R, C)"""
    for r in prange(x.shape[0]):
        m, total = largest(x[r]), 0.0
        for start in range(0, x.shape[1], BLOCK):
            total += block_exp_to(x[r, start : start + BLOCK], m, y[r, start : start + BLOCK])
        inverse = F(1 / total)
        for i in range(x.shape[1]):
            y[r, i] *= inverse


@njit(cache=True, parallel=True, fastmath={"contract"}, error_model="numpy")
def softmax_grad(g, y, gx):
    """gx = y (g - Σ g y).  All (R, C)"""
    for r in prange(y.shape[0]):
        total = 0.0
        for start in range(0, y.shape[1], BLOCK):
            total += block_dot(g[r, start : start + BLOCK], y[r, start : start + BLOCK])
        projection = F(total)
        for i in range(y.shape[1]):
            gx[r, i] = y[r, i] * (g[r, i] - projection)


@njit(cache=True, parallel=True, fastmath={"contract"}, error_model="numpy")
def log_softmax(x, y):
    """x, y (R, C)"""
    for r in prange(x.shape[0]):
        m = largest(x[r])
        log_sum = F(np.log(sum_exp(x[r], m)))
        for i in range(x.shape[1]):
            y[r, i] = (x[r, i] - m) - log_sum


@njit(cache=True, parallel=True, fastmath={"contract"}, error_model="numpy")
def log_softmax_grad(g, y, gx):
    """gx = g - exp(y) Σ g.  All (R, C)"""
    for r in prange(y.shape[0]):
        total = 0.0
        for start in range(0, y.shape[1], BLOCK):
            total += block_sum(g[r, start : start + BLOCK])
        spread = F(total)
        for i in range(y.shape[1]):
            gx[r, i] = g[r, i] - decay(y[r, i]) * spread
