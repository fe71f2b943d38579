"""Matrix products with numba.cuda: x (B, M, K), w (B, K, N) -> y (B, M, N).

numba_naive   a thread computes one number of y and reads its row of x and its column of w: 2 K numbers for one written.
numba_tiled   the same thread, but a block of TILE x TILE of them reads each number once and shares it: 2 K / TILE.

What `matmul.cu` adds: several numbers of y in one thread's registers, so that shared memory is read less often too.
"""

from __future__ import annotations

from tinygen.kernels.matmul.reference import matmul
from tinygen.kernels.runtime.dispatch import array_module
from tinygen.kernels.runtime.numba_cuda import blocks, cuda, flattened, leading, require, rung, same_float

TILE = 16  # numbers along the side of a tile, threads along the side of a block


@cuda.jit
def naive(x, w, y):
    """y[b, i, j] = sum over k of x[b, i, k] w[b, k, j]"""
    j, i, b = cuda.grid(3)
    if i >= y.shape[1] or j >= y.shape[2]:
        return  # the last blocks reach over the edge
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
        # this thread brings one number of each tile; beyond the edge, zeros, which change no sum
        k = start + column
        x_tile[row, column] = x[b, i, k] if i < x.shape[1] and k < x.shape[2] else zero
        k = start + row
        w_tile[row, column] = w[b, k, j] if k < w.shape[1] and j < w.shape[2] else zero
        cuda.syncthreads()  # the tiles are complete
        for k in range(TILE):
            total += x_tile[row, k] * w_tile[k, column]
        cuda.syncthreads()  # nobody reads them any more
    if i < y.shape[1] and j < y.shape[2]:
        y[b, i, j] = total


def _launch(function, x, w):
    """A block for each TILE x TILE numbers of y, a layer of blocks for each matrix of the batch"""
    fits = x.ndim >= 2 and w.ndim >= 2 and x.shape[-1] == w.shape[-2] and same_float(x, w)
    require("matmul", fits, "(…, M, K) and (…, K, N), both float32 or both float64", x=x, w=w)
    lead, M, N = leading(x, w), x.shape[-2], w.shape[-1]
    x, w = flattened(x, lead), flattened(w, lead)
    y = array_module(x).empty((len(x), M, N), x.dtype)
    function[(blocks(N, TILE), blocks(M, TILE), len(y)), (TILE, TILE, 1)](x, w, y)
    return y.reshape(*lead, M, N)


@rung(matmul, "numba_naive")
def matmul_numba_naive(x, w):
    """A thread computes one number of y: 2 K reads, 2 K operations, one write.

    Threads that are neighbours along x compute neighbours in a row of y: at each step they read one number of x
    together, and w side by side, which memory serves in one go.  The other way round each would read a row of its own.
    """
    return _launch(naive, x, w)


@rung(matmul, "numba_tiled")
def matmul_numba_tiled(x, w):
    """A thread computes one number of y from tiles that its block shares: each is read from memory once per TILE uses.

    Reads 2 K / TILE numbers for each of y, 8 M N K / TILE bytes in float32, and takes two barriers every TILE terms:
    one before the tile is read, one before it is overwritten.
    """
    return _launch(tiled, x, w)
