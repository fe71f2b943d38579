"""The ladder of adding rows on a GPU (`scatter.cu`): float32, the same bits every time."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.runtime.cuda_source import CudaSource, float32_only
from tinygen.kernels.runtime.dispatch import array_module, for_readers
from tinygen.kernels.runtime.rounding import ceil_div
from tinygen.kernels.scatter.reference import add_rows

source = CudaSource("scatter/scatter.cu")
CHUNK = 32  # rows of x per block, as in scatter.cu
THREADS = 128


def _usable(out, rows, x) -> bool:
    return out.dtype == x.dtype == np.float32 and out.flags.c_contiguous and rows.dtype.kind in "iu"


def _many_columns(out, rows, x) -> bool:
    """Whether a warp has enough columns to read; with fewer, `segments` is used."""
    return _usable(out, rows, x) and out.shape[1] >= 8


def _checked(out, rows, x):
    """(rows as non-negative int64, x), contiguous"""
    float32_only("add_rows", out=out, x=x)
    if not _usable(out, rows, x):
        raise ValueError(f"add_rows: expected a contiguous out and integer rows; rows are {rows.dtype}")
    xp = array_module(out)
    rows = rows.astype(np.int64)
    return xp.where(rows < 0, rows + len(out), rows), xp.ascontiguousarray(x)


@add_rows.variant("naive", devices=("cuda",), usable=for_readers, on="host")
def add_rows_naive(out, rows, x) -> None:
    """One thread per element of out looks through all i for those with its row."""
    rows, x = _checked(out, rows, x)
    if out.size and x.size:
        sizes = np.int64(len(rows)), np.int64(len(out)), out.shape[1]
        source.launch("add_rows_naive", (ceil_div(out.size, THREADS),), (THREADS,), out, rows, x, *sizes)


@add_rows.variant("chunks", devices=("cuda",), usable=_many_columns, on="host")
def add_rows_chunks(out, rows, x) -> None:
    """Rows are sorted; a block adds 32 of them in order, and a second launch joins sums that span several blocks."""
    rows, x = _checked(out, rows, x)
    if not (out.size and x.size):
        return
    xp, D = array_module(out), out.shape[1]
    order = xp.argsort(rows, kind="stable").astype(np.int64)
    threads = min(THREADS, 32 * ceil_div(D, 32))
    chunks, column_groups = ceil_div(len(rows), CHUNK), ceil_div(D, threads)
    ends = xp.empty((chunks, 2, D), np.float32)
    sizes = np.int64(len(rows)), np.int64(len(out)), D, column_groups
    grid = (chunks * column_groups,)
    source.launch("add_rows_chunks", grid, (threads,), out, rows, order, x, ends, *sizes)
    source.launch("add_rows_joined", grid, (threads,), out, rows, order, ends, *sizes)
