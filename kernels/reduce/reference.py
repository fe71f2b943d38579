"""Sums that stay accurate over many elements."""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.reduce.accumulation import wide, wide_running, widened
from tinygen.kernels.runtime.dispatch import Kernel, array_module

DIRECT = 128  # numbers that may be added one after the other
CHAIN = 16  # as many at most, where more are summed in steps
ROWS = 128  # rows that one thread adds up at a time
LONG = 1 << 16  # elements; fewer are summed by one thread before another has begun

sum = Kernel("sum")


@sum.reference
def sum_reference(x, dims: tuple, keepdims: bool = False):
    """The sum over dims, in x's dtype, accumulated in the dtype that `accumulation.py` names.

    NumPy adds in pairs where it runs along memory and one after the other where it runs across: column sums of a
    million rows are 1 % off (np.full((10**6, 2), 0.1, np.float32).sum(0) / 1e5 - 1 gives 0.0096).  Long sums across
    memory are therefore made of sums of few, and what an expanded dimension repeats is added once and multiplied.
    """
    if array_module(x) is not np or _direct(x, dims):
        accumulated = wide(x.dtype)
        total = x.sum(axis=dims, keepdims=keepdims, dtype=accumulated)
        return total if accumulated is x.dtype else total.astype(x.dtype)
    dims = tuple(d % x.ndim for d in dims)
    if x.size > LONG and (shape := _middle(x, dims)):
        return _sum_of_middle(x, shape).reshape(_kept(x.shape, dims, keepdims))
    return _sum_in_steps(x, dims).reshape(_kept(x.shape, dims, keepdims))


def _direct(x, dims: tuple) -> bool:
    """Whether NumPy's own sum is accurate: over few numbers, or along memory that lies in one piece."""
    if x.size <= DIRECT:
        return True
    first = x.ndim - len(dims)
    if x.flags.c_contiguous and all(d >= first for d in dims):
        return True
    return math.prod(x.shape[d] for d in dims) <= DIRECT


def _sum_in_steps(x, dims: tuple):
    """The sum over dims of a NumPy array however it lies in memory, dimension by dimension, the innermost first."""
    shown = x[tuple(slice(1) if step == 0 else slice(None) for step in x.strides)]  # what is expanded, once
    repeats = math.prod(x.shape[d] for d in dims) // max(math.prod(shown.shape[d] for d in dims), 1)
    order = sorted(range(x.ndim), key=lambda d: -abs(shown.strides[d]) if shown.shape[d] > 1 else -math.inf)
    y, kept = widened(shown).transpose(order), [d not in dims for d in order]
    while not all(kept):
        y, kept = _sum_innermost(y, kept)
    y = y.transpose(np.argsort([d for d in order if d not in dims])) if y.ndim > 1 else y
    if repeats != 1:
        y = y * y.dtype.type(repeats)
    y = y.astype(x.dtype, copy=False)
    shape = _kept(x.shape, dims, False)
    return y if y.shape == shape else np.broadcast_to(y, shape).copy()


def _sum_innermost(y, kept: list):
    """y, whose steps in memory fall, without the last of its dimensions that are summed and those that continue it.

    -> that, and which of the dimensions left are kept
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
    """The sum over one dimension that is not the innermost, of at most CHAIN numbers at a time.

    Short rows are added to rows far away, many of them in one loop of NumPy's; long ones to their neighbours.
    """
    if y.size > LONG and (shape := _middle(y, (dim,))):
        return _sum_of_middle(y, shape).reshape(_kept(y.shape, (dim,), False))
    far = math.prod(y.shape[dim + 1 :]) < 64
    while (rows := y.shape[dim]) > CHAIN:
        step = min(CHAIN, math.isqrt(rows))
        sums = rows // step
        lead, whole = (slice(None),) * dim, step * sums
        parts = (step, sums) if far else (sums, step)
        blocks = y[(*lead, slice(whole))].reshape(*y.shape[:dim], *parts, *y.shape[dim + 1 :])
        rest, y = y[(*lead, slice(whole, None))], blocks.sum(axis=dim if far else dim + 1)
        y[(*lead, slice(rows - whole))] += rest
    return y.sum(axis=dim)


def cumsum(x, dim: int, reverse: bool = False):
    """Running sums along dim, or of what follows each element and itself; integers and bools in int64."""
    xp = array_module(x)
    if reverse:
        return xp.flip(cumsum(xp.flip(x, dim), dim), dim)
    if x.dtype.kind != "f":
        return x.cumsum(axis=dim, dtype=np.int64)
    return x.cumsum(axis=dim, dtype=wide_running(x.dtype)).astype(x.dtype, copy=False)


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
    from tinygen.kernels.reduce import loops

    A, B, C = shape
    blocks = -(-B // ROWS)
    parts = np.empty((A, blocks, C), x.dtype)
    loops.sum_blocks(x.reshape(shape), ROWS, parts)
    return parts if blocks == 1 else sum(parts, (1,))
