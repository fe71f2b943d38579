"""Matrix products with numba.cuda: x (B, M, K), w (B, K, N) -> y (B, M, N).

numba_naive   a thread computes one element of y and reads its row of x and its column of w: 2 K reads for one write.
numba_tiled   the same, but a block of TILE x TILE threads reads each number once and shares it: 2 K / TILE.

What `matmul.cu` adds: each thread holds several elements of y in registers, so shared memory is read less often too.
"""

from __future__ import annotations

from tinygen.kernels.matmul.reference import matmul
from tinygen.kernels.runtime.dispatch import array_module
from tinygen.kernels.runtime.numba_cuda import cuda, flattened, leading, require, rung, same_float
from tinygen.kernels.runtime.rounding import ceil_div

TILE = 16  # side of a tile, and of a block of threads


@cuda.jit
def naive(x, w, y):
    """y[b, i, j] = sum over k of x[b, i, k] w[b, k, j]"""
    j, i, b = cuda.grid(3)
    if i >= y.shape[1] or j >= y.shape[2]:
        return  # the last blocks reach past the edge
    total = y.dtype.type(0)
    for k in range(x.shape[2]):
        total += x[b, i, k] * w[b, k, j]
    y[b, i, j] = total


@cuda.jit
def tiled(x, w, y):
    """The same sum, TILE terms at a time, from two tiles in shared memory"""
    x_tile = cuda.shared.array((TILE, TILE), x.dtype)
    w_tile = cuda.shared.array((TILE, TILE), x.dtype)
    j, i, b = cuda.grid(3)
    column, row = cuda.threadIdx.x, cuda.threadIdx.y
    zero = y.dtype.type(0)  # a literal 0.0 would be float64, and so would every sum with it
    total = zero
    for start in range(0, x.shape[2], TILE):
        # this thread loads one number of each tile; past the edge zeros, which change no sum
        k = start + column
        x_tile[row, column] = x[b, i, k] if i < x.shape[1] and k < x.shape[2] else zero
        k = start + row
        w_tile[row, column] = w[b, k, j] if k < w.shape[1] and j < w.shape[2] else zero
        cuda.syncthreads()  # the tiles are complete
        for k in range(TILE):
            total += x_tile[row, k] * w_tile[k, column]
        cuda.syncthreads()  # all threads are done with the tiles
    if i < y.shape[1] and j < y.shape[2]:
        y[b, i, j] = total


def _launch(function, x, w):
    """A block per TILE x TILE elements of y, a layer of blocks per matrix of the batch."""
    fits = x.ndim >= 2 and w.ndim >= 2 and x.shape[-1] == w.shape[-2] and same_float(x, w)
    require("matmul", fits, "(…, M, K) and (…, K, N), both float32 or both float64", x=x, w=w)
    lead, M, N = leading(x, w), x.shape[-2], w.shape[-1]
    x, w = flattened(x, lead), flattened(w, lead)
    y = array_module(x).empty((len(x), M, N), x.dtype)
    function[(ceil_div(N, TILE), ceil_div(M, TILE), len(y)), (TILE, TILE, 1)](x, w, y)
    return y.reshape(*lead, M, N)


@rung(matmul, "numba_naive")
def matmul_numba_naive(x, w):
    """A thread computes one element of y: 2 K reads, 2 K operations, one write.

    Threads that are neighbors along x compute neighbors in a row of y: in each step they read the same number of x and
    adjacent numbers of w, which memory serves in one transaction.  The other way round, each would read its own row.
    """
    return _launch(naive, x, w)


@rung(matmul, "numba_tiled")
def matmul_numba_tiled(x, w):
    """A thread computes one element of y from tiles that its block shares: each number is read once for TILE uses.

    Reads 2 K / TILE numbers per element of y, 8 M N K / TILE bytes in float32, with two barriers every TILE terms: one
    before the tile is read, one before it is overwritten.
    """
    return _launch(tiled, x, w)
