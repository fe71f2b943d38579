"""A file of CUDA C++ kernels.  It runs where its arrays are: on the GPU for cupy arrays, on the CPU for numpy arrays.

    source = CudaSource("matmul/matmul.cu")                        # nothing is read or compiled yet
    source.launch("matmul_naive", grid, block, x, w, out, np.int32(m), ...)

For the GPU, NVRTC compiles the file for the card's architecture; the result is cached on disk under a hash of
everything that went into it, and loaded by cupy.  For the CPU, g++ compiles the same text against `kernels/hostcuda`.
"""

from __future__ import annotations

import functools
import hashlib
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np

from tinygen.kernels.runtime import cuda_device, disk_cache, dispatch, nvrtc
from tinygen.kernels.runtime.announce import announce
from tinygen.kernels.runtime.headers import included

FOLDER = Path(__file__).parents[1]  # kernels/, whose subfolders hold the sources
OPTIONS = ("--std=c++17", "--generate-line-info", "--ptxas-options=-v")
INT32 = np.iinfo(np.int32)


class CudaSource:
    """One .cu file of `kernels/` and what has been compiled from it."""

    def __init__(self, file: str | Path) -> None:
        self.path = FOLDER / file
        self._modules: dict = {}  # architecture -> cupy.RawModule
        self._functions: dict = {}  # (architecture, kernel) -> cupy.RawKernel
        self._on_host: dict = {}  # checked or not -> hostcuda.Module

    def __repr__(self) -> str:
        return f"CudaSource({self.path.name!r})"

    # -- the file ---------------------------------------------------------------------------------------------------

    @functools.cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @functools.cached_property
    def headers(self) -> dict[str, str]:
        """Every header that the source includes: name -> text."""
        return included(self.path)

    # -- launching --------------------------------------------------------------------------------------------------

    def launch(
        self, kernel: str, grid: tuple, block: tuple, *arguments, shared: int = 0, reachable=()
    ) -> None:
        """Run `kernel` with `grid` blocks of `block` threads, both tuples of 1 to 3 ints.

        Arguments are arrays, None for a null pointer, and numpy scalars of the exact C type (np.int32, np.int64,
        np.uint32, np.float32).  A Python int is passed as int, a Python float as float.

        `shared` is the number of bytes of dynamic shared memory; `reachable` are further arrays that the kernel reaches
        through addresses stored in an argument.  A grid with a zero in it launches nothing: the output is empty.
        """
        values, on_gpu = self._checked(kernel, arguments)
        if 0 in grid:
            return
        if on_gpu:
            function = self._function(cuda_device.architecture(), kernel)
            if shared and shared > function.max_dynamic_shared_size_bytes:
                function.max_dynamic_shared_size_bytes = shared
            with cuda_device.errors_told():
                function(grid, block, tuple(values), shared_mem=shared)
        else:
            self._launch_on_host(kernel, grid, block, values, shared=shared, reachable=reachable)

    def _checked(self, kernel: str, arguments) -> tuple[list, bool]:
        """The arguments as the kernel takes them, and whether the arrays are on the GPU."""
        device_array = getattr(sys.modules.get("cupy"), "ndarray", ())
        values, places = [], set()
        for position, value in enumerate(arguments):
            if isinstance(value, np.ndarray):
                places.add("numpy")
            elif isinstance(value, device_array):
                places.add("cupy")
            elif type(value) is int:
                if not INT32.min <= value <= INT32.max:
                    raise OverflowError(
                        f"{kernel}: argument {position} is {value}, too large for an int; pass np.int64 to a long long"
                    )
                value = np.int32(value)
            elif type(value) is float:
                value = np.float32(value)
            elif value is not None and not isinstance(value, np.generic):
                raise TypeError(
                    f"{kernel}: argument {position} is {type(value).__name__}, expected an array or a number"
                )
            values.append(value)
        if len(places) != 1:
            found = "numpy and cupy arrays mixed" if places else "no array among its arguments"
            raise TypeError(f"{kernel}: {found}")
        return values, places == {"cupy"}

    # -- on the GPU -------------------------------------------------------------------------------------------------

    def _function(self, arch: int, kernel: str):
        key = arch, kernel
        if key not in self._functions:
            with cuda_device.errors_told():
                if arch not in self._modules:
                    cubin = self.cubin_path(arch, nvrtc.load(cuda_device.driver()))
                    self._modules[arch] = cuda_device.cupy().RawModule(path=str(cubin))
                self._functions[key] = self._modules[arch].get_function(kernel)
        return self._functions[key]

    def cubin_path(self, arch: int, compiler: nvrtc.Nvrtc) -> Path:
        """The machine code for sm_`arch`, from the user's cache folder or compiled now, with its log beside it."""
        options = (*OPTIONS, f"--gpu-architecture=sm_{arch}")
        content = repr((self.text, self.headers, options, compiler.version))
        digest = hashlib.sha256(content.encode()).hexdigest()[:24]
        name = f"{self.path.stem}-sm_{arch}-{digest}.cubin"
        with suppress(OSError):
            path = disk_cache.folder("cuda") / name
            if disk_cache.is_kept(path.with_suffix(".log")) and disk_cache.is_kept(path):
                return path
        announce(f"compiling {self.path.name} for sm_{arch} … (cached for the next time)")
        cubin, log = compiler.compile(self.text, self.path.name, self.headers, options)
        try:
            return _kept(disk_cache.folder("cuda") / name, cubin, log)
        except OSError as error:
            disk_cache.tell(error)
            return _kept(disk_cache.temporary_folder() / name, cubin, log)

    # -- on the CPU -------------------------------------------------------------------------------------------------

    def _launch_on_host(self, kernel: str, grid, block, values, **options) -> None:
        from tinygen.kernels import hostcuda

        forced = dispatch.forced_here() or dispatch.Forced(kernel)
        if forced.checked not in self._on_host:
            self._on_host[forced.checked] = hostcuda.compile(self.path, checked=forced.checked)
        self._on_host[forced.checked].launch(kernel, grid, block, values, order=forced.order, **options)


def _kept(path: Path, cubin: bytes, log: str) -> Path:
    disk_cache.keep(path.with_suffix(".log"), log.encode())
    return disk_cache.keep(path, cubin)


def float32_only(kernel: str, **arrays) -> None:
    """TypeError for an array that is not float32, the only type in which the CUDA kernels compute."""
    for name, array in arrays.items():
        if array.dtype != np.float32:
            raise TypeError(f"{kernel}: the CUDA kernels compute in float32, {name} is {array.dtype}")


def address(array) -> int:
    """The address of the first element, in the memory of the CPU or the GPU."""
    return array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr
