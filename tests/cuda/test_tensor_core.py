"""include/tensor_core.cuh: which number is in which register of which lane, in hostcuda and, if there is one, on a GPU.

Both run the same source (hostcuda/tensor_core.cu); the GPU's results are the truth that hostcuda has to reproduce.
Expected values come from the PTX ISA 8.x: "Matrix Fragments for mma.m16n8k16", "ldmatrix".
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from tinygen.kernels import hostcuda
from tinygen.kernels.runtime.cuda_source import CudaSource

SOURCE = Path(__file__).parent / "hostcuda" / "tensor_core.cu"
ON_HOST = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("g++") is None, reason="hostcuda needs Linux and g++"
)
HOST = [pytest.param(place, marks=ON_HOST) for place in ("fast", "checked", "reverse", "random")]


@pytest.fixture(params=[*HOST, pytest.param("gpu", marks=pytest.mark.gpu)])
def launch(request):
    """launch(kernel, *arguments) with one warp; the last array is the output, and comes back as numpy's."""

    def on_host(kernel, *arguments):
        module = hostcuda.compile(SOURCE, checked=request.param == "checked")
        order = request.param if request.param in ("reverse", "random") else "forward"
        module.launch(kernel, (1,), (32,), arguments, order=order)
        return [a for a in arguments if isinstance(a, np.ndarray)][-1]

    def on_gpu(kernel, *arguments):
        import cupy

        moved = [cupy.asarray(a) if isinstance(a, np.ndarray) else a for a in arguments]
        CudaSource(SOURCE).launch(kernel, (1,), (32,), *moved)
        return [a for a in moved if isinstance(a, cupy.ndarray)][-1].get()

    return on_gpu if request.param == "gpu" else on_host


def floats(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape, dtype=np.float32)


def bfloat16(x):
    """Rounded to the nearest, ties to even: its 16 bits"""
    bits = x.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def float32(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def close(d, expected):
    np.testing.assert_allclose(d, expected, rtol=1e-5, atol=1e-5)


def test_mma_by_its_fragments(launch):
    a, b = bfloat16(floats(16, 16)), bfloat16(floats(16, 8))
    close(launch("one_mma", a, b, np.full((16, 8), np.nan, np.float32)), float32(a) @ float32(b))


def test_mma_of_float16(launch):
    a, b = floats(16, 16).astype(np.float16), floats(16, 8).astype(np.float16)
    bits = a.view(np.uint16), b.view(np.uint16)
    expected = a.astype(np.float32) @ b.astype(np.float32)
    close(launch("one_mma_f16", *bits, np.full((16, 8), np.nan, np.float32)), expected)


def test_ldmatrix_by_its_lanes(launch):
    """Lane l holds elements 2 (l % 4) and the next of row l / 4 of each matrix; transposed: of column l / 4."""
    x = np.arange(1, 257, dtype=np.uint16).reshape(4, 8, 8)
    lanes = launch("loaded_matrices", x, np.zeros((2, 32, 4), np.uint32))
    for turned, found in zip((x, x.swapaxes(1, 2)), lanes):
        pairs = turned.reshape(4, 32, 2).astype(np.uint32)  # (matrix, lane, low and high half)
        np.testing.assert_array_equal(found, (pairs[..., 0] | pairs[..., 1] << 16).T)


@pytest.mark.parametrize("k", [16, 32, 80])
def test_cp_async_ldmatrix_and_mma(launch, k):
    a, b = bfloat16(floats(16, k)), bfloat16(floats(k, 16))
    close(launch("mma_loop", a, b, np.full((16, 16), np.nan, np.float32), k), float32(a) @ float32(b))
