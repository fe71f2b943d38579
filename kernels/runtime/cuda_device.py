"""Is there a GPU that our kernels can run on?  If not, one sentence says why, and what to install or change."""

from __future__ import annotations

import functools
import os
import re
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tinygen.kernels.runtime import capture, disk_cache
from tinygen.kernels.runtime.lazy_import import whole

HOST = np.ndarray, np.generic  # on the CPU; NumPy returns scalars, not arrays, for results without dimensions
OLDEST = 80  # sm_80, Ampere: the oldest architecture that the kernels are written for
EXTRAS = 12, 13  # the CUDA versions with an extra that installs CuPy
DRIVERS = "580 or newer for CUDA 13, 525 for CUDA 12"
NO_DRIVER = f"no NVIDIA driver found that CuPy can use: install one ({DRIVERS}), or use the CPU"
INSTALL = "pip install 'tinygen[cuda13]' (or 'tinygen[cuda12]', for a driver below 580)"


class CudaError(RuntimeError):
    """The GPU cannot be used or ran out of memory; the message says what to install or change."""


def cupy():
    """The cupy module, or a CudaError that says how to get it."""
    if "cupy" not in sys.modules:
        _give_cupy_a_cache()
    try:
        return whole("cupy")
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
            raise CudaError(f"cuda needs CuPy, which is not installed: {INSTALL}") from error
        raise CudaError(f"CuPy is installed but cannot be imported: {error}") from error


def _give_cupy_a_cache() -> None:
    """Where CuPy's cache folder cannot be written to, it cannot be imported: give it one of ours."""
    path = Path(os.environ.get("CUPY_CACHE_DIR") or os.path.expanduser("~/.cupy/kernel_cache"))
    try:
        if not path.is_absolute() and path.parts[:1] == ("~",):
            raise FileNotFoundError("no home folder")
        disk_cache.writable(path)
    except OSError:
        os.environ["CUPY_CACHE_DIR"] = str(disk_cache.writable_folder("cupy"))


@functools.cache
def driver() -> int:
    """The newest CUDA version that the driver supports, 12 or 13.  CudaError without a driver or a GPU, or if the
    driver is too old for CuPy."""
    runtime = cupy().cuda.runtime
    with errors_told():
        version = runtime.driverGetVersion()
        needed = runtime.runtimeGetVersion()
    if version == 0:
        raise CudaError(NO_DRIVER)
    if version // 1000 < needed // 1000:
        other = f", or pip install 'tinygen[cuda{version // 1000}]'" if version // 1000 in EXTRAS else ""
        raise CudaError(
            f"the NVIDIA driver is for CUDA {_version(version)}, older than this CuPy's {_version(needed)}: "
            f"update it ({DRIVERS}){other}"
        )
    with errors_told():
        count = runtime.getDeviceCount()
    if count == 0:
        raise CudaError(
            "there is a driver but no GPU: check CUDA_VISIBLE_DEVICES and nvidia-smi, or use the CPU"
        )
    return version // 1000


def architecture() -> int:
    """80, 86, 90, …: the compute capability of the current GPU, for which the kernels are compiled."""
    driver()  # has imported cupy
    return _architecture(sys.modules["cupy"].cuda.runtime.getDevice())


@functools.cache
def _architecture(device: int) -> int:
    card = cupy().cuda.Device(device)
    number = int(card.compute_capability)
    if number < OLDEST:
        raise CudaError(
            f"the card is of compute capability {number / 10:.1f}, tinygen's kernels need {OLDEST / 10:.1f} "
            "(A100, RTX 30, or newer): use another card (CUDA_VISIBLE_DEVICES) or the CPU"
        )
    return number


def on_device(array, device: str):
    """The array on the device 'cpu' or 'cuda': itself if it is already there, else a copy."""
    here = isinstance(array, HOST)
    if here == (device == "cpu"):
        return array
    if here and (kept := capture.constant(array)) is not None:
        return kept
    with errors_told():
        return cupy().asarray(array) if here else array.get()


def on_host(array) -> np.ndarray:
    """The array itself if it is NumPy's, else a copy in host memory."""
    return array if isinstance(array, HOST) else array.get()


@contextmanager
def errors_told():
    """Turn exceptions of cupy into a CudaError with a clear message, if we have one."""
    try:
        yield
    except Exception as error:
        message = told(error)
        if message is None:
            raise
        raise CudaError(message) from error


def told(error: Exception) -> str | None:
    """Our message for an error of cupy's; None if we have none and cupy's own should stand."""
    name, text = type(error).__name__, str(error)
    if isinstance(error, ImportError) and (library := re.search(r"lib((?:cu|nv)\w+)\.so", text)):
        return f"CUDA's library {library[1]}, which this operation needs, is missing: {INSTALL} brings it ({text})"
    if (
        name == "OutOfMemoryError"
        or "cudaErrorMemoryAllocation" in text
        or "CUDA_ERROR_OUT_OF_MEMORY" in text
    ):
        return f"out of GPU memory{_memory()}: take a smaller --batch or a smaller model, or free the card ({text})"
    if "cudaErrorInsufficientDriver" in text:
        return NO_DRIVER
    if "cudaErrorNoDevice" in text:
        return "there is a driver but no GPU: check CUDA_VISIBLE_DEVICES and nvidia-smi, or use the CPU"
    if "CUDA_ERROR_NO_BINARY_FOR_GPU" in text or "CUDA_ERROR_INVALID_IMAGE" in text:
        return f"the driver does not take this kernel's machine code: update the driver ({text})"
    return None


def _memory() -> str:
    try:
        free, total = sys.modules["cupy"].cuda.runtime.memGetInfo()
        return f" ({free / 2**30:.1f} of {total / 2**30:.1f} GiB free)"
    except Exception:  # an error message must not raise
        return ""


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"
