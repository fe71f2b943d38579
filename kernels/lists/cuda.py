"""Norm, clipping and moving average of all arrays of a list on a GPU (`lists.cu`): float32, a launch for all arrays."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.lists.reference import (
    average_all,
    average_all_reference,
    clip_all,
    clip_all_reference,
    norm_of_all,
)
from tinygen.kernels.runtime.array_table import CHUNK, THREADS, dense, split, table_of
from tinygen.kernels.runtime.cuda_source import CudaSource
from tinygen.kernels.runtime.dispatch import array_module

source = CudaSource("lists/lists.cu")


def _all_dense(x) -> bool:
    return all(dense(array) for array in x)


def _require(name: str, holds: bool) -> None:
    if not holds:
        raise ValueError(f"{name}: the CUDA kernels take contiguous arrays of float32")


@norm_of_all.variant("multi_tensor", devices=("cuda",), usable=_all_dense, on="host")
def norm_of_all_multi_tensor(x):
    """A block adds the squares of 4096 elements in double; a second launch adds the blocks' sums in order."""
    _require("norm_of_all", _all_dense(x))
    xp = array_module(x[0])
    table, rows, blocks = table_of([x], CHUNK)
    parts, norm = xp.empty(blocks, np.float64), xp.empty((), np.float32)
    if rows:
        source.launch("squares_of_all", (blocks,), (THREADS,), table, rows, parts, reachable=x)
    source.launch("norm_of_parts", (1,), (THREADS,), parts, blocks, norm)
    return norm


def _clip_fits(x, norm, most) -> bool:
    return norm.dtype == np.float32 and any(dense(array) for array in x)


@clip_all.variant("multi_tensor", devices=("cuda",), usable=_clip_fits, on="host")
def clip_all_multi_tensor(x, norm, most):
    """One launch, which reads the norm on the device and touches nothing if it is small enough."""
    _require("clip_all", _clip_fits(x, norm, most))
    fits, others = split(x)
    if others:
        clip_all_reference([x[i] for i in others], norm, most)
    chosen = [x[i] for i in fits]
    table, rows, blocks = table_of([chosen], CHUNK)
    if rows:
        source.launch("clip_all", (blocks,), (THREADS,), table, rows, norm, float(most), reachable=chosen)


def _average_fits(average, x, **_) -> bool:
    return any(dense(*arrays) for arrays in zip(average, x))


@average_all.variant("multi_tensor", devices=("cuda",), usable=_average_fits, on="host")
def average_all_multi_tensor(average, x, *, rest, numbers=None):
    """One launch for all arrays: 12 bytes per element."""
    _require("average_all", _average_fits(average, x))
    fits, others = split(average, x)
    if others:
        average_all_reference(
            [average[i] for i in others], [x[i] for i in others], rest=rest, numbers=numbers
        )
    lists = [average[i] for i in fits], [x[i] for i in fits]
    table, rows, blocks = table_of(lists, CHUNK)
    if rows:
        source.launch(
            "average_all", (blocks,), (THREADS,), table, rows, float(rest), numbers,
            reachable=[*lists[0], *lists[1]],
        )  # fmt: skip
