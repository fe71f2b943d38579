"""What does a launch of a CUDA kernel cost in Python, outside of the driver?  Needs no GPU.

python -m tinygen.benchmarks.studies.launch [--repeat 5]

`CudaSource.launch` runs with everything but the loaded kernel, which is replaced by a function that does nothing; the
cost of calling that function is subtracted.  The arrays are cupy's own if cupy is installed, else objects with the same
attributes.  Prints the best of several repeats: everything slower was something else on the machine.
"""

from __future__ import annotations

import argparse
import sys
import timeit
from types import SimpleNamespace

import numpy as np

ARCHITECTURE = 90
CALLS = 20_000
KERNELS = [
    ("activation/activation.cu", "sigmoid"),
    ("reduce/reduce.cu", "sum_rows"),
    ("philox/philox.cu", "philox_normals"),
    ("norm/norm.cu", "normalize_block_rows"),
    ("matmul/matmul.cu", "matmul_register_tiled"),
    ("optimizers/optimizers.cu", "adam_one_pass"),
    ("conv2d/conv2d.cu", "conv2d_implicit_gemm"),
    ("attention/attention.cu", "attention_tiled_64"),
    ("attention/attention.cu", "attention_grad_queries_64"),
]


def main(argv: list[str] | None = None) -> None:
    """Print a line per kernel."""
    parser = argparse.ArgumentParser(prog="launch", description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="repeats of each (default 5)")
    repeat = parser.parse_args(argv).repeat
    if repeat < 1:
        parser.error(f"--repeat: found {repeat}, expected 1 or more")
    arrays = install()
    print(f"{'kernel':28} arguments  µs a launch   arrays: {arrays}")
    for file, kernel in KERNELS:
        count, cost = measured(file, kernel, repeat)
        print(f"{kernel:28} {count:9} {cost:12.2f}")


def measured(file: str, kernel: str, repeat: int) -> tuple[int, float]:
    """The number of arguments, and the microseconds of a launch without those of the kernel's own call."""
    from tinygen.kernels.runtime.cuda_source import CudaSource

    source = CudaSource(file)
    arguments = [argument(parameter) for parameter in source.kernels[kernel].parameters]
    source._modules[ARCHITECTURE] = SimpleNamespace(get_function=lambda name: nothing)
    grid, block, slots = (100,), (128,), (0,) * len(arguments)
    source.launch(kernel, grid, block, *arguments)

    def best(function) -> float:
        return min(timeit.repeat(function, number=CALLS, repeat=repeat)) / CALLS * 1e6

    alone = best(lambda: nothing(grid, block, slots, shared_mem=0))
    return len(arguments), best(lambda: source.launch(kernel, grid, block, *arguments)) - alone


def nothing(grid, block, arguments, *, shared_mem) -> None:
    """A loaded kernel whose launch costs nothing."""


def argument(parameter):
    """An argument that the parameter takes: an array, null for a bias, or a Python number."""
    if parameter.pointer:
        return None if parameter.name == "bias" else sys.modules["cupy"].made(parameter.dtype)
    return 0.5 if parameter.kind == "f" else 17


class Array:
    """The attributes of cupy.ndarray that a launch reads."""

    __slots__ = "data", "dtype"

    def __init__(self, dtype) -> None:
        self.data, self.dtype = SimpleNamespace(ptr=0x7F0000000200), np.dtype(dtype)


def install() -> str:
    """Put a `cupy` with one card and no driver into sys.modules.  -> where its arrays come from"""
    try:
        import cupy
        from cupy.cuda import function
    except ImportError:
        ndarray, made, function, arrays = Array, Array, None, "stand-in"
    else:

        def made(dtype):
            memory = cupy.cuda.UnownedMemory(0x7F0000000200, 4096, None, 0)
            return cupy.ndarray((4,), dtype, cupy.cuda.MemoryPointer(memory, 0))

        ndarray, arrays = cupy.ndarray, f"cupy {cupy.__version__}"
    runtime = SimpleNamespace(
        driverGetVersion=lambda: 13000,
        runtimeGetVersion=lambda: 13000,
        getDeviceCount=lambda: 1,
        getDevice=lambda: 0,
    )
    card = SimpleNamespace(compute_capability=str(ARCHITECTURE))
    cuda = SimpleNamespace(runtime=runtime, Device=lambda number: card, function=function)
    sys.modules["cupy"] = SimpleNamespace(ndarray=ndarray, cuda=cuda, made=made)
    return arrays


if __name__ == "__main__":
    main()
