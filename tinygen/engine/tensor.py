"""Tensor: an array, its gradient, and where it stands in the graph.  Names and meaning are PyTorch's.

Operators are spelled out here; the methods that are operations (`x.sum(dim)`, `x.exp()`, `x.add_(y)` …) are attached
by `tinygen/ops/__init__.py`, where each is defined once.
"""

from __future__ import annotations

import inspect
import math
import weakref

import numpy as np

from tinygen.engine import devices, dtypes
from tinygen.engine.devices import CPU, CUDA, HOST, device
from tinygen.engine.dtypes import DtypeError
from tinygen.engine.memory import Family, Guard, alias
from tinygen.engine.size import Size


class Tensor:
    """A multi-dimensional array that records what is done with it.

    data           the array, as a Tensor outside the graph that shares its memory
    grad           the accumulated gradient (a Tensor), or None
    requires_grad  whether backward should reach it
    """

    __slots__ = ("__weakref__", "_data", "_edge", "_family", "_guard", "_hooks", "_requires_grad", "grad")
    __array_priority__ = 1000  # numpy_array * tensor comes to Tensor.__rmul__

    def __init__(self, *data) -> None:
        """Tensor(2, 3) is zeros of that shape, Tensor(list or array) a copy in the default dtype; see also `tensor`."""
        self._data = constructed("Tensor", data, dtypes.get_default_dtype())
        self._edge = self._family = self._guard = self.grad = None
        self._requires_grad = False

    @classmethod
    def _wrap(cls, array) -> Tensor:
        """A Tensor around an array that nobody else writes to."""
        tensor = _new(Tensor)
        tensor._data = array
        tensor._edge = tensor._family = tensor._guard = tensor.grad = None
        tensor._requires_grad = False
        return tensor

    @classmethod
    def _from_outside(cls, array: np.ndarray) -> Tensor:
        """A Tensor that shares the memory of an array somebody else holds."""
        dtypes.category(array.dtype)
        tensor = cls._wrap(array)
        tensor._guard = Guard(shared=True)
        return tensor

    # what it is

    @property
    def shape(self) -> Size:
        return Size(self._data.shape)

    @property
    def ndim(self) -> int:
        return self._data.ndim

    @property
    def dtype(self) -> np.dtype:
        return self._data.dtype

    @property
    def device(self) -> device:
        return CPU if isinstance(self._data, HOST) else CUDA

    @property
    def requires_grad(self) -> bool:
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    @property
    def is_leaf(self) -> bool:
        return self._edge is None

    @property
    def grad_fn(self):
        """The recorded operation this Tensor came from, or None for a leaf."""
        return self._edge

    @property
    def data(self) -> Tensor:
        return self.detach()

    @data.setter
    def data(self, value) -> None:
        """Point at other memory.  Harmless to a recorded graph, which keeps the array it saved."""
        array = value._data if isinstance(value, Tensor) else np.asarray(value)
        if devices.of(array) != self.device:
            raise RuntimeError(
                f"data: found a Tensor on {devices.of(array)}, expected {self.device}; use y.to(x.device)"
            )
        if array.dtype != self._data.dtype:
            raise DtypeError(f"data: found {array.dtype}, expected {self._data.dtype}")
        self._point_at(array)
        if isinstance(value, Tensor):
            alias(self, value)
        else:
            self._guard = Guard(shared=True)

    def _point_at(self, array) -> None:
        """Look at other memory, which nobody else sees."""
        self._data, self._guard, self._family = array, None, None

    def dim(self) -> int:
        return self._data.ndim

    ndimension = dim

    def size(self, dim: int | None = None):
        return Size(self._data.shape) if dim is None else self._data.shape[dim]

    def stride(self, dim: int | None = None):
        """Elements to step over from one index to the next, of all dimensions or of one"""
        strides = tuple(n // self._data.itemsize for n in self._data.strides)
        if not self._data.size:  # NumPy may have zeros there
            sizes = [max(n, 1) for n in self._data.shape]
            strides = tuple(math.prod(sizes[i + 1 :]) for i in range(len(sizes)))
        return strides if dim is None else strides[dim]

    def numel(self) -> int:
        return self._data.size

    nelement = numel

    def element_size(self) -> int:
        return self._data.itemsize

    def is_floating_point(self) -> bool:
        return self._data.dtype.kind == "f"

    @property
    def is_cuda(self) -> bool:
        return not isinstance(self._data, HOST)

    @property
    def is_xpu(self) -> bool:
        return False

    def get_device(self) -> int:
        """The number of the GPU it lives on, -1 on the CPU"""
        return 0 if self.is_cuda else -1

    def is_contiguous(self) -> bool:
        return self._data.flags.c_contiguous

    # out of the graph

    def detach(self) -> Tensor:
        """The same memory outside the graph.  Writing to either is seen by both, and by backward."""
        tensor = Tensor._wrap(self._data)
        alias(tensor, self)
        return tensor

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The values as a NumPy array sharing this memory: read-only while a recorded graph still needs them.

        force: also of a Tensor that requires a gradient or is on a GPU, as x.detach().cpu().numpy()
        """
        if force and (self.requires_grad or self.is_cuda):
            return self.detach().cpu().numpy()
        self._readable_by_numpy()
        if self._guard is None:
            self._guard = Guard()
        # its base is no array: NumPy lets the base of a view's view be the view itself, which is thus kept alive
        view = np.lib.stride_tricks.as_strided(self._data)
        if self._guard.saves:
            view.flags.writeable = False
        elif view.flags.writeable:
            self._guard.expose(view)
        return view

    def _readable_by_numpy(self) -> None:
        if self.is_cuda:
            raise TypeError(
                f"numpy: found a Tensor on {self.device}, expected one on the CPU; use x.cpu() before"
            )
        if self.requires_grad:
            raise RuntimeError("numpy: this Tensor requires a gradient; use x.detach().numpy()")

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        self._readable_by_numpy()
        array = self._data.view()
        array.flags.writeable = False
        if dtype is not None and dtype != array.dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def to_numpy(self) -> np.ndarray:
        """The values to look at, read-only: under this name, which is pandas', matplotlib asks for what it draws."""
        return self.__array__()

    def item(self):
        """The only element as a Python number."""
        if self._data.size != 1:
            raise RuntimeError(f"item: found shape {self.shape}, expected one element")
        return self._data.item()

    def tolist(self):
        return self._data.tolist()

    def __dlpack__(self, *, stream=None, **options):
        """The memory for another library, by DLPack: `numpy.from_dlpack(x)`, `torch.from_dlpack(x)`"""
        if self.requires_grad:
            raise BufferError("__dlpack__: this Tensor requires a gradient; use x.detach()")
        if not self.is_cuda:
            return self.numpy().__dlpack__(stream=stream, **options)
        return self._shown_outside().__dlpack__(stream=stream, **options)

    def __dlpack_device__(self) -> tuple:
        """(1, 0) for the CPU, (2, 0) for the GPU: DLPack's numbers"""
        return self._data.__dlpack_device__()

    @property
    def __cuda_array_interface__(self) -> dict:
        """The memory on a GPU for another library, as cupy and numba take it"""
        if not self.is_cuda:  # an AttributeError, so that hasattr tells
            raise AttributeError(
                "__cuda_array_interface__: found a Tensor on the CPU, expected one on a GPU; use x.cuda()"
            )
        if self.requires_grad:
            raise RuntimeError("__cuda_array_interface__: this Tensor requires a gradient; use x.detach()")
        return self._shown_outside().__cuda_array_interface__

    def _shown_outside(self):
        """The array for somebody who may write to it: what the tape saves of it from now on is a copy."""
        if self._guard is None:
            self._guard = Guard()
        self._guard.shared = True
        return self._data

    # dtype and device

    # the graph

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        if self._edge is not None and not requires_grad:
            raise RuntimeError(
                "requires_grad_: only leaf Tensors can be taken out of the graph; use detach()"
            )
        if requires_grad and self._data.dtype.kind != "f":
            raise RuntimeError(f"requires_grad_: found dtype {self.dtype}, expected a floating dtype")
        self._requires_grad = bool(requires_grad)
        return self

    def retain_grad(self) -> None:
        """Keep `.grad` of this intermediate result at the next backward."""
        if self._edge is not None:
            self._edge.retained = weakref.ref(self)

    # writing

    def _write(self, array) -> Tensor:
        """Overwrite the values in place, seen by everything over this memory; a graph that saved them will say so."""
        self._touch()
        self._data[...] = array
        return self

    def _touch(self) -> None:
        """Say that the memory is about to be written in place; refuse where it cannot be."""
        try:
            writeable = self._data.flags.writeable
        except AttributeError:  # cupy's arrays have no such flag
            writeable = devices.writeable(self._data)
        if not writeable:
            raise RuntimeError(
                f"cannot write to x {self.shape}: its memory is read-only (an expanded Tensor, or one made from a "
                "read-only array); use x.clone()"
            )
        if self._guard is not None:
            self._guard.version += 1

    # new ones of this dtype

    def new_tensor(self, data, dtype=None, device=None, requires_grad: bool = False) -> Tensor:
        return tensor(data, dtype or self.dtype, device or self.device, requires_grad)

    # what Python asks of an object; the operators are in tinygen/ops/operators.py

    def __pos__(self):
        return self

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len: found a 0-d Tensor, expected at least one dimension")
        return len(self._data)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __contains__(self, value) -> bool:
        return bool((self._data == (value._data if isinstance(value, Tensor) else value)).any())

    def __bool__(self) -> bool:
        if self._data.size != 1:
            raise RuntimeError(f"bool: found shape {self.shape}, expected one element; use .any() or .all()")
        return bool(self._data.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self._data.dtype.kind not in "iub":
            raise TypeError(f"index: found dtype {self.dtype}, expected an integer dtype")
        return int(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and self._data.size == 1 else format(repr(self), spec)

    def __repr__(self) -> str:
        return f"tensor({devices.move(self._data, CPU)}, dtype={self.dtype})"  # face prints as PyTorch does

    def __getstate__(self):
        """What `copy` and `pickle` take along: no graph; of a guard only who shares the memory, as they still will."""
        if self._edge is not None:
            raise RuntimeError(
                "only leaf Tensors can be copied or pickled, not results of recorded operations; use x.detach() "
                "(to plot it, too), or x.clone()"
            )
        guard = self._guard if self._guard is not None and self._guard.others(self) else None
        return self._data, self._requires_grad, None if self.grad is None else self.grad.detach(), guard

    def __setstate__(self, state) -> None:
        self._data, self._requires_grad, self.grad, self._guard = state
        self._edge = self._family = None
        if self._guard is not None:
            self._guard.hold(self, Family())

    def __copy__(self):
        copy = _new(type(self))
        copy.__setstate__(self.__getstate__())
        alias(copy, self)
        return copy


_new = object.__new__


def attach(methods: type) -> type:
    """Give Tensor the methods that a class further up defines: they need what is written above this file."""
    for name, value in vars(methods).items():
        if inspect.isfunction(value):
            value.__qualname__ = f"Tensor.{name}"
        elif not isinstance(value, property):
            continue
        setattr(Tensor, name, value)
    return methods


def tensor(data, dtype=None, device=None, requires_grad: bool = False) -> Tensor:
    """A new Tensor with a copy of `data` (numbers, nested lists, a NumPy array, a Tensor)."""
    result = Tensor._wrap(devices.move(to_array(data, dtype), _place(data) if device is None else device))
    return result.requires_grad_() if requires_grad else result


def _place(data) -> device:
    """Where a new Tensor of it goes: where it is, if it is a Tensor or another library's array on a GPU."""
    return data.device if isinstance(data, Tensor) else CUDA if devices.is_device_array(data) else CPU


def from_dlpack(ext_tensor, *, device=None, copy=None) -> Tensor:
    """A Tensor over the memory of another library's array, on the CPU or a GPU; copied if copy is True"""
    if not hasattr(ext_tensor, "__dlpack_device__"):
        raise TypeError(
            f"from_dlpack: found a {type(ext_tensor).__name__}, expected an array with __dlpack__"
        )
    result = Tensor._from_outside(devices.from_dlpack(ext_tensor))
    return result.to(device=device, copy=copy is True)


def as_tensor(data, dtype=None, device=None) -> Tensor:
    """`data` itself where it is a Tensor of that dtype on that device; arrays share their memory; else a copy."""
    if not isinstance(data, Tensor):
        if not devices.is_array(data) or (dtype is not None and data.dtype != dtype):
            return tensor(data, dtype, device)
        data = Tensor._from_outside(data if isinstance(data, np.ndarray) else devices.adopted(data))
    return data.to(dtype=dtype, device=device)


def is_tensor(obj) -> bool:
    return isinstance(obj, Tensor)


def from_numpy(array: np.ndarray) -> Tensor:
    """A Tensor that shares the array's memory."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: found a {type(array).__name__}, expected a NumPy array")
    return Tensor._from_outside(array)


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
