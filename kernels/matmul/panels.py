"""Products in panels."""

from __future__ import annotations

import functools

import numpy as np

from tinygen.kernels.runtime.rounding import ceil_div

CACHED = 1 << 19  # bytes of a chunk of packed panels: half of a small L2


@functools.lru_cache(maxsize=1024)
def plan(M: int, N: int, K: int, by_rows: bool, b_rows: bool, itemsize: int, threads: int, turn=None):
    """-> block, chunk, turned, space, down, across"""
    from tinygen.kernels.matmul.panels_loops import PIECE
    from tinygen.kernels.matmul.tile_loops import ROWS, TILE_BYTES

    width = TILE_BYTES // itemsize
    high, wide = ceil_div(M, ROWS), ceil_div(N, width)
    padded = ceil_div(M, width) * width
    turned = by_rows and not b_rows and M <= 128 and K * padded * itemsize <= CACHED and N >= M
    if turn is not None: turned = turn and by_rows and not b_rows
    if turned:
        return 1, 1, True, ceil_div((K + TILE_BYTES // itemsize) * padded, 64) * 64, 1, threads
    block = min(K, 4 * PIECE if by_rows else PIECE) or 1
    chunk = max(1, min(wide, CACHED // (block * itemsize * width))) * width
    effort = 4 if b_rows else 10
    grids = [(d, threads // d) for d in range(1, threads + 1) if threads % d == 0]
    def cost(grid):
        d, a = grid
        return ceil_div(wide, a) * (ceil_div(high, d) * ROWS + effort)
    down, across = min(grids, key=cost)
    space = block * (chunk + ROWS) + (ROWS + 1) * width
    space = ceil_div(space, 64) * 64
    return block, chunk, False, space, down, across


def flat(x):
    """x as a flat array with its two strides in elements"""
    if x.flags.c_contiguous:
        return x.reshape(-1), x.shape[1], 1
    return x.T.reshape(-1), 1, x.shape[0]

NONE = {np.dtype(t): np.empty(0, t) for t in (np.float32, np.float64)}
ALIGNED = 64


@functools.cache
def _loops():
    from tinygen.kernels.matmul import panels_loops

    return panels_loops, panels_loops.get_num_threads


def product(x, w, bias=None, threads=None, turn=None):
    (M, K), N = x.shape, w.shape[1]
    a, a_row, a_k = flat(x)
    b, b_k, b_n = flat(w)
    loops, get_num_threads = _loops()
    threads = threads or get_num_threads()
    block, chunk, turned, space, down, across = plan(M, N, K, a_k == 1, b_n == 1, x.itemsize, threads, turn)
    c = np.empty((M, N), x.dtype)
    size = space * down * across
    room = np.empty(size + ALIGNED, x.dtype)
    skip = -room.ctypes.data % ALIGNED // x.itemsize
    room = room[skip : skip + size]
    bias = NONE[x.dtype] if bias is None else bias
    if threads == 1:
        loops.on_one_thread(c.reshape(-1), a, a_row, a_k, b, b_k, b_n, bias, M, N, K, block, chunk, turned, room)
    else:
        loops.on_threads(c.reshape(-1), a, a_row, a_k, b, b_k, b_n, bias, M, N, K, block, chunk, turned, room, down, across)
    return c
