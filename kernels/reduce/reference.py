"""Sums, means, running sums and maxima."""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.reduce.accumulation import wide, wide_running
from tinygen.kernels.reduce.accurate_sum import accurate_sum, numpy_is_accurate
from tinygen.kernels.runtime.dispatch import Kernel, array_module

sum = Kernel("sum")
mean = Kernel("mean")


def sum_to(x, shape: tuple):
    """x summed over the dimensions along which `shape` was broadcast; x itself if it has that shape"""
    if x.shape == shape:
        return x
    wide = (1,) * (x.ndim - len(shape)) + tuple(shape)
    dims = tuple(d for d, n in enumerate(wide) if n == 1)
    return (sum(x, dims, keepdims=True) if dims else x).reshape(shape)


@sum.reference
def sum_reference(x, dims: tuple, keepdims: bool = False):
    """The sum over dims, in x's dtype, accumulated in the dtype that `accumulation.py` names.

    On a CPU, long sums that NumPy would add one after another are taken in steps (`accurate_sum.py`).
    """
    if array_module(x) is not np or numpy_is_accurate(x, dims):
        accumulated = wide(x.dtype)
        total = x.sum(axis=dims, keepdims=keepdims, dtype=accumulated)
        return total if accumulated is x.dtype else total.astype(x.dtype)
    return accurate_sum(x, dims, keepdims)


@mean.reference
def mean_reference(x, dims: tuple, keepdims: bool = False):
    """The mean over dims, in x's dtype; nan if there are no elements.  Of equal numbers it is exactly that number.

    A sum times 1 / n would round three times: 41 ones would have the mean 0.99999994.  Normalization divides what is
    left of such a difference by sqrt(var + eps), and turns a constant of 3.3e5 into 0.99 instead of 0.

    Hence the sum is accumulated in float64, where up to 2^29 equal float32 add exactly.  For float64 input the mean of
    the remainders is added to a first mean: remainders so small add exactly as well.
    """
    xp, count = array_module(x), math.prod(x.shape[d] for d in dims)
    average = x.sum(axis=dims, keepdims=True, dtype=np.float64) / (count or math.nan)
    if x.dtype == np.float64:
        left = (x - average).sum(axis=dims, keepdims=True) / (count or math.nan)
        average = xp.where(xp.isfinite(left), average + left, average)
    average = average.astype(x.dtype)
    return average if keepdims else average.squeeze(dims)


def cumsum(x, dim: int, reverse: bool = False):
    """Running sums along dim; with `reverse`, sums of each element and all after it.  Integers and bools in int64."""
    xp = array_module(x)
    if reverse:
        return xp.flip(cumsum(xp.flip(x, dim), dim), dim)
    if x.dtype.kind != "f":
        return x.cumsum(axis=dim, dtype=np.int64)
    return x.cumsum(axis=dim, dtype=wide_running(x.dtype)).astype(x.dtype, copy=False)


def largest(x, dims, keepdims: bool = False):
    """The maximum over dims (a number or a tuple); -inf if there are no elements."""
    if array_module(x) is np:
        return x.max(axis=dims, keepdims=keepdims, initial=-np.inf)
    if x.size:
        return x.max(axis=dims, keepdims=keepdims)
    dims = [d % x.ndim for d in ((dims,) if isinstance(dims, int) else dims)]  # cupy has no `initial`
    kept = [1 if d in dims else n for d, n in enumerate(x.shape)]
    shape = kept if keepdims else [n for d, n in enumerate(x.shape) if d not in dims]
    return array_module(x).full(shape, -np.inf, x.dtype)
