"""The compiled loops behind `softmax.py` and `cross_entropy`; importing it imports numba (0.5 s).

One row at a time, float32, in the cache between its passes; each thread takes a share of the rows.
Sums run over blocks as in `norm/loops.py`.
"""

import numpy as np

from tinygen.kernels.elementwise.loops import decay
from tinygen.kernels.norm.loops import BLOCK, SUMS, block_sum
from tinygen.kernels.runtime.njit import njit
from tinygen.kernels.runtime.with_numba import prange

F = np.float32
SIGN, MAGNITUDE = np.int32(31), np.int32(2**31 - 1)
PLACES = 256  # of one image, a block of which one thread takes


@njit(cache=True, error_model="numpy")
def largest(x):
    """The maximum, of the bits as whole numbers: those a compiler may compare eight at once, floats (nan!) it may not.

    The bits of positive floats are in the order of the floats, those of negative ones in the opposite order, so all but
    the sign are flipped.  A nan comes out as largest, or (with its sign set) comes back through exp(nan - m).
    """
    m = np.int32(-(2**31))
    for i in range(x.size):
        bits = np.float32(x[i]).view(np.int32)
        m = max(m, np.int32(bits ^ np.int32(np.int32(bits >> SIGN) & MAGNITUDE)))
    return np.int32(m ^ np.int32(np.int32(m >> SIGN) & MAGNITUDE)).view(np.float32)


@njit(cache=True, fastmath=SUMS, error_model="numpy")
def block_exp(x, m):
    """Σ exp(x - m), m at least every x"""
    total = F(0)
    for i in range(x.size):
        total += decay(x[i] - m)
    return total


@njit(cache=True, fastmath=SUMS, error_model="numpy")
def block_exp_to(x, m, y):
    """y = exp(x - m), and its sum"""
    total = F(0)
    for i in range(x.size):
        e = decay(x[i] - m)
        y[i] = e
        total += e
    return total


@njit(cache=True, fastmath=SUMS, error_model="numpy")
def block_dot(g, y):
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


@njit(cache=True, parallel=True, error_model="numpy")
def cross_entropy(x, index, weights, losses, most, log_sum):
    """x (N, C), the others (N,); no class where index is negative"""
    for n in prange(x.shape[0]):
        m = largest(x[n])
        most[n], log_sum[n] = m, np.log(sum_exp(x[n], m))
        losses[n] = (log_sum[n] - (x[n, index[n]] - m)) * weights[n] if index[n] >= 0 else F(0)


@njit(cache=True, parallel=True, fastmath={"contract"}, error_model="numpy")
def cross_entropy_grad(g, x, index, weights, most, log_sum, gx):
    """gx = g weight (softmax(x) - one at the class).  x, gx (N, C), the others (N,)"""
    for n in prange(x.shape[0]):
        m, s, h = most[n], log_sum[n], g[n] * weights[n] if index[n] >= 0 else F(0)
        for i in range(x.shape[1]):
            gx[n, i] = decay((x[n, i] - m) - s) * h
        if index[n] >= 0:
            gx[n, index[n]] -= h


@njit(cache=True, error_model="numpy")
def keep_larger(x, m):
    """m = max(m, x), each of its own place; a nan stays"""
    for d in range(x.size):
        m[d] = m[d] if m[d] >= x[d] or m[d] != m[d] else x[d]


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def add_exp(x, m, total):
    """total += exp(x - m), each of its own place; total float64"""
    for d in range(x.size):
        total[d] += decay(x[d] - m[d])


@njit(cache=True, parallel=True, error_model="numpy")
def cross_entropy_places(x, index, weights, losses, most, log_sum):
    """x (N, C, D), the others (N, D).  Class after class, PLACES places side by side: all of it stays in the cache"""
    N, C, D = x.shape
    blocks = (D + PLACES - 1) // PLACES
    for job in prange(N * blocks):
        n, start = job // blocks, job % blocks * PLACES
        stop = min(start + PLACES, D)
        m, total = most[n, start:stop], np.zeros(stop - start)
        m[:] = x[n, 0, start:stop]
        for c in range(1, C):
            keep_larger(x[n, c, start:stop], m)
        for c in range(C):
            add_exp(x[n, c, start:stop], m, total)
        for d in range(start, stop):
            log_sum[n, d] = np.log(total[d - start])
            if index[n, d] >= 0:
                picked = x[n, index[n, d], d] - most[n, d]
                losses[n, d] = (log_sum[n, d] - picked) * weights[n, d]
            else:
                losses[n, d] = F(0)


@njit(cache=True, parallel=True, fastmath={"contract"}, error_model="numpy")
def cross_entropy_places_grad(g, x, index, weights, most, log_sum, gx):
    """gx = g weight (softmax(x) - one at the class).  x, gx (N, C, D), the others (N, D)"""
    N, C, D = x.shape
    for job in prange(N * C):
        n, c = job // C, job % C
        for d in range(D):
            h = g[n, d] * weights[n, d] if index[n, d] >= 0 else F(0)
            p = decay((x[n, c, d] - most[n, d]) - log_sum[n, d])
            gx[n, c, d] = p * h - (h if index[n, d] == c else F(0))
