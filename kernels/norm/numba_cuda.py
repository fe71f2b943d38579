"""Layer norm with numba.cuda: rows of x (A, C), scale and shift (C) -> y (A, C), mean and variance (A).

numba_naive   a thread takes a row: neighboring threads read memory C numbers apart.
numba_rows    a block takes a row: neighboring threads read neighboring numbers, and find mean and variance together.

Both read x three times (the second and third time most likely from the cache) and write y once.  The variance is the
mean of (x - mean)²; the mean of x² minus mean² would lose digits if the mean is large.  The mean is computed from
differences to the row's first number (to 0 if that is not finite), which is exact if all numbers are equal.
"""

from __future__ import annotations

import math

from tinygen.kernels.norm.reference import normalize
from tinygen.kernels.norm.shapes import row_count, shape_of
from tinygen.kernels.reduce.numba_cuda import block_sum
from tinygen.kernels.runtime.dispatch import array_module
from tinygen.kernels.runtime.numba_cuda import cuda, require, rung, same_float
from tinygen.kernels.runtime.rounding import ceil_div

THREADS = 128  # per block, a power of two


@cuda.jit
def naive(x, scale, shift, eps, y, mean, var):
    """A thread computes one row."""
    row = cuda.grid(1)
    C = x.shape[1]
    if row >= x.shape[0]:
        return
    count = y.dtype.type(C)
    total = squares = y.dtype.type(0)
    origin = x[row, 0] if math.isfinite(x[row, 0]) else total
    for c in range(C):
        total += x[row, c] - origin
    middle = origin + total / count
    for c in range(C):
        squares += (x[row, c] - middle) * (x[row, c] - middle)
    deviation = math.sqrt(squares / count + eps)
    for c in range(C):
        y[row, c] = (x[row, c] - middle) / deviation * scale[c] + shift[c]
    mean[row], var[row] = middle, squares / count


@cuda.jit
def rows(x, scale, shift, eps, y, mean, var):
    """A block computes one row, a thread every THREADS-th number of it."""
    values = cuda.shared.array(THREADS, y.dtype)
    row, thread = cuda.blockIdx.x, cuda.threadIdx.x
    C = x.shape[1]
    count = y.dtype.type(C)
    total = squares = y.dtype.type(0)
    origin = x[row, 0] if math.isfinite(x[row, 0]) else total
    for c in range(thread, C, THREADS):
        total += x[row, c] - origin
    middle = origin + block_sum(values, total) / count
    for c in range(thread, C, THREADS):
        squares += (x[row, c] - middle) * (x[row, c] - middle)
    variance = block_sum(values, squares) / count
    deviation = math.sqrt(variance + eps)
    for c in range(thread, C, THREADS):
        y[row, c] = (x[row, c] - middle) / deviation * scale[c] + shift[c]
    if thread == 0:
        mean[row], var[row] = middle, variance


def _launch(function, rows_per_block: int, x, weight, bias, dims, eps):
    lead = row_count(x, dims, shape_of(weight, bias))
    expected = (
        "the last dimensions normalized, weight and bias of their shape or None; all float32 or all float64"
    )
    require("normalize", lead > 0 and same_float(x, weight, bias), expected, x=x, weight=weight, bias=bias)
    xp, size = array_module(x), math.prod(x.shape[lead:])
    y = xp.empty(x.shape, x.dtype)
    mean, var = (xp.empty((*x.shape[:lead], *(1,) * len(dims)), x.dtype) for _ in range(2))
    scale, shift = (
        xp.broadcast_to(xp.asarray(constant, x.dtype), (size,)) if a is None else a.reshape(-1)
        for a, constant in ((weight, 1), (bias, 0))
    )
    grid = (ceil_div(mean.size, rows_per_block), 1, 1)
    flat = (mean.size, size)
    function[grid, (THREADS, 1, 1)](
        x.reshape(flat), scale, shift, x.dtype.type(eps), y.reshape(flat), mean.reshape(-1), var.reshape(-1)
    )
    return y, mean, var


@rung(normalize, "numba_naive")
def normalize_numba_naive(x, weight, bias, dims, eps):
    """Layer norm: a thread computes a row of C numbers, its mean and its variance: 3 C reads, C writes."""
    return _launch(naive, THREADS, x, weight, bias, dims, eps)


@rung(normalize, "numba_rows")
def normalize_numba_rows(x, weight, bias, dims, eps):
    """Layer norm: a block computes a row, each thread C / THREADS numbers of it; two sums of log2(THREADS) steps each.

    In float32 it reads 4 and writes 4 bytes per element, if a row stays in the cache.
    """
    return _launch(rows, 1, x, weight, bias, dims, eps)
