"""Indexing: x[i, 2:, None, ..., mask, list], with PyTorch's meaning where NumPy's differs."""

from __future__ import annotations

import numpy as np

from tinygen import kernels
from tinygen.engine import devices, dtypes
from tinygen.engine.dtypes import ShapeError
from tinygen.engine.errors import refusal
from tinygen.engine.primitive import primitive
from tinygen.engine.tensor import Tensor
from tinygen.ops.arguments import INT
from tinygen.ops.checks import out_of_range
from tinygen.ops.declaration import example, operation, real, truth, whole
from tinygen.ops.shape.reshape import dim_of, expand, reshape, unsqueeze


@primitive(name="getitem")
def getitem_at(x, *, index):
    return x[(*index, ...)]  # the ... makes a single element a view, too


@primitive
def putitem(x, *, index, shape):
    """x added to zeros of `shape` at `index`: the transpose of x[index]."""
    return kernels.put(x, index, shape)


# indexing is linear: its transpose adds g back where the elements came from, which may repeat
getitem_at.vjp(lambda g, x_shape, index: putitem(g, index=index, shape=x_shape))


@getitem_at.adds
def _add_to_item(total, g, index):
    kernels.add_at(total, index, g)


putitem.vjp(lambda g, index: getitem_at(g, index=index))


def getitem(x, index):
    """x[index]; a view unless an array (or a list, or a mask) is among the indices"""
    for step in steps(index, x._data):
        x = getitem_at(x, index=step)
    return x


def assign(array, index, value) -> None:
    """array[index] = value, with the same meaning of the index."""
    if not isinstance(value, (type(array), np.ndarray, np.generic, int, float, list, tuple)):
        raise TypeError(f"x[...] = value: found a {type(value).__name__}, expected a number or a Tensor")
    if isinstance(value, (np.ndarray, list, tuple)):
        value = devices.move(np.asarray(value), devices.of(array))
    *views, last = steps(index, array) or [...]
    try:
        for step in views:
            array = array[step]
        array[last] = value
    except IndexError as error:
        raise IndexError(f"x[...] = value: {error}; x {array.shape}") from None
    except (ValueError, OverflowError) as error:
        place = array[last]
        found = f"value {np.shape(value)}" if np.ndim(value) else f"the value {value!r}"
        expected = f"a shape that broadcasts to {place.shape} and numbers that fit {place.dtype}"
        raise ShapeError(f"x[...] = value: found {found}, expected {expected}") from error


def steps(index, x) -> list:
    """`index` as at most two NumPy indices of the array x, applied in turn: the basic part (a view), then the arrays.

    PyTorch treats numbers as basic indexing even beside arrays (x[0, :, [1, 2]] has its array dimension last);
    NumPy would treat the number as an array, too, and move that dimension to the front.
    """
    if isinstance(index, list) and any(isinstance(i, (list, tuple, slice)) for i in index):
        raise IndexError(
            "x[[…, …]]: PyTorch and NumPy disagree on lists within a list; pass a tuple, or a Tensor of integers"
        )
    items = list(index) if isinstance(index, tuple) else [index]
    shape = x.shape
    items = [_item(i, x) for i in items]
    used = sum(i.ndim if _is_mask(i) else 1 for i in items if i is not None and i is not Ellipsis)
    if used > len(shape):
        raise IndexError(f"x[...]: found {used} indices for {len(shape)} dimensions of x {shape}")
    if not any(i is Ellipsis for i in items):
        items.append(Ellipsis)
    if sum(i is Ellipsis for i in items) > 1:
        raise IndexError("x[...]: found ... more than once")
    at = next(n for n, i in enumerate(items) if i is Ellipsis)
    items[at : at + 1] = [slice(None)] * (len(shape) - used)
    plain, arrays, axis, kind = [], [], 0, kernels.array_module(x).ndarray
    for item in items:
        if isinstance(item, kind) and not item.ndim:  # a single bool: a new dimension of size 1 or 0
            arrays.append(kernels.array_module(x).zeros(int(item), np.int64))
            plain.append(None)
            continue
        if isinstance(item, kind):
            arrays += _array_indices(item, shape, axis)
            plain += [slice(None)] * (item.ndim if _is_mask(item) else 1)
            axis += item.ndim if _is_mask(item) else 1
            continue
        plain.append(item)
        if not isinstance(item, int):
            arrays.append(slice(None))
        axis += item is not None
    result = []
    if any(not (isinstance(i, slice) and i == slice(None)) for i in plain):
        result.append(tuple(plain))
    if any(isinstance(i, kind) for i in arrays):
        while isinstance(arrays[-1], slice):
            arrays.pop()
        result.append(tuple(arrays))
    return result


def _is_mask(item) -> bool:
    return getattr(item, "dtype", None) == np.bool_


def _item(item, x):
    """One index as None, ..., a slice, an int, or an array of integers or bools on x's device."""
    if item is None or item is Ellipsis:
        return item
    if isinstance(item, slice):
        return slice(*(None if n is None else int(n) for n in (item.start, item.stop, item.step)))
    if isinstance(item, Tensor):
        item = _beside(item, x) if item.ndim or item.dtype == np.bool_ else item._data
    if isinstance(item, (bool, np.bool_)):
        return kernels.array_module(x).asarray(item)
    if isinstance(item, (int, np.integer)):
        return int(item)
    if isinstance(item, (list, tuple, range)):
        item = np.asarray([devices.on_host(i._data) if isinstance(i, Tensor) else i for i in item])
        item = item.astype(np.int64) if item.size == 0 else item
    if isinstance(item, np.ndarray) and item.dtype.kind in "iub":
        item = devices.move(item, devices.of(x)) if item.ndim or item.dtype == np.bool_ else item
    if not devices.is_array(item) or item.dtype.kind not in "iub":
        found = getattr(item, "dtype", type(item).__name__)
        raise IndexError(
            f"x[...]: found an index of type {found}, expected numbers, slices, None, ..., integers or bools"
        )
    if item.dtype == np.uint8:
        raise IndexError("x[...]: uint8 is a mask to PyTorch and a number to NumPy; use .bool() or .long()")
    return int(item) if item.ndim == 0 and item.dtype != np.bool_ else item


def _array_indices(item, shape: tuple, axis: int) -> list:
    """Integer arrays for the dimensions that an array index covers; a mask covers as many as it has."""
    if item.dtype != np.bool_:
        n = shape[axis]
        if out_of_range(item, -n, n):
            raise IndexError(f"x[...]: an index is outside {-n}..{n - 1}, dimension {axis} of x {shape}")
        item = item.astype(np.int64)  # a copy: the tape keeps it, and the caller may write to the original
        item[item < 0] += n
        return [item]
    if item.shape != shape[axis : axis + item.ndim]:
        raise IndexError(f"x[mask]: the mask {item.shape} does not fit x {shape} from dimension {axis}")
    return list(item.nonzero())


def _beside(index, x):
    """The array of an index, on the device of x; as in PyTorch, an index on the CPU works for both"""
    if index.is_cuda and isinstance(x, np.ndarray):
        raise devices.DeviceError(f"x[...]: found an index on {index.device} and x on cpu; use index.cpu()")
    return devices.move(index._data, devices.of(x))


def index_arrays(indices, input, operation: str) -> tuple:
    """Tensors of integers or masks (None stands for a whole dimension) as one NumPy index."""
    result, axis, shape = [], 0, input.shape
    for item in indices:
        array = _beside(item, input._data) if isinstance(item, Tensor) else item
        if array is not None and getattr(array, "dtype", np.dtype(float)).kind not in "ib":
            raise refusal(
                operation, IndexError, f"found an index of type {_type(item)}, expected integers or a mask"
            )
        width = array.ndim if _is_mask(array) else 1
        if axis + width > len(shape):
            raise refusal(operation, IndexError, f"found more indices than input {shape} has dimensions")
        result += [slice(None)] if array is None else _array_indices(array, shape, axis)
        axis += width
    return tuple(result)


def _type(item) -> str:
    return str(getattr(item, "dtype", type(item).__name__))


@operation(example("tinygen.index_select(x, 1, index)", x=real(2, 3), index=whole(2)), dim=INT)
def index_select(input, dim, index):
    """The slices at `index` along `dim`; index holds integers and has one dimension or none"""
    dim = dim_of(dim, input.ndim, "index_select")
    places = index_1d(index, "index_select", input, dim)
    if input.ndim == 0:
        if places.size != 1:
            raise refusal(
                "index_select",
                RuntimeError,
                f"found {places.size} indices into a Tensor without dimensions, expected 1",
            )
        return getitem(unsqueeze(input, 0), places)[0]
    return getitem(input, (slice(None),) * dim + (places,))


def index_1d(index, operation: str, input, dim: int):
    """The numbers of a 1-d (or 0-d) int32 or int64 Tensor, each an index along dim of input."""
    size = input.shape[dim] if input.ndim else 1
    if index.dtype not in (dtypes.int32, dtypes.int64):
        raise refusal(
            operation, dtypes.DtypeError, f"found an index of dtype {index.dtype}, expected int32 or int64"
        )
    if index.ndim > 1:
        raise refusal(operation, IndexError, f"found an index {index.shape}, expected one dimension")
    places = _beside(index, input._data).reshape(-1)
    if out_of_range(places, 0, size):
        raise refusal(operation, IndexError, f"an index is outside 0..{size - 1}")
    return places


@operation(example("tinygen.masked_select(x, mask)", x=real(2, 3), mask=truth(2, 3)))
def masked_select(input, mask):
    """The elements where the mask is true, in one dimension"""
    if mask.dtype != np.bool_:
        raise refusal(
            "masked_select", dtypes.DtypeError, f"found a mask of dtype {mask.dtype}, expected bool"
        )
    try:
        shape = np.broadcast_shapes(input.shape, mask.shape)
    except ValueError:
        raise refusal(
            "masked_select", ShapeError, f"the mask {mask.shape} does not broadcast with x {input.shape}"
        ) from None
    picked, mask = expand(input, shape), expand(mask, shape)
    return getitem(picked, mask) if shape else reshape(getitem(picked, mask), -1)


@operation
def nonzero(input, *, as_tuple=False):
    """The indices of nonzero elements: (count, x.ndim) integers; with as_tuple, a (count,) Tensor per dimension"""
    places = kernels.nonzero(input._data)
    if as_tuple:
        return tuple(Tensor._wrap(i) for i in places)
    return Tensor._wrap(kernels.array_module(input._data).stack(places, 1)[:, : input.ndim])


@operation(example("F.embedding(input, weight)", input=whole(4), weight=real(3, 2)), homes="F")
def embedding(input, weight, padding_idx=None):
    """The row weight[i] for every i in input.  input (...), weight (V, D) -> (..., D); no gradient for padding_idx"""
    if input.dtype not in (dtypes.int32, dtypes.int64):
        raise refusal(
            "embedding", dtypes.DtypeError, f"found indices of dtype {input.dtype}, expected int32 or int64"
        )
    if weight.ndim != 2:
        raise refusal("embedding", dtypes.ShapeError, f"found weight {weight.shape}, expected 2 dimensions")
    indices, rows = _beside(input, weight._data), weight.shape[0]
    if out_of_range(indices, 0, rows):
        raise refusal("embedding", IndexError, f"an index is outside 0..{rows - 1}; weight {weight.shape}")
    out = getitem_at(weight, index=(indices.astype(np.int64),))  # a copy: the tape keeps it
    if padding_idx is None:
        return out
    if not -rows <= padding_idx < rows:
        raise refusal(
            "embedding", IndexError, f"found padding_idx {padding_idx}, expected {-rows} to {rows - 1}"
        )
    padding_idx = padding_idx % rows
    keep = (indices != padding_idx)[..., None]
    from tinygen.ops.elementwise.choice import where

    return where(keep, out, out.detach())
