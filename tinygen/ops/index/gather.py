"""Reading, adding to and overwriting elements given by an index, mostly along one dimension."""

from __future__ import annotations

import numpy as np

from tinygen import kernels
from tinygen.engine import devices, dtypes
from tinygen.engine.dtypes import DtypeError, ShapeError
from tinygen.engine.errors import refusal
from tinygen.engine.primitive import primitive
from tinygen.engine.sweep_ops import cast
from tinygen.engine.tensor import Tensor
from tinygen.ops.arguments import INT, OPERAND, TENSOR
from tinygen.ops.checks import out_of_range
from tinygen.ops.declaration import exactly, example, operation, real, whole
from tinygen.ops.elementwise.arithmetic import add, mul
from tinygen.ops.index.getitem import getitem, getitem_at, index_1d, index_arrays, index_select, putitem
from tinygen.ops.shape.reshape import dim_of, expand, reshape
from tinygen.ops.tensor.device import beside


@primitive
def _gather(x, *, index, dim):
    return kernels.array_module(x).take_along_axis(x[_corner(x, index, dim)], index, dim)


@primitive
def _scatter_add(x, *, index, dim, shape):
    """Zeros of `shape` to which x is added at `index` along `dim`; repeated indices add up."""
    return kernels.put(x, _places(kernels.array_module(x), index, dim), shape)


def _places(xp, index, dim) -> tuple:
    """`index` along `dim`, and each element's own position along the others."""
    n = index.ndim
    places = [xp.arange(size).reshape((-1,) + (1,) * (n - 1 - d)) for d, size in enumerate(index.shape)]
    places[dim] = index
    return tuple(places)


def _corner(x, index, dim):
    """The part of x that an index smaller than x covers."""
    return tuple(slice(None) if i == dim else slice(n) for i, n in enumerate(index.shape))


# indexing is linear: its transpose adds g back where the elements came from, which may repeat
_gather.vjp(lambda g, x_shape, index, dim: _scatter_add(g, index=index, dim=dim, shape=x_shape))
_scatter_add.vjp(lambda g, index, dim: _gather(g, index=index, dim=dim))


def _check_index(operation: str, input, dim: int, index) -> int:
    """The dimension as a number in 0..ndim-1; refuses an index that is out of range."""
    dim = dim_of(dim, input.ndim, operation)
    places = index._data
    if places.dtype not in (dtypes.int32, dtypes.int64):
        raise refusal(
            operation, DtypeError, f"found an index of dtype {places.dtype}, expected int32 or int64"
        )
    size = input.shape[dim]
    fits = places.ndim == input.ndim and all(
        places.shape[i] <= input.shape[i] for i in range(input.ndim) if i != dim
    )
    if not fits and places.size:
        raise refusal(
            operation, ShapeError, f"index {places.shape} does not fit input {input.shape} outside dim {dim}"
        )
    if out_of_range(places, 0, size):
        raise refusal(
            operation,
            RuntimeError,
            f"an index is outside 0..{size - 1}, dimension {dim} of input {input.shape}",
        )
    return dim


@operation(example("tinygen.gather(x, 1, index)", x=real(2, 3), index=whole(2, 2)), dim=INT)
def gather(input, dim, index):
    """out[i][j] = input[index[i][j]][j] for dim 0, and so on: indexing along one dimension"""
    if input.ndim == 0:
        return reshape(gather(reshape(input, 1), dim, reshape(index, -1)), index.shape)
    dim = _check_index("gather", input, dim, index)
    if not index.numel():
        return reshape(getitem_at(input, index=(slice(0, 0),) * input.ndim), index.shape)
    return _gather(input, index=index, dim=dim)


def _at_index(operation: str, input, dim, index, src):
    """(input, dim, index, the part of src that index covers), all with at least one dimension."""
    if src.dtype != input.dtype:
        raise refusal(
            operation, DtypeError, f"found src {src.dtype}, input {input.dtype}, expected one dtype"
        )
    input, index, src = (reshape(x, 1) if x.ndim == 0 else x for x in (input, index, src))
    dim = _check_index(operation, input, dim, index)
    if index.numel() and (src.ndim != index.ndim or any(n > m for n, m in zip(index.shape, src.shape))):
        raise refusal(operation, ShapeError, f"index {index.shape} reaches outside src {src.shape}")
    return input, dim, index, getitem(src, tuple(slice(n) for n in index.shape))


@operation(
    example("tinygen.scatter_add(x, 1, index, src)", x=real(2, 3), index=whole(2, 2), src=real(2, 2)), dim=INT
)
def scatter_add(input, dim, index, src):
    """input with src[i][j] added at [index[i][j]][j] for dim 0, and so on; repeated indices add up"""
    flat, dim, index, src = _at_index("scatter_add", input, dim, index, src)
    if not index.numel():
        return input.clone()
    return reshape(add(flat, _scatter_add(src, index=index, dim=dim, shape=flat.shape)), input.shape)


@primitive
def _scatter(x, src, *, index, dim):
    out = x.copy()
    out[_places(kernels.array_module(x), index, dim)] = src
    return out


# overwritten elements get no gradient; as in PyTorch, all that were written to one place get the gradient of that place
_scatter.vjp(
    lambda g, src, index, dim: _scatter(g, _nothing_like(src), index=index, dim=dim),
    lambda g, index, dim: _gather(g, index=index, dim=dim),
)


def _nothing_like(x):
    return Tensor._wrap(kernels.array_module(x._data).zeros_like(x._data))


@operation(
    example("tinygen.scatter(x, 1, index, src)", x=real(2, 3), index=exactly([2], [0]), src=real(2, 1)),
    dim=INT,
    src=OPERAND,
)
def scatter(input, dim, index, src=None, *, value=None, reduce=None):
    """input with src[i][j] (or the number `value`) written to [index[i][j]][j] for dim 0, and so on"""
    if reduce is not None:
        raise refusal(
            "scatter", NotImplementedError, f"reduce={reduce!r} is not supported; use scatter_add for sums"
        )
    if (src is None) == (value is None):
        found = "neither src nor value" if src is None else "both src and value"
        raise refusal("scatter", TypeError, f"found {found}, expected one of the two")
    if not isinstance(src, Tensor):
        number = value if src is None else src
        src = expand(beside(input, np.full((), number, input.dtype)), index.shape)
    flat, dim, index, src = _at_index("scatter", input, dim, index, src)
    return reshape(_scatter(flat, src, index=index, dim=dim), input.shape) if index.numel() else input.clone()


# whole slices


def _slices(operation: str, input, dim, index, source):
    """(input with at least one dimension, the NumPy index of its slices, source in their shape)."""
    if source.dtype != input.dtype:
        raise refusal(
            operation, DtypeError, f"found source {source.dtype}, input {input.dtype}, expected one dtype"
        )
    dim = dim_of(dim, input.ndim, operation)
    flat = reshape(input, 1) if input.ndim == 0 else input
    places = index_1d(index, operation, flat, dim)
    shape = (*flat.shape[:dim], places.size, *flat.shape[dim + 1 :])
    if source.shape != shape and not (source.ndim == input.ndim == 0 and shape == (1,)):
        raise refusal(
            operation, ShapeError, f"found source {source.shape}, expected {shape} for input {input.shape}"
        )
    return flat, (slice(None),) * dim + (places.astype(np.int64),), reshape(source, shape)


@operation(
    example("tinygen.index_add(x, 1, index, source)", x=real(2, 3), index=whole(2), source=real(2, 2)),
    dim=INT,
    source=TENSOR,
)
def index_add(input, dim, index, source, *, alpha=1):
    """input with alpha times the slices of source added at `index` along dim; repeated indices add up"""
    flat, places, source = _slices("index_add", input, dim, index, source)
    scaled = source if alpha == 1 else cast(mul(source, alpha), dtype=source.dtype)
    return reshape(add(flat, putitem(scaled, index=places, shape=flat.shape)), input.shape)


@operation(
    example("tinygen.index_copy(x, 1, index, source)", x=real(2, 3), index=exactly(2, 0), source=real(2, 2)),
    source=TENSOR,
)
def index_copy(input, dim, index, source):
    """input with the slices of source written at `index` along dim"""
    flat, places, source = _slices("index_copy", input, dim, index, source)
    return reshape(put_at(flat, source, index=places), input.shape)


@operation(
    example("tinygen.index_fill(x, 1, index, value)", x=real(2, 3), index=exactly(2, 0), value=real()),
    dim=INT,
    value=OPERAND,
)
def index_fill(input, dim, index, value):
    """input with `value` (a number or a 0-d Tensor) in the slices at `index` along dim"""
    if index.dtype not in (dtypes.int32, dtypes.int64):
        raise refusal(
            "index_fill", IndexError, f"found an index of dtype {index.dtype}, expected int32 or int64"
        )
    value = value if isinstance(value, Tensor) else beside(input, np.full((), value, input.dtype))
    if value.ndim:
        raise refusal(
            "index_fill", RuntimeError, f"found value {value.shape}, expected a number or no dimensions"
        )
    dim = dim_of(dim, input.ndim, "index_fill")
    flat = reshape(input, 1) if input.ndim == 0 else input
    xp = kernels.array_module(input._data)
    places = xp.unique(index_1d(index, "index_fill", flat, dim)).astype(np.int64)
    index = (slice(None),) * dim + (
        places,
    )  # each index once: the gradient of value is the sum over all of them
    return reshape(put_at(flat, cast(value, dtype=input.dtype), index=index), input.shape)


@primitive(name="index_put")
def put_at(x, values, *, index):
    out = x.copy()
    out[index] = values
    return out


put_at.vjp(
    lambda g, values, index: put_at(g, _nothing_like(values), index=index),
    lambda g, index: getitem_at(g, index=index),  # the tape sums it where the values were broadcast
)


@operation(example("tinygen.index_put(x, (index,), values)", x=real(3), index=exactly(2, 0), values=real(2)))
def index_put(input, indices, values, accumulate=False):
    """A copy of input with `values` written to input[indices], or added there with accumulate

    indices   a tuple of integer Tensors, or masks, one for each leading dimension; None stands for a whole dimension
    """
    if not isinstance(indices, (tuple, list)):
        raise refusal(
            "index_put", TypeError, f"indices is a {type(indices).__name__}, expected a tuple of Tensors"
        )
    if not indices:
        raise refusal("index_put", RuntimeError, "found no indices, expected at least one Tensor")
    for index in indices:
        if not isinstance(index, Tensor):
            raise refusal(
                "index_put", TypeError, f"found an index of type {type(index).__name__}, expected Tensors"
            )
    if values.dtype != input.dtype:
        raise refusal(
            "index_put", DtypeError, f"found values {values.dtype}, input {input.dtype}, expected one dtype"
        )
    index = index_arrays(indices, input, "index_put")
    place = input._data[index].shape
    try:
        fits = np.broadcast_shapes(values.shape, place) == place
    except ValueError:
        fits = False
    if not fits:
        raise refusal("index_put", ShapeError, f"values {values.shape} do not broadcast to {place}")
    if not accumulate:
        return put_at(input, values, index=index)
    return add(input, putitem(expand(values, place), index=index, shape=input.shape))


@operation(example("tinygen.repeat_interleave(x, 2, dim=1)", x=real(2, 2)))
def repeat_interleave(input, repeats=None, dim=None, *, output_size=None):
    """Each slice along dim (each element, if dim is None) repeated; if only repeats are given, the indices"""
    if repeats is None and input.ndim != 1:
        raise refusal("repeat_interleave", ShapeError, f"found repeats {input.shape}, expected one dimension")
    if repeats is None:
        input, repeats, dim = beside(input, np.arange(input.numel())), input, 0
    if dim is None:
        input, dim = reshape(input, -1), 0
    if input.ndim == 0:
        raise refusal("repeat_interleave", IndexError, f"found dim {dim} of input (), expected none")
    dim = dim_of(dim, input.ndim, "repeat_interleave")
    counts = devices.on_host(repeats._data) if isinstance(repeats, Tensor) else np.asarray(repeats)
    if counts.dtype not in (dtypes.int32, dtypes.int64):
        raise refusal(
            "repeat_interleave", DtypeError, f"found repeats of dtype {counts.dtype}, expected int32 or int64"
        )
    if counts.ndim > 1 or counts.size not in (1, input.shape[dim]):
        raise refusal(
            "repeat_interleave",
            ShapeError,
            f"found repeats {counts.shape}, expected one number or ({input.shape[dim]},)",
        )
    if (counts < 0).any():
        raise refusal("repeat_interleave", RuntimeError, "found repeats below 0")
    places = np.repeat(np.arange(input.shape[dim]), counts)
    if output_size is not None and output_size != places.size:
        raise refusal(
            "repeat_interleave", RuntimeError, f"found output_size {output_size}, expected {places.size}"
        )
    return index_select(input, dim, beside(input, places))
