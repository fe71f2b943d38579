"""A file of CUDA C++ kernels.  It runs where its arrays are: on the GPU for cupy arrays, on the CPU for numpy arrays.

    source = CudaSource("matmul/matmul.cu")                        # nothing is read or compiled yet
    source.launch("matmul_naive", grid, block, x, w, out, m, ...)

For the GPU, NVRTC compiles the file for the card's architecture; the result is cached on disk under a hash of
everything that went into it, and loaded by cupy.  For the CPU, g++ compiles the same text against `kernels/hostcuda`.
"""

from __future__ import annotations

import functools
import hashlib
from contextlib import suppress
from pathlib import Path

import numpy as np

from tinygen.kernels.runtime import cuda_device, disk_cache, dispatch
from tinygen.kernels.runtime.announce import announce
from tinygen.kernels.runtime.sources import launching, macros, nvrtc
from tinygen.kernels.runtime.sources.headers import included
from tinygen.kernels.runtime.sources.signatures import signatures

FOLDER = Path(__file__).parents[1]  # kernels/, whose subfolders hold the sources
OPTIONS = ("--std=c++17", "--generate-line-info", "--ptxas-options=-v")


class CudaSource:
    """One .cu file of `kernels/` and what has been compiled from it."""

    def __init__(self, file: str | Path) -> None:
        self.path = FOLDER / file
        self._modules: dict = {}  # architecture -> cupy.RawModule
        self._functions: dict = {}  # (architecture, kernel) -> launching.Launcher
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

    @functools.cached_property
    def kernels(self) -> dict[str, launching.Declared]:
        """Every kernel that the source declares, by name."""
        text = macros.expanded(self.text, self.headers.values())
        return {found.name: launching.Declared(found) for found in signatures(text)}

    # -- launching --------------------------------------------------------------------------------------------------

    def launch(
        self, kernel: str, grid: tuple, block: tuple, *arguments, shared: int = 0, reachable=()
    ) -> None:
        """Run `kernel` with `grid` blocks of `block` threads, both tuples of 1 to 3 ints.

        Arguments are checked against the kernel's declaration: arrays of the pointer's type, None for a null pointer,
        Python or NumPy numbers, which are cast to the parameter's type if it can hold them.

        `shared` is the number of bytes of dynamic shared memory; `reachable` are further arrays that the kernel reaches
        through addresses stored in an argument.  A grid with a zero in it launches nothing: the output is empty.
        """
        declared = self.kernels.get(kernel)
        if declared is None:
            raise ValueError(f"{self.path.name} has no kernel {kernel!r}: it has {', '.join(self.kernels)}")
        on_gpu = declared.on_gpu(arguments)
        if (grid, block) not in declared.shapes:
            if 0 in grid:
                return
            declared.check_shape(grid, block)
        if on_gpu:
            function = self._function(cuda_device.architecture(), kernel)
            function(grid, block, arguments, shared_mem=shared)
        else:
            self._launch_on_host(kernel, grid, block, arguments, shared=shared, reachable=reachable)

    # -- on the GPU -------------------------------------------------------------------------------------------------

    def _function(self, arch: int, kernel: str):
        """(grid, block, arguments, *, shared_mem) -> launch it"""
        key = arch, kernel
        if key not in self._functions:
            with cuda_device.errors_told():
                if arch not in self._modules:
                    compiler = nvrtc.load(cuda_device.driver())
                    cubin = self.cubin_path(compiler.target(arch), compiler)
                    self._modules[arch] = cuda_device.cupy().RawModule(path=str(cubin))
                loaded = self._modules[arch].get_function(kernel)
                self._functions[key] = launching.Launcher(self.kernels[kernel], loaded)
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
