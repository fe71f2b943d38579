"""Group and instance norm on a CPU, also with SiLU: a group at a time, while it is in the cache."""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.norm.reference import (
    normalize,
    normalize_grad,
    normalize_silu,
    normalize_silu_grad,
)
from tinygen.kernels.norm.shapes import each, group_shapes, groups_apply, shape_of
from tinygen.kernels.reduce.reference import sum_to


def usable(x, weight, bias, dims, eps) -> bool:
    return groups_apply(x, dims, shape_of(weight, bias))


@normalize.variant("groups", usable=usable)
def normalize_groups(x, weight, bias, dims, eps):
    """Group and instance norm: all of a group while it is in the cache; reads x and writes y once."""
    return _forward("group_norm", x, weight, bias, dims, eps)


@normalize_silu.variant("groups", usable=usable)
def normalize_silu_groups(x, weight, bias, dims, eps):
    """SiLU in the pass that scales, with an inlined exponential: 8 bytes per element, where two kernels move 16."""
    return _forward("group_norm_silu", x, weight, bias, dims, eps)


@normalize_grad.variant(
    "groups", usable=lambda g, x, weight, mean, var, dims, eps, shape: groups_apply(x, dims, shape)
)
def normalize_grad_groups(g, x, weight, mean, var, dims, eps, shape):
    """Group and instance norm: the sums of a group and its gx while it is in the cache; reads g and x once."""
    lead, wide = group_shapes(x, dims, shape)
    scale = _per_channel(weight, 1, wide, math.prod(lead), x.dtype)
    return _backward("group_norm_grad", g, x, (scale,), wide, mean, var, eps, shape)


@normalize_silu_grad.variant(
    "groups", usable=lambda g, x, w, b, mean, var, dims, eps, shape: groups_apply(x, dims, shape)
)
def normalize_silu_grad_groups(g, x, weight, bias, mean, var, dims, eps, shape):
    """The gradient of SiLU in the pass that sums.  It is kept in gx, in the cache, and combined there."""
    lead, wide = group_shapes(x, dims, shape)
    vectors = [
        _per_channel(vector, default, wide, math.prod(lead), x.dtype)
        for vector, default in ((weight, 1), (bias, 0))
    ]
    return _backward("group_norm_silu_grad", g, x, vectors, wide, mean, var, eps, shape)


def _forward(loop: str, x, weight, bias, dims, eps):
    """Run a loop of loops.py over the groups of x.  -> y, mean, var"""
    from tinygen.kernels.norm import loops

    lead, wide = group_shapes(x, dims, shape_of(weight, bias))
    rows = math.prod(lead)
    y = np.empty_like(x)
    mean, var = np.empty((2, *lead, *(1,) * len(dims)), x.dtype)
    getattr(loops, loop)(
        x.reshape(rows, -1),
        _per_channel(weight, 1, wide, rows, x.dtype),
        _per_channel(bias, 0, wide, rows, x.dtype),
        x.dtype.type(eps),
        y.reshape(rows, -1),
        mean.reshape(-1),
        var.reshape(-1),
    )
    return y, mean, var


def _backward(loop: str, g, x, vectors, wide, mean, var, eps, shape):
    """Run a loop of loops.py over the groups of g and x; vectors (groups, channels).  -> gx, gweight, gbias"""
    from tinygen.kernels.norm import loops

    rows = len(vectors[0])
    gx = np.empty_like(x)
    inverse = (1 / np.sqrt(var + x.dtype.type(eps))).reshape(-1)
    gweight, gbias = np.empty((2, *vectors[0].shape), x.dtype)
    getattr(loops, loop)(
        np.ascontiguousarray(g).reshape(rows, -1), x.reshape(rows, -1), *vectors, mean.reshape(-1), inverse,
        gx.reshape(rows, -1), gweight, gbias,
    )  # fmt: skip
    if shape is None:
        return gx, None, None
    return gx, sum_to(gweight.reshape(wide), shape), sum_to(gbias.reshape(wide), shape)


def _per_channel(vector, default: float, wide: tuple, rows: int, dtype):
    """weight or bias of each channel of each group; `default` if it is None.  -> (rows, channels)"""
    vector = np.full(1, default, dtype) if vector is None else vector
    return each(vector, wide).reshape(rows, -1)
