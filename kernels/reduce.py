"""Sums that stay accurate over many elements."""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.dispatch import Kernel, array_module

BLOCK = 1024  # elements added one after the other
ROWS = 128  # rows that one thread adds up at a time
LONG = 1 << 16  # elements; fewer are summed by one thread before another has begun

sum = Kernel("sum")


@sum.reference
def sum_reference(x, dims: tuple, keepdims: bool = False):
    """The sum over dims, in x's dtype.

    NumPy adds in pairs where it runs along memory and one after the other where it runs across: column sums of a
    million rows are 1 % off (np.full((10**6, 2), 0.1, np.float32).sum(0) / 1e5 - 1 gives 0.0096).  Long sums across
    memory are therefore made of sums of blocks.
    """
    if x.size > LONG and (shape := _middle(x, dims)):
        return _sum_of_middle(x, shape).reshape(_kept(x.shape, dims, keepdims))
    across = _longest_across(x, dims) if x.size > BLOCK and array_module(x) is np else None
    if across is None:
        return x.sum(axis=dims, keepdims=keepdims, dtype=x.dtype)
    lead, n = (slice(None),) * across, x.shape[across]
    blocks = [
        sum(x[(*lead, slice(start, start + BLOCK))], dims, keepdims=True) for start in range(0, n, BLOCK)
    ]
    total = sum(np.concatenate(blocks, across), (across,), keepdims=True)
    return total if keepdims else total.squeeze(dims)


def _longest_across(x, dims: tuple):
    """The dimension with the largest step in memory, if it is summed, long, and others that are kept lie below it."""
    kept = [abs(s) for i, s in enumerate(x.strides) if i not in dims and x.shape[i] > 1]
    step, dim = max(((abs(x.strides[d]), d) for d in dims if x.shape[d] > BLOCK), default=(0, None))
    return dim if any(0 < s < step for s in kept) else None


def largest(x, dims, keepdims: bool = False):
    """The maximum over dims (a number or a tuple); of nothing it is -inf"""
    if array_module(x) is np:
        return x.max(axis=dims, keepdims=keepdims, initial=-np.inf)
    if x.size:
        return x.max(axis=dims, keepdims=keepdims)
    dims = [d % x.ndim for d in ((dims,) if isinstance(dims, int) else dims)]  # cupy knows no `initial`
    kept = [1 if d in dims else n for d, n in enumerate(x.shape)]
    shape = kept if keepdims else [n for d, n in enumerate(x.shape) if d not in dims]
    return array_module(x).full(shape, -np.inf, x.dtype)


def _kept(shape: tuple, dims: tuple, keepdims: bool) -> tuple:
    if keepdims:
        return tuple(1 if i in dims else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in dims)


def _middle(x, dims: tuple):
    """(A, B, C) where x, contiguous on a CPU, is that and the dimensions in B are summed, C at least 16; else None.

    So are the gradients of a bias, (rows, C), and of what each sample had for all of its tokens, (N, T, C).
    """
    first, last = min(dims, default=0), max(dims, default=0) + 1
    if len(dims) != last - first or last >= x.ndim or array_module(x) is not np:
        return None
    if not x.flags.c_contiguous or x.dtype not in (np.float32, np.float64):
        return None
    shape = tuple(math.prod(part) for part in (x.shape[:first], x.shape[first:last], x.shape[last:]))
    return shape if shape[2] >= 16 else None


def _sum_of_middle(x, shape: tuple):
    """Each thread adds up blocks of ROWS rows, then those sums are added: the same bits with any number of threads."""
    from tinygen.kernels import reduce_loops

    A, B, C = shape
    blocks = -(-B // ROWS)
    parts = np.empty((A, blocks, C), x.dtype)
    reduce_loops.sum_blocks(x.reshape(shape), ROWS, parts)
    return parts if blocks == 1 else sum(parts, (1,))
