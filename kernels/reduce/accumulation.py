"""In which dtype sums are accumulated: the one rule, for every operation that adds many numbers and on every device.

A sum of float16 is added up in float32 and rounded once, at its end: float16 knows no whole number past 2048 exactly,
and nothing above 65504.  float32 and float64 are added up in themselves, in pairs or in blocks (`reduce.py`).  Where
every partial sum is an answer (cumsum) blocks do not help, and float32 is accumulated in float64, as PyTorch does.
"""

from __future__ import annotations

import functools

import numpy as np

FLOAT16, FLOAT32, FLOAT64 = np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)


def wide(dtype) -> np.dtype:
    """What a sum of this dtype is accumulated in: float32 for float16, every other dtype itself."""
    return FLOAT32 if dtype == FLOAT16 else dtype


def wide_running(dtype) -> np.dtype:
    """What a running sum is accumulated in: float32 for float16, float64 for float32, every other dtype itself."""
    return FLOAT64 if dtype == FLOAT32 else wide(dtype)


def widened(x):
    """The array x in the dtype of its sums; x itself where that is its own."""
    return x.astype(FLOAT32) if x.dtype == FLOAT16 else x


def in_float32(results: int = 1):
    """A decorator: float16 arrays, of which the first argument is one, are computed with in float32.

    Of several results the first `results` are float16 again; the others are for the gradient and stay as they are.
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
