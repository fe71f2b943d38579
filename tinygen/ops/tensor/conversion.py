"""Tensors from data: numbers, nested lists, arrays of NumPy and other libraries, Tensors."""

from __future__ import annotations

import numpy as np

from tinygen.engine import devices, dtypes
from tinygen.engine.devices import CPU, CUDA, device
from tinygen.engine.dtypes import DtypeError
from tinygen.engine.errors import refusal
from tinygen.engine.tensor import Tensor


def tensor(data, dtype=None, device=None, requires_grad: bool = False) -> Tensor:
    """A new Tensor with a copy of `data` (numbers, nested lists, a NumPy array, a Tensor)."""
    result = Tensor._wrap(devices.move(to_array(data, dtype), _place(data) if device is None else device))
    return result.requires_grad_() if requires_grad else result


def _place(data) -> device:
    """The device for a new Tensor: the data's, if it is a Tensor or another library's array on a GPU, else the CPU."""
    return data.device if isinstance(data, Tensor) else CUDA if devices.is_device_array(data) else CPU


def as_tensor(data, dtype=None, device=None) -> Tensor:
    """`data` itself if it is a Tensor of that dtype on that device.  Arrays share their memory; the rest is copied."""
    if not isinstance(data, Tensor):
        if not devices.is_array(data) or (dtype is not None and data.dtype != dtype):
            return tensor(data, dtype, device)
        data = Tensor._from_outside(data if isinstance(data, np.ndarray) else devices.adopted(data))
    return data.to(dtype=dtype, device=device)


def own(array) -> Tensor:
    """A Tensor over an array, of NumPy or cupy, that nobody else holds: `tensor` without the copy."""
    dtypes.category(array.dtype)
    return Tensor._wrap(array)


def from_numpy(array: np.ndarray) -> Tensor:
    """A Tensor that shares the array's memory."""
    if not isinstance(array, np.ndarray):
        raise refusal("from_numpy", TypeError, f"found a {type(array).__name__}, expected a NumPy array")
    return Tensor._from_outside(array)


def to_array(data, dtype=None):
    """A new array from numbers, lists, arrays or Tensors, on their device; Python floats get the default dtype."""
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
    """The error for data that NumPy turns into objects or strings."""
    if isinstance(data, (list, tuple)):
        found = f"found a {type(data).__name__} of objects that are not numbers: {data!r:.80}"
        return refusal("tensor", ValueError, found)
    return refusal(
        "tensor", DtypeError, f"found a {type(data).__name__}, expected numbers, lists or an array"
    )


def _has_float64(data) -> bool:
    """Whether nested lists hold float64 of NumPy or a Tensor, not only Python's floats, which have no width."""
    if isinstance(data, (list, tuple)):
        return any(_has_float64(x) for x in data)
    return isinstance(data, (np.ndarray, np.generic, Tensor)) and data.dtype == dtypes.float64


def _plain(data):
    """Nested lists of numbers, from nested lists that contain Tensors."""
    if isinstance(data, Tensor):
        return devices.on_host(data._data)
    if isinstance(data, (list, tuple)):
        return [_plain(x) for x in data]
    return data
