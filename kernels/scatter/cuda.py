"""Adding rows to places given by numbers, on the GPU: `scatter.cu`.  float32, the same bits every time."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.runtime.cuda_source import CudaSource, float32_only
from tinygen.kernels.runtime.dispatch import array_module, for_readers
from tinygen.kernels.scatter.reference import add_rows

source = CudaSource("scatter/scatter.cu")
CHUNK = 32  # rows of x that a block adds, as in scatter.cu
THREADS = 128


def _usable(out, rows, x) -> bool:
    return out.dtype == x.dtype == np.float32 and out.flags.c_contiguous and rows.dtype.kind in "iu"


def _wide(out, rows, x) -> bool:
    """Whether a warp has enough columns to read; for fewer `segments` does."""
    return _usable(out, rows, x) and out.shape[1] >= 8


def _checked(out, rows, x):
    """(rows as int64 from 0 on, x), contiguous"""
    float32_only("add_rows", out=out, x=x)
    if not _usable(out, rows, x):
        raise ValueError(f"add_rows: expected a contiguous out and integer rows; rows are {rows.dtype}")
    xp = array_module(out)
    rows = rows.astype(np.int64)
    return xp.where(rows < 0, rows + len(out), rows), xp.ascontiguousarray(x)


@add_rows.variant("naive", devices=("cuda",), usable=for_readers, on="host")
def add_rows_naive(out, rows, x) -> None:
    """A thread takes a number of out and looks for all i with its row: for readers."""
    rows, x = _checked(out, rows, x)
    if out.size and x.size:
        sizes = np.int64(len(rows)), np.int64(len(out)), out.shape[1]
        source.launch("add_rows_naive", (-(-out.size // THREADS),), (THREADS,), out, rows, x, *sizes)


@add_rows.variant("chunks", devices=("cuda",), usable=_wide, on="host")
def add_rows_chunks(out, rows, x) -> None:
    """Rows sorted; a block adds 32 of them in order, a second launch joins what goes on from block to block."""
    rows, x = _checked(out, rows, x)
    if not (out.size and x.size):
        return
    xp, D = array_module(out), out.shape[1]
    order = xp.argsort(rows, kind="stable").astype(np.int64)
    threads = min(THREADS, 32 * -(-D // 32))
    chunks, column_blocks = -(-len(rows) // CHUNK), -(-D // threads)
    ends = xp.empty((chunks, 2, D), np.float32)
    sizes = np.int64(len(rows)), np.int64(len(out)), D, column_blocks
    grid = (chunks * column_blocks,)
    source.launch("add_rows_chunks", grid, (threads,), out, rows, order, x, ends, *sizes)
    source.launch("add_rows_joined", grid, (threads,), out, rows, order, ends, *sizes)
