"""The dtype that sums are accumulated in: one rule for every operation that adds many numbers, on every device.

A float16 sum is accumulated in float32 and rounded once, at the end: float16 holds no integer above 2048 exactly and
nothing above 65504.  float32 and float64 are accumulated in their own precision, pairwise or in blocks
(`accurate_sum.py`).  Where every partial sum is a result (cumsum), blocks do not help, so float32 is accumulated in
float64, as in PyTorch.
"""

from __future__ import annotations

import functools

import numpy as np

FLOAT16, FLOAT32, FLOAT64 = np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)


def wide(dtype) -> np.dtype:
    """The dtype that sums of `dtype` are accumulated in: float32 for float16, otherwise `dtype` itself."""
    return FLOAT32 if dtype == FLOAT16 else dtype


def wide_running(dtype) -> np.dtype:
    """The dtype of running sums: float32 for float16, float64 for float32, otherwise `dtype` itself."""
    return FLOAT64 if dtype == FLOAT32 else wide(dtype)


def widened(x):
    """The array x in the dtype that its sums are accumulated in; x itself if that is its own."""
    return x.astype(FLOAT32) if x.dtype == FLOAT16 else x


def in_float32(results: int = 1):
    """A decorator: compute in float32 if the first argument is float16; other float16 arrays are widened too.

    The first `results` outputs are rounded back to float16; the rest are kept for the gradient and stay float32.
    """

    def decorate(function):
        @functools.wraps(function)
        def call(x, *arguments, **attrs):
            if x.dtype != FLOAT16:
                return function(x, *arguments, **attrs)
            arguments = [a if getattr(a, "dtype", None) != FLOAT16 else widened(a) for a in arguments]
            y = function(widened(x), *arguments, **attrs)
            if not isinstance(y, tuple):
                return y.astype(FLOAT16)
            return *(a if a is None else a.astype(FLOAT16) for a in y[:results]), *y[results:]

        return call

    return decorate
