"""What a caller gives as data, as an array: numbers, nested lists, NumPy arrays and Tensors."""

from __future__ import annotations

import numpy as np

from tinygen.engine import devices, dtypes
from tinygen.engine.dtypes import DtypeError


def to_array(data, dtype=None):
    """A fresh array of numbers, lists, arrays or Tensors, where those are; Python floats become the default dtype."""
    if isinstance(data, Tensor):
        data = data._data
    if isinstance(data, (np.ndarray, np.generic)):
        array = np.array(data, dtype)
    elif devices.is_device_array(data):
        array = devices.adopted(data).astype(data.dtype if dtype is None else dtype)
    else:
        array = np.array(_plain(data), dtype)
        if dtype is None and array.dtype == np.float64 and not _has_float64(data):
            array = array.astype(dtypes.get_default_dtype())
        elif dtype is None and array.dtype.kind in "iu":
            array = array.astype(np.int64, copy=False)
    if array.dtype.kind in "OUS":
        raise _no_numbers(data)
    dtypes.category(array.dtype)
    return array


def _no_numbers(data) -> Exception:
    """The error for what NumPy makes an array of objects or strings of."""
    if isinstance(data, (list, tuple)):
        return ValueError(f"tensor: found a {type(data).__name__} of other things than numbers: {data!r:.80}")
    return DtypeError(f"tensor: found a {type(data).__name__}, expected numbers, lists or an array")


def constructed(name: str, data: tuple, dtype) -> np.ndarray:
    """The array of `name(*data)`: zeros of sizes given one by one, or a copy of one list or array"""
    if all(_is_whole(n) for n in data):
        if any(n < 0 for n in data):
            raise dtypes.ShapeError(f"{name}: found the sizes {data}, expected none below 0")
        return np.zeros(data or 0, dtype)
    if len(data) == 1 and isinstance(data[0], tuple) and all(_is_whole(n) for n in data[0]):
        raise NotImplementedError(
            f"{name}: sizes in a tuple cannot be told from values; use {name}(*size), or tensor(values)"
        )
    if len(data) != 1 or not isinstance(data[0], (list, tuple, np.ndarray, Tensor)):
        raise TypeError(
            f"{name}: expected whole numbers as sizes, or one list or array; see tensor(data, dtype)"
        )
    return to_array(data[0], dtype)


def _is_whole(n) -> bool:
    return isinstance(n, (int, np.integer)) and not isinstance(n, bool)


def _has_float64(data) -> bool:
    """Whether nested lists hold NumPy or Tensor float64 beside Python's floats, which have no width."""
    if isinstance(data, (list, tuple)):
        return any(_has_float64(x) for x in data)
    return isinstance(data, (np.ndarray, np.generic, Tensor)) and data.dtype == dtypes.float64


def _plain(data):
    """Nested lists with Tensors in them as nested lists of numbers."""
    if isinstance(data, Tensor):
        return devices.on_host(data._data)
    if isinstance(data, (list, tuple)):
        return [_plain(x) for x in data]
    return data


# at the end: it needs what is defined above
from tinygen.engine.tensor import Tensor  # noqa: E402
