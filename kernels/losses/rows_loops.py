"""The compiled loops of `rows.py`.  Importing this file imports numba (0.5 s).

float32; each thread takes a share of the rows, or of the blocks of places.
"""

import numpy as np

from tinygen.kernels.elementwise.loops import decay
from tinygen.kernels.runtime.njit import njit
from tinygen.kernels.runtime.with_numba import prange
from tinygen.kernels.softmax.loops import largest, sum_exp

F = np.float32
PLACES = 256  # places of one image that a thread takes at a time


@njit(cache=True, parallel=True, error_model="numpy")
def cross_entropy(x, index, weights, losses, most, log_sum):
    """x (N, C), the others (N,); a negative index means no class"""
    for n in prange(x.shape[0]):
        m = largest(x[n])
        most[n], log_sum[n] = m, np.log(sum_exp(x[n], m))
        losses[n] = (log_sum[n] - (x[n, index[n]] - m)) * weights[n] if index[n] >= 0 else F(0)


@njit(cache=True, parallel=True, fastmath={"contract"}, error_model="numpy")
def cross_entropy_grad(g, x, index, weights, most, log_sum, gx):
    """gx = g weight (softmax(x) - 1 at the class).  x, gx (N, C), the others (N,)"""
    for n in prange(x.shape[0]):
        m, s, h = most[n], log_sum[n], g[n] * weights[n] if index[n] >= 0 else F(0)
        for i in range(x.shape[1]):
            gx[n, i] = decay((x[n, i] - m) - s) * h
        if index[n] >= 0:
            gx[n, index[n]] -= h


@njit(cache=True, error_model="numpy")
def keep_larger(x, m):
    """m = max(m, x), for each place; nan stays"""
    for d in range(x.size):
        m[d] = m[d] if m[d] >= x[d] or m[d] != m[d] else x[d]


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def add_exp(x, m, total):
    """total += exp(x - m), for each place; total is float64"""
    for d in range(x.size):
        total[d] += decay(x[d] - m[d])


@njit(cache=True, parallel=True, error_model="numpy")
def cross_entropy_places(x, index, weights, losses, most, log_sum):
    """x (N, C, D), the others (N, D).  Class by class, PLACES places side by side: everything stays in cache"""
    N, C, D = x.shape
    parts = (D + PLACES - 1) // PLACES
    for job in prange(N * parts):
        n, start = job // parts, job % parts * PLACES
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
    """gx = g weight (softmax(x) - 1 at the class).  x, gx (N, C, D), the others (N, D)"""
    N, C, D = x.shape
    for job in prange(N * C):
        n, c = job // C, job % C
        for d in range(D):
            h = g[n, d] * weights[n, d] if index[n, d] >= 0 else F(0)
            p = decay((x[n, c, d] - most[n, d]) - log_sum[n, d])
            gx[n, c, d] = p * h - (h if index[n, d] == c else F(0))
