"""Every library that a dispatch on a GPU can reach: is it here, and does it load?  Needs no GPU and no driver.

python -m tinygen.kernels.runtime.reachable

Prints a line for each, `found` or `missing` with what to install.  The exit code is 1 if one is missing.  Of cupy,
tinygen uses arrays, elementwise functions, sorting and matrix products: no cuSOLVER, cuFFT, cuRAND or cuSPARSE.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tinygen.kernels.runtime import cuda_device, numba_cuda
from tinygen.kernels.runtime.lazy_import import whole
from tinygen.kernels.runtime.sources import nvrtc

KERNEL = 'extern "C" __global__ void k(float *x) { x[0] = 1; }'


class Library(NamedTuple):
    """One that can be missing on its own."""

    name: str
    reached_by: str
    load: Callable[[], str]  # -> its version, or where it is; an exception if it does not load


def _cupy() -> str:
    return cuda_device.cupy().__version__


def _cublas() -> str:
    whole(
        "cupy.cublas"
    )  # imports CuPy's binding as its products do: cuda-pathfinder finds the wheel's library
    return "loads"


def _sort() -> str:
    if not whole("cupy.cuda.thrust").available:
        raise ImportError("this CuPy was built without it")
    return "in CuPy"


def _erf() -> str:
    whole("cupyx.scipy.special").erf  # noqa: B018
    return "in CuPy"


def _nvrtc() -> str:
    """Compile for the oldest card and the newest one that it knows."""
    compiler = nvrtc.load()
    known = compiler.architectures()
    for arch in {cuda_device.OLDEST, max(known)}:
        compiler.compile(KERNEL, "k.cu", {}, (f"--gpu-architecture=sm_{arch}",))
    return f"{'.'.join(map(str, compiler.version))}, cards {cuda_device.OLDEST / 10} to {max(known) / 10}"


def _cupys_nvrtc() -> str:
    return ".".join(map(str, whole("cupy_backends.cuda.libs.nvrtc").getVersion()))


def _headers() -> str:
    folder = whole("cuda.pathfinder").find_nvidia_header_directory("cudart")
    if folder is None or not Path(folder, "cuda_fp16.h").exists():
        raise ImportError("there is no cuda_fp16.h")
    return str(folder)


def _numba_cuda() -> str:
    """Compile a kernel with NVVM."""

    def kernel(x):
        x[0] = 1

    cuda, numba = numba_cuda.numba_cuda(), whole("numba")
    cuda.compile(kernel, (numba.float32[::1],), cc=(cuda_device.OLDEST // 10, 0))
    return whole("numba_cuda").__version__


def _nvjitlink() -> str:
    return Path(whole("cuda.pathfinder").load_nvidia_dynamic_lib("nvJitLink").abs_path).name


LIBRARIES = [
    Library("CuPy", "every array on a GPU", _cupy),
    Library(
        "cuBLAS",
        "matmul, conv2d, attention not in float32; attention of more than 128 columns",
        _cublas,
    ),
    Library("Thrust", "sort, argsort, unique, add_rows, permutations", _sort),
    Library("CuPy's erf", "erf, gelu", _erf),
    Library("NVRTC", "every .cu file", _nvrtc),
    Library("NVRTC for CuPy", "CuPy's elementwise functions and sums", _cupys_nvrtc),
    Library("CUDA's headers", "CuPy's elementwise functions and sums", _headers),
    Library("numba-cuda", "the numba_… variants, which run only when forced", _numba_cuda),
    Library("nvJitLink", "numba-cuda", _nvjitlink),
]


def lines() -> Iterator[tuple[bool, str]]:
    """(found, its line) for every library."""
    for library in LIBRARIES:
        try:
            yield True, f"found    {library.name:15} {library.load()}"
        except Exception as error:
            reason = " ".join(str(error).split())
            install = "" if "pip install" in reason else f"; {cuda_device.INSTALL}"
            yield False, f"missing  {library.name:15} {reason}{install}.  Needed by: {library.reached_by}"


def main(argv: list[str] | None = None) -> int:
    """Print the lines.  -> 1 if a library is missing"""
    argparse.ArgumentParser(prog="reachable", description=__doc__.splitlines()[0]).parse_args(argv)
    missing = 0
    for found, line in lines():
        print(line, flush=True)
        missing += not found
    return min(missing, 1)


if __name__ == "__main__":
    sys.exit(main())
