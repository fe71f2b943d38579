"""Sums of NumPy arrays that stay accurate over many elements.

NumPy adds pairwise along memory, but one row after another across memory.  Column sums of a million rows are then 1 %
off: np.full((10**6, 2), 0.1, np.float32).sum(0) / 1e5 - 1 gives 0.0096.  Long sums across memory are therefore built
from sums of few numbers, and elements repeated by broadcasting are added once and multiplied.
"""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.reduce.accumulation import widened
from tinygen.kernels.runtime.rounding import ceil_div

DIRECT = 128  # numbers that may be added one after another
CHAIN = 16  # at most so many at a time in a sum that is taken in steps
ROWS = 128  # rows that one thread adds up at a time
LONG = 1 << 16  # elements; a single thread is done with fewer before a second one has started


def numpy_is_accurate(x, dims: tuple) -> bool:
    """Whether NumPy's own sum is accurate: over few numbers, or over contiguous memory."""
    if x.size <= DIRECT:
        return True
    first = x.ndim - len(dims)
    if x.flags.c_contiguous and all(d >= first for d in dims):
        return True
    return math.prod(x.shape[d] for d in dims) <= DIRECT


def accurate_sum(x, dims: tuple, keepdims: bool = False):
    """The sum over dims, in x's dtype, where NumPy's own is not accurate."""
    dims = tuple(d % x.ndim for d in dims)
    if x.size > LONG and (shape := _middle(x, dims)):
        total = _sum_of_middle(x, shape)
    else:
        total = _sum_in_steps(x, dims)
    return total.reshape(_reduced(x.shape, dims, keepdims))


def _sum_in_steps(x, dims: tuple):
    """The sum over dims, whatever the strides: one dimension at a time, the innermost first."""
    shown = x[tuple(slice(1) if step == 0 else slice(None) for step in x.strides)]  # broadcast elements once
    repeats = math.prod(x.shape[d] for d in dims) // max(math.prod(shown.shape[d] for d in dims), 1)
    order = sorted(range(x.ndim), key=lambda d: -abs(shown.strides[d]) if shown.shape[d] > 1 else -math.inf)
    y, kept = widened(shown).transpose(order), [d not in dims for d in order]
    while not all(kept):
        y, kept = _sum_innermost(y, kept)
    y = y.transpose(np.argsort([d for d in order if d not in dims])) if y.ndim > 1 else y
    if repeats != 1:
        y = y * y.dtype.type(repeats)
    y = y.astype(x.dtype, copy=False)
    shape = _reduced(x.shape, dims, False)
    return y if y.shape == shape else np.broadcast_to(y, shape).copy()


def _sum_innermost(y, kept: list):
    """Sum y over its last dimension that is not kept, together with those before it that continue it in memory.

    y's strides decrease.  -> the sums, and which of the remaining dimensions are kept
    """
    last = max(d for d, keep in enumerate(kept) if not keep)
    first = last
    while first and not kept[first - 1] and y.strides[first - 1] == y.strides[first] * y.shape[first]:
        first -= 1
    rows = math.prod(y.shape[first : last + 1])
    if last == y.ndim - 1:
        y = y.sum(axis=tuple(range(first, last + 1)))
    else:
        y = _sum_across(y.reshape(*y.shape[:first], rows, *y.shape[last + 1 :]), first)
    return np.asarray(y), kept[:first] + kept[last + 1 :]


def _sum_across(y, dim: int):
    """The sum over a dimension that is not the innermost, at most CHAIN numbers at a time.

    Short rows are added to rows far away, many in one of NumPy's loops; long rows are added to their neighbors.
    """
    if y.size > LONG and (shape := _middle(y, (dim,))):
        return _sum_of_middle(y, shape).reshape(_reduced(y.shape, (dim,), False))
    far = math.prod(y.shape[dim + 1 :]) < 64
    while (rows := y.shape[dim]) > CHAIN:
        step = min(CHAIN, math.isqrt(rows))
        sums = rows // step
        lead, whole = (slice(None),) * dim, step * sums
        parts = (step, sums) if far else (sums, step)
        grouped = y[(*lead, slice(whole))].reshape(*y.shape[:dim], *parts, *y.shape[dim + 1 :])
        rest, y = y[(*lead, slice(whole, None))], grouped.sum(axis=dim if far else dim + 1)
        y[(*lead, slice(rows - whole))] += rest
    return y.sum(axis=dim)


def _middle(x, dims: tuple):
    """(A, B, C) if x is contiguous, the dimensions in B are summed and C is at least 16; else None.

    Bias gradients look like this, (rows, C), and so do gradients of what a sample shares among its tokens, (N, T, C).
    """
    first, last = min(dims, default=0), max(dims, default=0) + 1
    if len(dims) != last - first or last >= x.ndim:
        return None
    if not x.flags.c_contiguous or x.dtype not in (np.float32, np.float64):
        return None
    shape = tuple(math.prod(part) for part in (x.shape[:first], x.shape[first:last], x.shape[last:]))
    return shape if shape[2] >= 16 else None


def _sum_of_middle(x, shape: tuple):
    """Threads add up blocks of ROWS rows, then those sums are added: the same bits with any number of threads."""
    from tinygen.kernels.reduce.loops import sum_row_blocks

    A, B, C = shape
    parts = np.empty((A, ceil_div(B, ROWS), C), x.dtype)
    sum_row_blocks(x.reshape(shape), ROWS, parts)
    if parts.shape[1] == 1:
        return parts
    return parts.sum(axis=1) if numpy_is_accurate(parts, (1,)) else accurate_sum(parts, (1,))


def _reduced(shape: tuple, dims: tuple, keepdims: bool) -> tuple:
    if keepdims:
        return tuple(1 if i in dims else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in dims)
