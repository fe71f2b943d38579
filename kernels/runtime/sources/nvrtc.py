"""NVRTC, NVIDIA's runtime compiler, through ctypes: CUDA C++ text in, machine code for one architecture (a cubin) out.

It needs no GPU, no driver and no toolkit: `pip install nvidia-cuda-nvrtc` (CUDA 13) or `nvidia-cuda-nvrtc-cu12` is
enough.  CuPy can call NVRTC too, but asks the driver which architecture to compile for; we name it ourselves.  We never
make PTX: a driver refuses PTX newer than itself, but runs a cubin from any NVRTC of its own major version.

Documentation: https://docs.nvidia.com/cuda/nvrtc/ (the API is the same from 11.2 to 13).
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
from ctypes.util import find_library
from pathlib import Path

from tinygen.kernels.runtime.cuda_device import CudaError

MISSING = (
    "NVRTC, which compiles CUDA C++, is not installed: pip install nvidia-cuda-nvrtc (CUDA 13) or "
    "nvidia-cuda-nvrtc-cu12 (CUDA 12); the extras tinygen[cuda13] and tinygen[cuda12] include it"
)


class CompileError(RuntimeError):
    """The source did not compile.  The message is the compiler's."""


class NvrtcMissing(ImportError):
    """There is no NVRTC on this machine."""


def libraries() -> list[Path]:
    """Every libnvrtc that can be found: first the wheels', then the toolkit's; in each place the newest first."""
    folders = []
    for package in ("nvidia", "nvidia.cu13", "nvidia.cuda_nvrtc"):
        try:
            spec = importlib.util.find_spec(package)
        except ModuleNotFoundError:
            continue
        folders += spec.submodule_search_locations or [] if spec else []
    wheels = [Path(folder) / "lib" for folder in folders]
    toolkit = Path(os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH") or "/usr/local/cuda")
    found = []
    for folder in (*wheels, toolkit / "lib64", toolkit / "lib"):
        names = [f for f in folder.glob("libnvrtc.so.[0-9]*") if f.name.count(".") == 2]
        found += sorted(names, key=_major, reverse=True)
    system = find_library("nvrtc")
    return list(dict.fromkeys([*found, *([Path(system)] if system else [])]))


def _major(path: Path) -> int:
    return int(path.name.rpartition(".")[2])


@functools.cache
def load(newest: int | None = None) -> Nvrtc:
    """The first NVRTC whose major version is at most `newest`, that of the driver (None: any)."""
    too_new = []
    for path in libraries():
        try:
            nvrtc = Nvrtc(path)
        except OSError:
            continue
        if newest is None or nvrtc.version[0] <= newest:
            return nvrtc
        too_new.append(nvrtc)
    if too_new:
        version = ".".join(map(str, too_new[0].version))
        raise NvrtcMissing(
            f"the installed NVRTC {version} makes code for CUDA {too_new[0].version[0]} drivers, this driver is for "
            f"CUDA {newest}: update the driver, or pip install 'tinygen[cuda{newest}]'"
        )
    raise NvrtcMissing(MISSING)


class Nvrtc:
    """One loaded libnvrtc."""

    def __init__(self, path: Path) -> None:
        self._lib = ctypes.CDLL(str(path))
        self._lib.nvrtcGetErrorString.restype = ctypes.c_char_p
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        self.version = major.value, minor.value

    def _call(self, name: str, *arguments) -> None:
        code = getattr(self._lib, name)(*arguments)
        if code:
            raise CompileError(f"{name}: {self._lib.nvrtcGetErrorString(code).decode()}")

    def architectures(self) -> list[int]:
        """The architectures that this version can compile for: 80, 86, …"""
        count = ctypes.c_int()
        self._call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
        numbers = (ctypes.c_int * count.value)()
        self._call("nvrtcGetSupportedArchs", numbers)
        return list(numbers)

    def target(self, arch: int) -> int:
        """The architecture to compile for, for a card of `arch`: an older one of its generation if it is too new.

        Code for 8.0 runs on 8.6 and 8.9, but not on 9.0.  CudaError if this version knows none of the generation.
        """
        known = self.architectures()
        runs = [a for a in known if a // 10 == arch // 10 and a <= arch]
        if not runs:
            raise CudaError(
                f"the card is of compute capability {arch / 10:.1f}, and NVRTC {'.'.join(map(str, self.version))} "
                f"compiles for {min(known) / 10:.1f} to {max(known) / 10:.1f}: update it "
                "(pip install --upgrade nvidia-cuda-nvrtc, which is CUDA 13's), or use another card or the CPU"
            )
        return max(runs)

    def compile(self, source: str, name: str, headers: dict[str, str], options: tuple[str, ...]):
        """(cubin, log).  `headers`: name -> text, for #include.  The log holds warnings and the report of ptxas."""
        texts = [text.encode() for text in headers.values()]
        names = [header.encode() for header in headers]
        program = ctypes.c_void_p()
        self._call(
            "nvrtcCreateProgram",
            ctypes.byref(program),
            source.encode(),
            name.encode(),
            len(headers),
            (ctypes.c_char_p * len(texts))(*texts),
            (ctypes.c_char_p * len(names))(*names),
        )
        try:
            flags = [option.encode() for option in options]
            code = self._lib.nvrtcCompileProgram(program, len(flags), (ctypes.c_char_p * len(flags))(*flags))
            log = self._read("ProgramLog", program).rstrip(b"\0").decode()
            if code:
                raise CompileError(
                    f"{name} does not compile:\n{log or self._lib.nvrtcGetErrorString(code).decode()}"
                )
            return self._read("CUBIN", program), log
        finally:
            self._lib.nvrtcDestroyProgram(ctypes.byref(program))

    def _read(self, what: str, program) -> bytes:
        size = ctypes.c_size_t()
        self._call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self._call(f"nvrtcGet{what}", program, buffer)
        return buffer.raw
