"""Softmax, its logarithm and their gradients on the GPU (`softmax.cu`): float32, along any dimension."""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.runtime.cuda_source import CudaSource, float32_only
from tinygen.kernels.runtime.dispatch import Kernel, array_module
from tinygen.kernels.runtime.rounding import ceil_div
from tinygen.kernels.softmax.reference import log_softmax, log_softmax_grad, softmax, softmax_grad

source = CudaSource("softmax/softmax.cu")
WARP_HOLDS = 256  # numbers of a row, 8 for each of 32 threads
A_THREAD_HOLDS = 16  # numbers, in block_rows


def _naive(name: str, *arrays, dim: int):
    """Launch with one thread per row, whose numbers are B apart in memory."""
    arrays, dim = _checked(name, arrays), dim % arrays[0].ndim
    shape = arrays[0].shape
    B = math.prod(shape[dim + 1 :])
    out = array_module(arrays[0]).empty(shape, np.float32)
    if out.size:
        rows = math.prod(shape[:dim]) * B
        source.launch(
            f"{name}_naive", (ceil_div(rows, 128),), (128,), *arrays, out, np.int64(rows), shape[dim], B
        )
    return out


def _warp_rows(name: str, *arrays, dim: int):
    """Launch with one warp per row, eight rows per block."""
    return _rows(f"{name}_warp_rows", *arrays, dim=dim, shape_of=lambda rows, size: (ceil_div(rows, 8), 256))


def _block_rows(name: str, *arrays, dim: int):
    """Launch with one block per row, as many warps as hold the row."""

    def shape_of(rows: int, size: int):
        warps = ceil_div(size, 32 * A_THREAD_HOLDS)
        return rows, 32 * min(warps, 32)

    return _rows(f"{name}_block_rows", *arrays, dim=dim, shape_of=shape_of)


def _rows(kernel: str, *arrays, dim: int, shape_of):
    """Launch with shape_of(rows, size) -> (blocks, threads) along the last dimension; others are moved there."""
    xp = array_module(arrays[0])
    moved = _checked(kernel, [xp.moveaxis(a, dim, -1) for a in arrays])
    out = xp.empty(moved[0].shape, np.float32)
    if out.size:
        size = out.shape[-1]
        blocks, threads = shape_of(out.size // size, size)
        source.launch(kernel, (blocks,), (threads,), *moved, out, np.int64(out.size // size), size)
    return xp.moveaxis(out, -1, dim)


def _checked(kernel: str, arrays) -> list:
    """The arrays, made contiguous.  An error if one is not float32 or their shapes differ."""
    float32_only(kernel, **{f"argument {i}": a for i, a in enumerate(arrays)})
    if len({a.shape for a in arrays}) > 1:
        raise ValueError(f"{kernel}: expected one shape; got {', '.join(str(a.shape) for a in arrays)}")
    return [array_module(a).ascontiguousarray(a) for a in arrays]


def _float32(*arrays) -> bool:
    return all(a.dtype == np.float32 and a.shape == arrays[0].shape for a in arrays)


def _is_last(x, dim: int) -> bool:
    return dim in (-1, x.ndim - 1)


def _naive_usable(*arguments) -> bool:
    *arrays, dim = arguments
    return _float32(*arrays) and not _is_last(arrays[0], dim)


def _warp_rows_usable(*arguments) -> bool:
    *arrays, dim = arguments
    return _float32(*arrays) and _is_last(arrays[0], dim) and arrays[0].shape[-1] <= WARP_HOLDS


def _block_rows_usable(*arguments) -> bool:
    *arrays, dim = arguments
    return _float32(*arrays) and _is_last(arrays[0], dim)


def _register(kernel: Kernel) -> None:
    """Register the three rungs of one kernel, whose arguments are arrays, then dim."""

    @kernel.variant("naive", devices=("cuda",), usable=_naive_usable, on="host")
    def naive(*arguments):
        """A thread takes a row.  Along the last dimension neighboring threads read a row apart; not chosen there."""
        *arrays, dim = arguments
        return _naive(kernel.name, *arrays, dim=dim)

    @kernel.variant("block_rows", devices=("cuda",), usable=_block_rows_usable, on="host")
    def block_rows(*arguments):
        """A block takes a row and keeps up to 16384 numbers in registers: every array is read or written once."""
        *arrays, dim = arguments
        return _block_rows(kernel.name, *arrays, dim=dim)

    @kernel.variant("warp_rows", devices=("cuda",), usable=_warp_rows_usable, on="host")
    def warp_rows(*arguments):
        """A warp takes a row, needs no barrier, and keeps up to 256 numbers in registers.  For short rows."""
        *arrays, dim = arguments
        return _warp_rows(kernel.name, *arrays, dim=dim)


for _kernel in softmax, softmax_grad, log_softmax, log_softmax_grad:
    _register(_kernel)
