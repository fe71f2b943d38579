"""The mean over the last dimensions, on all threads."""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.reduce.accurate_sum import LONG
from tinygen.kernels.reduce.reference import mean
from tinygen.kernels.runtime.rounding import ceil_div

PART = 1 << 13  # elements that one thread adds up at a time


def _usable(x, dims: tuple, keepdims: bool = False) -> bool:
    """Many float32, contiguous; the mean over the last dimensions."""
    rows = x.ndim - len(dims)
    return (
        x.size > LONG
        and x.dtype == np.float32
        and x.flags.c_contiguous
        and tuple(sorted(dims)) == tuple(range(rows, x.ndim))
    )


@mean.variant("rows", usable=_usable)
def mean_rows(x, dims: tuple, keepdims: bool = False):
    """Threads add up parts of a row in float64, vectorized: reads 4 bytes per element."""
    from tinygen.kernels.reduce.loops import block_totals

    kept = x.shape[: x.ndim - len(dims)]
    rows = math.prod(kept)
    size = x.size // rows
    totals = np.empty((rows, ceil_div(size, PART)), np.float64)
    block_totals(x.reshape(rows, size), PART, totals)
    average = (totals.sum(1) / size).astype(x.dtype)
    return average.reshape(kept + (1,) * (len(dims) if keepdims else 0))
