"""Devices as callers name them: 'cpu', 'cuda', 'cuda:0'.  One GPU a process: CUDA_VISIBLE_DEVICES chooses which."""

from __future__ import annotations

import numpy as np

from tinygen.engine.errors import refusal
from tinygen.kernels.runtime import cuda_device
from tinygen.kernels.runtime.cuda_device import HOST, CudaError


class DeviceError(RuntimeError):
    """Tensors of two devices in one operation, or a device that does not exist."""


class device(str):
    """'cpu', 'cuda' or 'cuda:0'; compares like the string, `.type` and `.index` as in PyTorch."""

    def __new__(cls, type, index: int | None = None):
        if isinstance(type, int) and index is None:
            type, index = "cuda", type
        name = str(type) if index is None else f"{type}:{index}"
        kind, colon, number = name.partition(":")
        if kind not in ("cpu", "cuda") or (colon and not number.isdecimal()):
            raise refusal("device", RuntimeError, f"found {name!r}, expected 'cpu', 'cuda' or 'cuda:0'")
        return super().__new__(cls, name)

    @property
    def type(self) -> str:
        return str(self).partition(":")[0]  # partition of a subclass may return `self`, a device

    @property
    def index(self) -> int | None:
        return int(str(self).partition(":")[2]) if ":" in self else None

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type={self.type!r}{index})"


CPU, CUDA = device("cpu"), device("cuda:0")


def of(array) -> device:
    """Where an array lives."""
    return CPU if isinstance(array, HOST) else CUDA


# Whether a GPU was ever asked for; until then every array is on the CPU and no check is needed.
in_use = False


def _cupy():
    """The module cupy; from now on arrays may be on a GPU.  Raises CudaError if no GPU can be used."""
    global in_use
    if not in_use:
        cuda_device.architecture()
        in_use = True
    return cuda_device.cupy()


def checked(name) -> device:
    """The device CPU or CUDA for any accepted spelling (None: the CPU).  Raises CudaError if no GPU can be used."""
    if name is None or name is CPU:
        return CPU
    wanted = name if isinstance(name, device) else device(name)
    if wanted.index not in (None, 0):
        raise DeviceError(
            f"device {wanted}: one device of a kind is used; set CUDA_VISIBLE_DEVICES={wanted.index} and use 'cuda'"
        )
    if wanted.type == "cpu":
        return CPU
    _cupy()
    return CUDA


def module(name):
    """numpy or cupy, whichever creates arrays on the named device (None: the CPU)"""
    return np if name is None or checked(name) is CPU else _cupy()


def move(array, name):
    """The array on that device; the same array if it is there already."""
    return cuda_device.on_device(array, checked(name).type)


def on_host(array) -> np.ndarray:
    """The array itself if it is NumPy's, else a copy in host memory"""
    return cuda_device.on_host(array)


def is_device_array(x) -> bool:
    """Whether x is an array in a GPU's memory, of cupy or of a library that exposes `__cuda_array_interface__`"""
    return not isinstance(x, HOST) and hasattr(x, "__cuda_array_interface__")


def is_array(x) -> bool:
    return isinstance(x, np.ndarray) or is_device_array(x)


def adopted(x):
    """A cupy array over another library's array, without copying"""
    return _cupy().asarray(x)


def writeable(array) -> bool:
    """Whether no two elements of a GPU array share a memory location, as an expanded Tensor's do; cupy has no flag"""
    return all(stride or n < 2 for n, stride in zip(array.shape, array.strides))


def out_of_memory(operation: str, error: MemoryError, operands: str = "") -> Exception:
    """The error of a failed GPU allocation, with advice; a CPU's MemoryError unchanged"""
    advice = cuda_device.told(error)
    return error if advice is None else CudaError(f"{operation}: {advice}{operands and f'; {operands}'}")


def why_no_gpu() -> str | None:
    """One sentence on what is missing, or None if a GPU can be used"""
    try:
        cuda_device.architecture()
    except CudaError as error:
        return str(error)
    return None


def gpu_runtime():
    """CUDA's own functions, as cupy has them"""
    return _cupy().cuda.runtime


def gpu_memory():
    """The pool in which cupy keeps the GPU's memory"""
    return _cupy().get_default_memory_pool()


def gpu_name() -> str:
    name = gpu_runtime().getDeviceProperties(0)["name"]
    return name.decode() if isinstance(name, bytes) else name
