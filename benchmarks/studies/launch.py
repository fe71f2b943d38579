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
# file, kernel, arguments: p array, 0 null pointer, i int, q np.int64, u np.uint32, f float
LAUNCHES = [
    ("activation/activation.cu", "sigmoid", "ppq"),
    ("reduce/reduce.cu", "sum_rows", "ppiii"),
    ("philox/philox.cu", "philox_normals", "pquuuuuu"),
    ("norm/norm.cu", "normalize_block_rows", "ppppppqif"),
    ("matmul/matmul.cu", "matmul_register_tiled", "pppiiiqiiqiii"),
    ("optimizers/optimizers.cu", "adam_one_pass", "ppppqfffffffff"),
    ("conv2d/conv2d.cu", "conv2d_implicit_gemm", "ppp" + 16 * "i"),
    ("attention/attention.cu", "attention_tiled_64", 3 * "piii" + "0iiiiiiiiifipp"),
    ("attention/attention.cu", "attention_grad_queries_64", 4 * "piii" + "0iiiiiiiiifipppp"),
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
    for file, kernel, letters in LAUNCHES:
        print(f"{kernel:28} {len(letters):9} {microseconds(file, kernel, letters, repeat):12.2f}")


def microseconds(file: str, kernel: str, letters: str, repeat: int = 5, calls: int = CALLS) -> float:
    """The time of a launch without that of the kernel's own call."""
    from tinygen.kernels.runtime.cuda_source import CudaSource

    source, arguments = CudaSource(file), values(letters)
    source._modules[ARCHITECTURE] = SimpleNamespace(get_function=lambda name: nothing)
    grid, block, slots = (100,), (128,), (0,) * len(letters)
    source.launch(kernel, grid, block, *arguments)

    def best(function) -> float:
        return min(timeit.repeat(function, number=calls, repeat=repeat)) / calls * 1e6

    alone = best(lambda: nothing(grid, block, slots, shared_mem=0))
    return best(lambda: source.launch(kernel, grid, block, *arguments)) - alone


def nothing(grid, block, arguments, *, shared_mem) -> None:
    """A loaded kernel whose launch costs nothing."""


def values(letters: str) -> list:
    """The arguments that LAUNCHES describes."""
    made = {
        "p": lambda: sys.modules["cupy"].made(),
        "0": lambda: None,
        "i": lambda: 17,
        "q": lambda: np.int64(17),
        "u": lambda: np.uint32(17),
        "f": lambda: 0.5,
    }
    return [made[letter]() for letter in letters]


class Array:
    """The attributes of cupy.ndarray that a launch reads."""

    __slots__ = "data", "dtype"

    def __init__(self) -> None:
        self.data, self.dtype = SimpleNamespace(ptr=0x7F0000000200), np.dtype(np.float32)


def install() -> str:
    """Put a `cupy` with one card and no driver into sys.modules.  -> where its arrays come from"""
    try:
        import cupy
        from cupy.cuda import function
    except ImportError:
        ndarray, made, function, arrays = Array, Array, None, "stand-in"
    else:

        def made():
            memory = cupy.cuda.UnownedMemory(0x7F0000000200, 4096, None, 0)
            return cupy.ndarray((4,), np.float32, cupy.cuda.MemoryPointer(memory, 0))

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
