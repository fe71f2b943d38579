"""The mean: of equal numbers it is that number, so that what is left after subtracting it is 0, no rounding error.

A sum times 1 / n rounds three times: 41 ones have the mean 0.99999994.  Normalising divides such a difference by
sqrt(var + eps), and a constant of 3.3e5 leaves as 0.99.
"""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.runtime.dispatch import Kernel, array_module

mean = Kernel("mean")


@mean.reference
def mean_reference(x, dims: tuple, keepdims: bool = False):
    """The mean over dims, in x's dtype; of nothing it is nan.

    Added up in float64, where up to 2^29 equal float32 have an exact sum.  Of float64 the mean of what the first one
    leaves is added to it: so small a remainder has an exact sum too.
    """
    xp, count = array_module(x), math.prod(x.shape[d] for d in dims)
    average = x.sum(axis=dims, keepdims=True, dtype=np.float64) / (count or math.nan)
    if x.dtype == np.float64:
        left = (x - average).sum(axis=dims, keepdims=True) / (count or math.nan)
        average = xp.where(xp.isfinite(left), average + left, average)
    average = average.astype(x.dtype)
    return average if keepdims else average.squeeze(dims)


LONG = 1 << 16  # elements; fewer are summed by one thread before another has begun
BLOCK = 1 << 13  # elements that one thread adds up at a time


def _trailing(x, dims: tuple, keepdims: bool = False) -> bool:
    """Whether the loop pays and applies: many float32 on a CPU, the mean over the last dimensions of memory."""
    rows = x.ndim - len(dims)
    return (
        x.size > LONG
        and x.dtype == np.float32
        and x.flags.c_contiguous
        and tuple(sorted(dims)) == tuple(range(rows, x.ndim))
    )


@mean.variant("rows", usable=_trailing)
def mean_rows(x, dims: tuple, keepdims: bool = False):
    """Each thread adds blocks of neighbours in float64, many at once: reads 4 bytes an element."""
    from tinygen.kernels.reduce import loops

    kept = x.shape[: x.ndim - len(dims)]
    rows = math.prod(kept)
    size = x.size // rows
    totals = np.empty((rows, -(-size // BLOCK)), np.float64)
    loops.block_totals(x.reshape(rows, size), BLOCK, totals)
    average = (totals.sum(1) / size).astype(x.dtype)
    return average.reshape(kept + (1,) * (len(dims) if keepdims else 0))
