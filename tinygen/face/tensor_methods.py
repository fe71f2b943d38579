"""Methods of Tensor that only callers use: the engine, operations, layers and models do not need them."""

from __future__ import annotations

import math

import numpy as np

from tinygen.engine import devices, dtypes
from tinygen.engine.devices import CPU, CUDA
from tinygen.engine.errors import refusal
from tinygen.engine.memory import Guard
from tinygen.engine.tensor import Tensor, attach
from tinygen.face.legacy import constructed
from tinygen.face.size import Size
from tinygen.ops import creation
from tinygen.ops.tensor.conversion import tensor


def install() -> None:
    """Attach them."""
    attach(Methods)


class Methods:
    """They become methods of Tensor."""

    def __init__(self, *data) -> None:
        """Tensor(2, 3) is zeros of that shape, Tensor(list or array) a copy in the default dtype; see also `tensor`."""
        self._data = constructed("Tensor", data, dtypes.get_default_dtype())
        self._edge = self._family = self._guard = self.grad = None
        self._requires_grad = False

    @property
    def shape(self) -> Size:
        return Size(self._data.shape)

    def dim(self) -> int:
        return self._data.ndim

    ndimension = dim

    def size(self, dim: int | None = None):
        return Size(self._data.shape) if dim is None else self._data.shape[dim]

    def stride(self, dim: int | None = None):
        """The stride in elements, of all dimensions or of one"""
        strides = tuple(n // self._data.itemsize for n in self._data.strides)
        if not self._data.size:  # NumPy's strides may be 0 there
            sizes = [max(n, 1) for n in self._data.shape]
            strides = tuple(math.prod(sizes[i + 1 :]) for i in range(len(sizes)))
        return strides if dim is None else strides[dim]

    def nelement(self) -> int:
        return self._data.size

    def element_size(self) -> int:
        return self._data.itemsize

    @property
    def is_xpu(self) -> bool:
        return False

    def get_device(self) -> int:
        """The number of its GPU, or -1 on the CPU"""
        return 0 if self.is_cuda else -1

    def to_numpy(self) -> np.ndarray:
        """A read-only view of the values.  The name is pandas'; matplotlib calls it."""
        return self.__array__()

    def __dlpack__(self, *, stream=None, **options):
        """The memory for another library, through DLPack: `numpy.from_dlpack(x)`, `torch.from_dlpack(x)`"""
        if self.requires_grad:
            raise refusal("__dlpack__", BufferError, "this Tensor requires a gradient; use x.detach()")
        if not self.is_cuda:
            return self.numpy().__dlpack__(stream=stream, **options)
        return self._shown_outside().__dlpack__(stream=stream, **options)

    def __dlpack_device__(self) -> tuple:
        """(1, 0) for the CPU, (2, 0) for the GPU: DLPack's numbers"""
        return self._data.__dlpack_device__()

    @property
    def __cuda_array_interface__(self) -> dict:
        """The memory on a GPU for another library, in the form that cupy and numba take"""
        if not self.is_cuda:  # an AttributeError, so that hasattr is False
            raise refusal(
                "__cuda_array_interface__",
                AttributeError,
                "found a Tensor on the CPU, expected one on a GPU; use x.cuda()",
            )
        if self.requires_grad:
            raise refusal(
                "__cuda_array_interface__", RuntimeError, "this Tensor requires a gradient; use x.detach()"
            )
        return self._shown_outside().__cuda_array_interface__

    def _shown_outside(self):
        """The array, for others who may write to it: from now on, the tape saves copies."""
        if self._guard is None:
            self._guard = Guard()
        self._guard.from_outside = True
        return self._data

    def type(self, dtype=None) -> Tensor:
        """`to` another dtype, given as a dtype or as FloatTensor and the like"""
        if dtype is None or (isinstance(dtype, str) and dtype.startswith("torch.")):
            raise refusal(
                "type",
                NotImplementedError,
                "PyTorch's type names are not supported; use x.dtype, or x.type(FloatTensor)",
            )
        return self.to(np.dtype(dtype))

    def type_as(self, other: Tensor) -> Tensor:
        return self.to(other)

    def new_tensor(self, data, dtype=None, device=None, requires_grad: bool = False) -> Tensor:
        return tensor(data, dtype or self.dtype, device or self.device, requires_grad)

    def new_zeros(self, *size, dtype=None, device=None) -> Tensor:
        return creation.zeros(*size, dtype=dtype or self.dtype, device=device or self.device)

    def new_ones(self, *size, dtype=None, device=None) -> Tensor:
        return creation.ones(*size, dtype=dtype or self.dtype, device=device or self.device)

    def new_full(self, size, fill_value, dtype=None, device=None) -> Tensor:
        return creation.full(size, fill_value, dtype=dtype or self.dtype, device=device or self.device)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and self._data.size == 1 else format(repr(self), spec)


def is_tensor(obj) -> bool:
    return isinstance(obj, Tensor)


def from_dlpack(ext_tensor, *, device=None, copy=None) -> Tensor:
    """A Tensor that shares the memory of another library's array, on the CPU or a GPU; copy=True copies"""
    if not hasattr(ext_tensor, "__dlpack_device__"):
        raise refusal(
            "from_dlpack",
            TypeError,
            f"found a {type(ext_tensor).__name__}, expected an array with __dlpack__",
        )
    kind, number = ext_tensor.__dlpack_device__()
    if int(kind) not in (1, 2) or (int(kind) == 2 and number != 0):
        raise refusal(
            "from_dlpack",
            devices.DeviceError,
            f"found an array on DLPack's device ({int(kind)}, {number}), expected (1, 0) or (2, 0)",
        )
    xp = devices.module(CPU if int(kind) == 1 else CUDA)
    return Tensor._from_outside(xp.from_dlpack(ext_tensor)).to(device=device, copy=copy is True)
