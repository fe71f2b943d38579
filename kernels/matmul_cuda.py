"""The matrix product's ladder on the GPU: `matmul.cu`.  float32, any layout, batches as NumPy broadcasts them.

Shapes: x (..., M, K), w (..., K, N) -> (..., M, N); a vector is a row (x) or a column (w), and its axis is dropped.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tinygen.kernels.cuda_source import CudaSource, float32_only
from tinygen.kernels.dispatch import array_module
from tinygen.kernels.matmul import matmul

source = CudaSource("matmul.cu")
BATCHES = (
    65_535  # the longest grid along z: a kernel's blocks take several matrices each where there are more
)


class Operand(NamedTuple):
    """Matrices in memory: element (i, j) of the n-th at n * batch + i * row + j * column."""

    array: object
    batch: int
    row: int
    column: int


def _operand(array, batch_shape) -> Operand:
    """`array` (..., rows, columns) with one distance between its matrices; copied only where it has more than one.

    A transposed array is taken as it lies: its column is then longer than its row.
    """
    rows, columns = array.shape[-2:]
    if array.ndim == 2:
        lies, batch = array, 0
    else:
        lies, batch = array_module(array).broadcast_to(array, (*batch_shape, rows, columns)), rows * columns
        if math.prod(array.shape[:-2]) == 1:
            lies, batch = array.reshape(rows, columns), 0
        elif array.shape[:-2] == batch_shape:
            lies = array
    if lies.flags.c_contiguous:
        return Operand(lies, batch, columns, 1)
    turned = lies.swapaxes(-1, -2)
    if turned.flags.c_contiguous:
        return Operand(turned, batch, 1, rows)
    return Operand(array_module(array).ascontiguousarray(lies), batch, columns, 1)


def _product(x, w, launch):
    """Prepare operands and output as NumPy's `matmul` defines them and let `launch` fill it."""
    float32_only("matmul", x=x, w=w)
    if x.ndim == 0 or w.ndim == 0:
        raise ValueError(f"matmul: expected at least one axis; x {x.shape}, w {w.shape}")
    rows, columns = x.ndim == 1, w.ndim == 1
    a = x[None] if rows else x
    b = w[:, None] if columns else w
    (M, K), (inner, N) = a.shape[-2:], b.shape[-2:]
    if K != inner:
        raise ValueError(f"matmul: x has {K} columns, w has {inner} rows; x {x.shape}, w {w.shape}")
    if a.ndim > 2 and b.ndim == 2 and a.flags.c_contiguous:
        a = a.reshape(-1, K)  # one matrix w for all: the batch is more rows
    batch_shape = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    out = array_module(x).empty((*batch_shape, a.shape[-2], N), np.float32)
    if out.size:
        launch(_operand(a, batch_shape), _operand(b, batch_shape), out, K)
    shape = np.broadcast_shapes(x.shape[:-2], w.shape[:-2])
    return out.reshape((*shape, *(() if rows else (M,)), *(() if columns else (N,))))


def _launch(kernel: str, grid, block, a: Operand, b: Operand, out, K: int) -> None:
    M, N = out.shape[-2:]
    batches = math.prod(out.shape[:-2])
    source.launch(
        kernel,
        (*grid, min(batches, BATCHES)),
        block,
        *(a.array, b.array, out, M, N, K),
        *(np.int64(a.batch), a.row, a.column),
        *(np.int64(b.batch), b.row, b.column),
        batches,
    )


def _tiles(out, rows: int, columns: int) -> tuple[int, int]:
    """Blocks along the rows and the columns of `out`."""
    return -(-out.shape[-2] // rows), -(-out.shape[-1] // columns)


def _for_readers(x, w) -> bool:
    """A later rung is faster always: these run only under `kernels.use(matmul=...)`."""
    return False


@matmul.variant("naive", devices=("cuda",), usable=_for_readers, on="host")
def matmul_naive_cuda(x, w):
    """One thread a sum, K reads of a row and K of a column; those of w are coalesced."""
    return _product(
        x, w, lambda a, b, out, K: _launch("matmul_naive", _tiles(out, 8, 32), (32, 8), a, b, out, K)
    )


@matmul.variant("tiled", devices=("cuda",), usable=_for_readers, on="host")
def matmul_tiled_cuda(x, w):
    """32 x 32 threads copy tiles of both matrices to shared memory and use each element 32 times."""
    return _product(
        x, w, lambda a, b, out, K: _launch("matmul_tiled", _tiles(out, 32, 32), (32, 32), a, b, out, K)
    )
