"""Picking from and adding to places along one dimension, given by an index."""

from __future__ import annotations

from tinygen import dtypes, kernels
from tinygen.dtypes import ShapeError
from tinygen.ops.shape import dim_of, reshape
from tinygen.primitive import primitive


@primitive
def _gather(x, *, index, dim):
    return kernels.array_module(x).take_along_axis(x[_corner(x, index, dim)], index, dim)


@primitive
def _scatter_add(x, *, index, dim, shape):
    """Zeros of `shape` to which x is added at `index` along `dim`; repeated places sum up."""
    xp = kernels.array_module(x)
    out = xp.zeros(shape, x.dtype)
    places = list(xp.indices(index.shape, sparse=True)) if index.ndim else []
    places[dim] = index
    xp.add.at(out, tuple(places), x)
    return out


def _corner(x, index, dim):
    """The part of x that an index smaller than x reaches."""
    return tuple(slice(None) if i == dim else slice(n) for i, n in enumerate(index.shape))


_gather.vjp(lambda g, x_shape, index, dim: _scatter_add(g, index=index, dim=dim, shape=x_shape))
_scatter_add.vjp(lambda g, index, dim: _gather(g, index=index, dim=dim))


def gather(input, dim, index):
    """out[i][j] = x[index[i][j]][j] for dim 0, and so on: pick along one dimension"""
    if input.ndim == 0:
        return reshape(input, index.shape)
    dim = dim_of(dim, input.ndim, "gather")
    places = index._data
    if places.dtype.kind not in "iu":
        raise dtypes.DtypeError(f"gather: found an index of dtype {places.dtype}, expected an integer dtype")
    if places.ndim != input.ndim or any(
        places.shape[i] > input.shape[i] for i in range(input.ndim) if i != dim
    ):
        raise ShapeError(f"gather: index {places.shape} does not fit x {input.shape} outside dim {dim}")
    if places.size and not (0 <= places.min() and places.max() < input.shape[dim]):
        raise RuntimeError(
            f"gather: an index is outside 0..{input.shape[dim] - 1}, dimension {dim} of x {input.shape}"
        )
    return _gather(input, index=index, dim=dim)
