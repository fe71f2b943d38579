"""The ladder of matrix products on a GPU (`matmul.cu`): float32, any layout, batches broadcast as in NumPy.

Shapes: x (..., M, K), w (..., K, N) -> (..., M, N); a vector is a row (x) or a column (w), and that axis is dropped.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tinygen.kernels.matmul.linear_layer import linear, linear_grad
from tinygen.kernels.matmul.reference import matmul
from tinygen.kernels.reduce.cuda import sum_two_stage
from tinygen.kernels.runtime.cuda_source import CudaSource, address, float32_only
from tinygen.kernels.runtime.dispatch import array_module, for_readers
from tinygen.kernels.runtime.rounding import ceil_div

source = CudaSource("matmul/matmul.cu")
BATCHES = 65_535  # the longest grid along z; more matrices take more launches
# Fewer large tiles would leave a large card half empty: it has 108 (A100) to 132 (H200) multiprocessors.
FEW_BLOCKS = 100


class Operand(NamedTuple):
    """Matrices in memory: element (i, j) of matrix n is at n * batch + i * row + j * column."""

    array: object
    batch: int
    row: int
    column: int


def _operand(array, batch_shape) -> Operand:
    """`array` (..., rows, columns) with a constant distance between its matrices; copied only if it has none.

    A transposed array is used in place: the distance between its columns is then larger than that between its rows.
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
    """Prepare the operands and the output as NumPy's `matmul` defines them; `launch` fills the output."""
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
        a = a.reshape(-1, K)  # one matrix w for the whole batch: the batch is more rows
    batch_shape = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    out = array_module(x).empty((*batch_shape, a.shape[-2], N), np.float32)
    if out.size:
        launch(_operand(a, batch_shape), _operand(b, batch_shape), out, K)
    shape = np.broadcast_shapes(x.shape[:-2], w.shape[:-2])
    shape = (*shape, *(() if rows else (M,)), *(() if columns else (N,)))
    return out if out.shape == shape else out.reshape(shape)


def _launch(kernel: str, grid, block, a: Operand, b: Operand, out, K: int, *more) -> None:
    M, N = out.shape[-2:]
    batches = math.prod(out.shape[:-2])
    for first in range(0, batches, BATCHES):
        source.launch(
            kernel,
            (*grid, min(batches - first, BATCHES)),
            block,
            *(a.array, b.array, out, M, N, K),
            *(np.int64(a.batch), a.row, a.column),
            *(np.int64(b.batch), b.row, b.column),
            first,
            *more,
        )


def _tiles(out, rows: int, columns: int) -> tuple[int, int]:
    """The number of tiles along the rows and the columns of `out`: the grid."""
    return ceil_div(out.shape[-2], rows), ceil_div(out.shape[-1], columns)


@matmul.variant("naive", devices=("cuda",), usable=for_readers, on="host")
def matmul_naive_cuda(x, w):
    """One thread per sum: K reads of a row and K of a column; those of w are coalesced."""
    return _product(
        x, w, lambda a, b, out, K: _launch("matmul_naive", _tiles(out, 8, 32), (32, 8), a, b, out, K)
    )


@matmul.variant("tiled", devices=("cuda",), usable=for_readers, on="host")
def matmul_tiled_cuda(x, w):
    """32 x 32 threads copy tiles of both matrices to shared memory and use each element 32 times."""
    return _product(
        x, w, lambda a, b, out, K: _launch("matmul_tiled", _tiles(out, 32, 32), (32, 32), a, b, out, K)
    )


def _float32(x, w) -> bool:
    return x.dtype == w.dtype == np.float32


@matmul.variant("register_tiled", devices=("cuda",), usable=_float32, on="host")
def matmul_register_tiled_cuda(x, w):
    """Tiles of 64 x 64 by 128 threads, each with 8 x 4 sums in registers: 12 shared floats make 32 products."""
    return _product(x, w, _register_tiled)


def _register_tiled(a: Operand, b: Operand, out, K: int, bias=None) -> None:
    _launch("matmul_register_tiled", _tiles(out, 64, 64), (128,), a, b, out, K, bias)


def _many_large_tiles(x, w) -> bool:
    if not _float32(x, w) or x.ndim < 2 or w.ndim < 2:
        return False
    rows, columns = ceil_div(x.shape[-2], 128), ceil_div(w.shape[-1], 128)
    matrices = math.prod(np.broadcast_shapes(x.shape[:-2], w.shape[:-2]))
    return rows * columns * matrices >= FEW_BLOCKS


@matmul.variant("vectorized", devices=("cuda",), usable=_many_large_tiles, on="host")
def matmul_vectorized_cuda(x, w):
    """Tiles of 128 x 128 by 256 threads, float4 everywhere, 8 x 8 sums per thread: 16 shared floats make 64 products.

    If the length of rows (of columns, in a transposed matrix) is not a multiple of 4, `register_tiled` takes over.
    """
    return _product(x, w, _vectorized)


def _vectorized(a: Operand, b: Operand, out, K: int, bias=None) -> None:
    if not (_in_fours(a) and _in_fours(b)):
        return _register_tiled(a, b, out, K, bias)
    layout = ("n" if a.column == 1 else "t") + ("n" if b.column == 1 else "t")
    _launch(f"matmul_vectorized_{layout}", _tiles(out, 128, 128), (256,), a, b, out, K, bias)


def _in_fours(operand: Operand) -> bool:
    """Whether every contiguous row or column starts on a 16-byte boundary and has a multiple of 4 elements."""
    length = operand.row if operand.column == 1 else operand.column
    return length % 4 == 0 and address(operand.array) % 16 == 0


# -- a linear layer


def _of_rows(x, weight, bias=None) -> bool:
    return x.ndim == 2 and _float32(x, weight) and (bias is None or bias.dtype == np.float32)


@linear.variant("in_one", devices=("cuda",), usable=_of_rows, on="host")
def linear_in_one(x, weight, bias=None):
    """The product adds the bias to its sums before it writes them: one launch, and no pass over y."""
    if bias is not None:
        float32_only("linear", bias=bias)
        bias = array_module(bias).ascontiguousarray(bias)
    fill = _vectorized if _many_large_tiles(x, weight.T) else _register_tiled
    return _product(x, weight.T, lambda a, b, out, K: fill(a, b, out, K, bias))


def _grad_of_rows(g, x, weight, needs) -> bool:
    return g.ndim == 2 and all(a is None or a.dtype == np.float32 for a in (g, x, weight))


@linear_grad.variant("in_one", devices=("cuda",), usable=_grad_of_rows, on="host")
def linear_grad_in_one(g, x, weight, needs):
    """gw = gᵀ x and gb in one launch: blocks add up the rows of gᵀ that they have in shared memory.

    A product of many large tiles leaves the sum to a launch of its own, which such a product hides.
    """
    gx = gw = gb = None
    if needs[0]:
        gx = _product(g, weight, _vectorized if _many_large_tiles(g, weight) else _register_tiled)
    if needs[1] and needs[2] and g.size and x.size and not _many_large_tiles(g.T, x):
        gb = array_module(g).empty(g.shape[1], np.float32)
        return gx, _product(g.T, x, lambda *to: _with_sums(*to, gb)), gb
    if needs[1]:
        gw = _product(g.T, x, _vectorized if _many_large_tiles(g.T, x) else _register_tiled)
    if needs[2]:
        gb = sum_two_stage(g, (0,))
    return gx, gw, gb


def _with_sums(a: Operand, b: Operand, out, K: int, sums) -> None:
    _launch("matmul_register_tiled_with_sums", _tiles(out, 64, 64), (128,), a, b, out, K, sums)
