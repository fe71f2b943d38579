"""Softmax with numba.cuda, along the middle of x (A, C, B): a row is x[a, :, b].

numba_naive   a thread takes a row: if B is 1, neighboring threads read memory C numbers apart, each its own cache line.
numba_rows    a block takes a row: neighboring threads read neighboring numbers, and find maximum and sum together.

Both read x three times (the second and third time most likely from the cache) and write y once.
"""

from __future__ import annotations

import math

from tinygen.kernels.reduce.numba_cuda import block_max, block_sum
from tinygen.kernels.runtime.dispatch import array_module
from tinygen.kernels.runtime.numba_cuda import cuda, require, rung, same_float
from tinygen.kernels.runtime.rounding import ceil_div
from tinygen.kernels.softmax.reference import softmax

THREADS = 128  # per block, a power of two


@cuda.jit
def naive(x, y):
    """A thread computes one row."""
    row = cuda.grid(1)
    A, C, B = x.shape
    if row >= A * B:
        return
    a, b = row // B, row % B
    highest, total = y.dtype.type(-math.inf), y.dtype.type(0)
    for c in range(C):
        highest = max(highest, x[a, c, b])
    for c in range(C):
        total += math.exp(x[a, c, b] - highest)
    for c in range(C):
        y[a, c, b] = math.exp(x[a, c, b] - highest) / total


@cuda.jit
def rows(x, y):
    """A block computes one row, a thread every THREADS-th number of it."""
    values = cuda.shared.array(THREADS, y.dtype)
    C, B = x.shape[1], x.shape[2]
    a, b = cuda.blockIdx.x // B, cuda.blockIdx.x % B
    highest, total = y.dtype.type(-math.inf), y.dtype.type(0)
    for c in range(cuda.threadIdx.x, C, THREADS):
        highest = max(highest, x[a, c, b])
    highest = block_max(values, highest)
    for c in range(cuda.threadIdx.x, C, THREADS):
        total += math.exp(x[a, c, b] - highest)
    total = block_sum(values, total)
    for c in range(cuda.threadIdx.x, C, THREADS):
        y[a, c, b] = math.exp(x[a, c, b] - highest) / total


def _launch(function, rows_per_block: int, x, dim):
    require("softmax", x.ndim > 0 and same_float(x), "float32 or float64", x=x)
    xp, dim = array_module(x), dim % x.ndim
    C = x.shape[dim]
    A, B = math.prod(x.shape[:dim]), math.prod(x.shape[dim + 1 :])
    y = xp.empty(x.shape, x.dtype)
    if y.size:
        grid = (ceil_div(A * B, rows_per_block), 1, 1)
        function[grid, (THREADS, 1, 1)](x.reshape(A, C, B), y.reshape(A, C, B))
    return y


@rung(softmax, "numba_naive")
def softmax_numba_naive(x, dim):
    """A thread computes a row of C numbers: 3 C reads, C writes."""
    return _launch(naive, THREADS, x, dim)


@rung(softmax, "numba_rows")
def softmax_numba_rows(x, dim):
    """A block computes a row, each thread C / THREADS numbers of it; maximum and sum take log2(THREADS) steps each.

    In float32 it reads 4 and writes 4 bytes per element, if a row stays in the cache.
    """
    return _launch(rows, 1, x, dim)
