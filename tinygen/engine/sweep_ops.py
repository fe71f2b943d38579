"""The operations that backward itself uses.  The derivative of each is again one of them."""

from __future__ import annotations

import math

import numpy as np

from tinygen import kernels
from tinygen.engine import dtypes
from tinygen.engine.dtypes import ShapeError
from tinygen.engine.primitive import primitive


@primitive(promote="same")
def add(x, other):
    return kernels.add(x, other)


add.vjp(lambda g: g, lambda g: g)


def add_to(total, g) -> None:
    """Add in place, unrecorded."""
    if total._data.ndim:
        kernels.add(total._data, g._data, out=total._data)
    else:
        total._data += g._data  # it may be one of NumPy's numbers, which are no arrays


@primitive
def expand(x, *, shape):
    """x broadcast to `shape`, without copying"""
    xp = kernels.array_module(x)
    if 0 in shape:
        return xp.empty(shape, x.dtype)
    if math.prod(shape) == x.size:  # nothing repeats: an ordinary view; broadcast_to's is read-only
        return x.reshape(shape)
    return xp.broadcast_to(x, shape)


expand.vjp(lambda g: g)  # the sweep sums it over the expanded axes


@primitive
def sum_to(x, *, shape):
    """Undo a broadcast: sum x over the axes along which `shape` was expanded to x's shape."""
    lead = x.ndim - len(shape)
    tail = x.shape[lead:]
    if lead < 0 or any(n != m and n != 1 for n, m in zip(shape, tail)):
        raise ShapeError(f"a gradient of shape {x.shape} is not a broadcast of {shape}")
    axes = tuple(range(lead)) + tuple(
        lead + i for i, (n, m) in enumerate(zip(shape, tail)) if n == 1 and m != 1
    )
    return kernels.sum(x, axes).reshape(shape)


sum_to.vjp(lambda g, x_shape: expand(g, shape=x_shape))


@primitive
def cast(x, *, dtype):
    """x in another dtype; the gradient comes back in x's"""
    dtypes.category(np.dtype(dtype))
    return x.astype(dtype, copy=False)


cast.vjp(lambda g: g)


@primitive
def clone(x):
    """A copy, inside the graph"""
    return x.copy()


clone.vjp(lambda g: g)


@primitive
def _flat(x, of):
    return x


# The row of `of` gives no gradient, but there is one: with None for a row, `of` would not be in the graph at all.
_flat.vjp(lambda g: g, lambda g: None)


def flat(x, of):
    """x, computed from `of` but constant in it: its derivative is 0 (not missing), as in PyTorch."""
    return _flat(x, of) if of.requires_grad else x
