"""Sums on the GPU: `reduce.cu`.  float32, over any dimensions, in two stages and without atomics."""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.reduce.reference import sum
from tinygen.kernels.runtime.cuda_source import CudaSource, float32_only
from tinygen.kernels.runtime.dispatch import array_module, for_readers

source = CudaSource("reduce/reduce.cu")
BLOCKS = 528  # that keep a large card reading: 4 for each of an H100's 132 multiprocessors
SLICE_OF_A_ROW = 4096  # numbers at least
SLICE_OF_COLUMNS = 256  # rows at least
LONGEST_OF_A_ROW = 1 << 17  # numbers of a slice: a thread adds 128 of them in turn
LONGEST_OF_COLUMNS = 1 << 12  # rows of a slice: a thread adds 128 sums of four in turn


def _sum(x, dims: tuple, keepdims: bool, stage):
    """Neighbouring dimensions are summed as one, stage(x (A, R, B)) -> (A, B), the last ones first."""
    float32_only("sum", x=x)
    dims = sorted({d % x.ndim for d in dims}) if x.ndim else []
    kept = [1 if d in dims else n for d, n in enumerate(x.shape)]
    y, xp = x, array_module(x)
    for first, last in reversed(_runs(dims)):
        shape = y.shape
        A, R, B = (math.prod(s) for s in (shape[:first], shape[first : last + 1], shape[last + 1 :]))
        y = stage(xp.ascontiguousarray(y).reshape(A, R, B)).reshape(
            *shape[:first], *(1,) * (last + 1 - first), *shape[last + 1 :]
        )
    y = y.copy() if y is x else y
    return y.reshape(kept if keepdims else [n for d, n in enumerate(x.shape) if d not in dims])


def _runs(dims: list) -> list[tuple[int, int]]:
    """[0, 2, 3] -> [(0, 0), (2, 3)]"""
    starts = [d for d in dims if d - 1 not in dims]
    return list(zip(starts, [d for d in dims if d + 1 not in dims]))


def _naive(x):
    A, R, B = x.shape
    y = array_module(x).empty((A, B), np.float32)
    if R == 0:
        y[...] = 0
    elif y.size:
        source.launch("sum_naive", (-(-y.size // 128),), (128,), x, y, np.int64(y.size), R, B)
    return y


def _two_stage(x):
    A, R, B = x.shape
    if not x.size:
        return array_module(x).zeros((A, B), np.float32)
    rows = B == 1
    column_blocks = -(-B // 32)
    shortest = SLICE_OF_A_ROW if rows else SLICE_OF_COLUMNS
    longest = LONGEST_OF_A_ROW if rows else LONGEST_OF_COLUMNS
    slices = max(min(-(-BLOCKS // (A * column_blocks)), -(-R // shortest)), -(-R // longest))
    slice = -(-R // slices) + 3 & ~3
    slices = -(-R // slice)
    y = array_module(x).empty((A, slices, B), np.float32)
    if rows:
        threads = 32 * min(-(-slice // 512), 8)
        source.launch("sum_rows", (A * slices,), (threads,), x, y, R, slice, slices)
    else:
        blocks = (A * slices * column_blocks,)
        source.launch("sum_columns", blocks, (32, 8), x, y, R, B, slice, slices, column_blocks)
    return y.reshape(A, B) if slices == 1 else _two_stage(y)


def _float32(x, dims, keepdims=False) -> bool:
    return x.dtype == np.float32 and x.ndim > 0


@sum.variant("naive", devices=("cuda",), usable=for_readers, on="host")
def sum_naive(x, dims: tuple, keepdims: bool = False):
    """A thread adds all numbers of one output."""
    return _sum(x, dims, keepdims, _naive)


@sum.variant("two_stage", devices=("cuda",), usable=_float32, on="host")
def sum_two_stage(x, dims: tuple, keepdims: bool = False):
    """Blocks add slices, neighbours reading neighbours; a second launch adds what they found.  4 bytes an element."""
    return _sum(x, dims, keepdims, _two_stage)
