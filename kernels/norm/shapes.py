"""Which arguments each way to normalize takes, and how x is cut into rows, groups and slabs.

x is normalized over the dimensions `dims`; `shape` is that of weight and bias, or None.
"""

from __future__ import annotations

import math

import numpy as np

SMALL = 1024  # elements; up to here NumPy is done before numba could be imported


def shape_of(weight, bias):
    """The shape of whichever of the two is given; None if neither is"""
    return next((v.shape for v in (weight, bias) if v is not None), None)


def each(values, shape):
    """`values` broadcast to `shape` and flattened: one number per row"""
    return np.ascontiguousarray(np.broadcast_to(values, shape)).reshape(-1)


def compilable(x) -> bool:
    """Whether the compiled loops take x, and x is large enough for them to pay"""
    return x.size > SMALL and x.dtype in (np.float32, np.float64) and x.flags.c_contiguous


# -- rows: all trailing dimensions are normalized, each with its own weight (layer norm)


def row_count(x, dims, shape) -> int:
    """How many leading dimensions count the rows; 0 if x is not cut into rows."""
    lead = x.ndim - len(dims)
    rows = tuple(sorted(dims)) == tuple(range(lead, x.ndim))
    return lead if rows and shape in (None, x.shape[lead:]) else 0


def rows_apply(x, dims, shape) -> bool:
    return compilable(x) and row_count(x, dims, shape) > 0


# -- slabs: the last dimensions are normalized and share a weight (each channel of each image in a batch norm)


def slab_start(x, dims, shape) -> int:
    """The first of the trailing dimensions over which x is normalized with one weight."""
    start = x.ndim
    wide = (1,) * x.ndim if shape is None else (1,) * (x.ndim - len(shape)) + shape
    while start - 1 in dims and wide[start - 1] == 1:
        start -= 1
    return start


def slabs_apply(x, dims, shape) -> bool:
    """Whether at least 8 neighbors share a weight"""
    return compilable(x) and math.prod(x.shape[slab_start(x, dims, shape) :]) >= 8


# -- groups: the trailing dimensions are normalized and consist of slabs (group and instance norm)


def group_shapes(x, dims, shape):
    """The dimensions that count the groups, and those of groups and channels with 1 for the others.

    (N, G, C, S) -> (N, G), (N, G, C, 1)
    """
    lead, start = x.ndim - len(dims), slab_start(x, dims, shape)
    return x.shape[:lead], x.shape[:start] + (1,) * (x.ndim - start)


def groups_apply(x, dims, shape) -> bool:
    trailing = tuple(sorted(dims)) == tuple(range(x.ndim - len(dims), x.ndim))
    return trailing and slabs_apply(x, dims, shape)
