"""The ladder of sums on a GPU (`reduce.cu`): float32, over any dimensions, in two stages, without atomics."""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.reduce.reference import sum
from tinygen.kernels.runtime.cuda_source import CudaSource, float32_only
from tinygen.kernels.runtime.dispatch import array_module, for_readers
from tinygen.kernels.runtime.rounding import ceil_div

source = CudaSource("reduce/reduce.cu")
FULL = 528  # blocks that keep a large card busy: 4 for each of the 132 multiprocessors of an H100
SHORTEST_ROW_SLICE = 4096  # numbers
SHORTEST_COLUMN_SLICE = 256  # rows
LONGEST_ROW_SLICE = 1 << 17  # numbers: a thread adds 128 of them in turn
LONGEST_COLUMN_SLICE = 1 << 12  # rows: a thread adds 128 sums of four in turn


def _sum(x, dims: tuple, keepdims: bool, stage):
    """Sum groups of adjacent dimensions, the last group first, each by stage(x (A, R, B), y (A, B), A, R, B)."""
    float32_only("sum", x=x)
    dims = sorted({d % x.ndim for d in dims}) if x.ndim else []
    kept = [1 if d in dims else n for d, n in enumerate(x.shape)]
    final = kept if keepdims else [n for d, n in enumerate(x.shape) if d not in dims]
    y, xp = x, array_module(x)
    for first, last in reversed(_runs(dims)):
        shape = y.shape
        A, R, B = (math.prod(s) for s in (shape[:first], shape[first : last + 1], shape[last + 1 :]))
        summed = xp.empty(
            final if first == dims[0] else (*shape[:first], *(1,) * (last + 1 - first), *shape[last + 1 :]),
            np.float32,
        )  # not the view of an array: a gradient that is one would be copied
        if R == 0:
            summed[...] = 0
        elif summed.size:
            stage(xp.ascontiguousarray(y), summed, A, R, B)
        y = summed
    return y.copy() if y is x else y


def _runs(dims: list) -> list[tuple[int, int]]:
    """[0, 2, 3] -> [(0, 0), (2, 3)]"""
    starts = [d for d in dims if d - 1 not in dims]
    return list(zip(starts, [d for d in dims if d + 1 not in dims]))


def _naive(x, y, A: int, R: int, B: int) -> None:
    source.launch("sum_naive", (ceil_div(y.size, 128),), (128,), x, y, np.int64(y.size), R, B)


def _two_stage(x, y, A: int, R: int, B: int) -> None:
    rows = B == 1
    column_groups = ceil_div(B, 32)
    shortest = SHORTEST_ROW_SLICE if rows else SHORTEST_COLUMN_SLICE
    longest = LONGEST_ROW_SLICE if rows else LONGEST_COLUMN_SLICE
    slices = max(min(ceil_div(FULL, A * column_groups), ceil_div(R, shortest)), ceil_div(R, longest))
    slice = ceil_div(R, slices) + 3 & ~3
    slices = ceil_div(R, slice)
    part = y if slices == 1 else array_module(x).empty((A, slices, B), np.float32)
    if rows:
        threads = 32 * min(ceil_div(slice, 512), 8)
        source.launch("sum_rows", (A * slices,), (threads,), x, part, R, slice, slices)
    else:
        grid = (A * slices * column_groups,)
        source.launch("sum_columns", grid, (32, 8), x, part, R, B, slice, slices, column_groups)
    if slices > 1:
        _two_stage(part, y, A, slices, B)


def _float32(x, dims, keepdims=False) -> bool:
    return x.dtype == np.float32 and x.ndim > 0


@sum.variant("naive", devices=("cuda",), usable=for_readers, on="host")
def sum_naive(x, dims: tuple, keepdims: bool = False):
    """A thread adds up all the numbers of one output."""
    return _sum(x, dims, keepdims, _naive)


@sum.variant("two_stage", devices=("cuda",), usable=_float32, on="host")
def sum_two_stage(x, dims: tuple, keepdims: bool = False):
    """Blocks add up slices with coalesced reads; a second launch adds the slices' sums.  Reads 4 bytes per element."""
    return _sum(x, dims, keepdims, _two_stage)
