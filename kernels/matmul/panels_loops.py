"""The compiled loops of `panels.py`.  Importing this file imports numba (0.5 s).

c (M, N) = a (M, K) b (K, N) + bias, a and b given flat with their strides.  One thread computes a part of c:

    for a chunk of columns and a block of terms, as much of b as fits in L2:
        for ROWS rows of a:
            for a panel, TILE_BYTES of b's columns:  a tile of c, its sums in registers, over PIECE terms at a time

b's panels are copied so that they lie together in the order of reading.  Which part computes an element, and with which
other elements, changes none of its bits: they depend on K alone.
"""

from tinygen.kernels.conv2d.taps_tile_loops import BYTES, transpose_tile
from tinygen.kernels.matmul.panels_tile_loops import address, copy_strip, tile_of_columns, tile_of_rows
from tinygen.kernels.matmul.tile_loops import ROWS, TILE_BYTES
from tinygen.kernels.runtime.njit import njit
from tinygen.kernels.runtime.with_numba import prange

PIECE = 256  # terms summed in registers; c collects one rounding error per piece


@njit(cache=True, nogil=True, error_model="numpy")
def _pack(b, b0, b_k, b_n, depth, columns, panel, at):
    """panel[k, n] = b[b0 + k b_k + n b_n], with zeros for n from `columns` to the width of a tile"""
    width, side = TILE_BYTES // b.itemsize, BYTES // b.itemsize
    whole_k = whole_n = 0
    if b_k == 1 and b_n != 1:
        whole_k, whole_n = depth // side * side, columns // side * side
    for n in range(0, whole_n, side):
        for k in range(0, whole_k, side):
            transpose_tile(b, b0 + k + n * b_n, b_n, panel, at + k * width + n, width)
    for k in range(depth):
        for n in range(whole_n if k < whole_k else 0, columns):
            panel[at + k * width + n] = b[b0 + k * b_k + n * b_n]
        for n in range(columns, width):
            panel[at + k * width + n] = 0


@njit(cache=True, nogil=True, error_model="numpy")
def _strip(a, a0, a_k, rows, depth, to, at):
    """to[k, r] = a[a0 + r + k a_k] for ROWS rows"""
    if rows == ROWS:
        copy_strip(a, a0, a_k, to, at, depth)
        return
    for k in range(depth):
        for r in range(rows):
            to[at + k * ROWS + r] = a[a0 + k * a_k + r]


@njit(cache=True, nogil=True, error_model="numpy")
def _add_edge(c, c0, c_row, rows, columns, room, edge, bias, n, first):
    """Add the tile at room[edge] to the columns of c that it covers; first: c holds nothing yet"""
    for r in range(rows):
        for j in range(columns):
            place = c0 + r * c_row + j
            before = c[place] if not first else bias[n + j] if bias.size else 0
            c[place] = before + room[edge + r * (TILE_BYTES // c.itemsize) + j]


@njit(cache=True, nogil=True, error_model="numpy")
def _part(c, c_row, a, a_row, a_k, b, b_k, b_n, bias, top, bottom, left, right, K, block, chunk, room, at):
    """Rows top … bottom and columns left … right of c.  room[at:]: its panels, a strip of a, an edge, zeros"""
    width = TILE_BYTES // c.itemsize
    strip = at + block * chunk
    edge = strip + block * ROWS  # a tile whose columns reach past c's
    zeros = edge + ROWS * width
    room[zeros : zeros + width] = 0
    for n0 in range(left, right, chunk):
        n1 = min(n0 + chunk, right)
        for k0 in range(0, max(K, 1), block):
            k1 = min(k0 + block, K)
            for i in range(top, bottom, ROWS):
                rows, first = min(ROWS, bottom - i), i == top
                if a_k != 1:
                    _strip(a, i + k0 * a_k, a_k, rows, k1 - k0, room, strip)
                for n in range(n0, n1, width):
                    inside = n + width <= n1
                    packs = first and (b_n != 1 or not inside)
                    keeps = (
                        first and i + ROWS < bottom and not packs
                    )  # the first tiles pack b while they read it
                    to, to_row = (
                        (address(c, i * c_row + n), c_row) if inside else (address(room, edge), width)
                    )
                    for k in range(k0, max(k1, k0 + 1), PIECE):
                        depth, panel = min(PIECE, k1 - k), at + (n - n0) * block + (k - k0) * width
                        if packs:
                            _pack(b, k * b_k + n * b_n, b_k, b_n, depth, min(width, n1 - n), room, panel)
                        start, start_row = to, to_row
                        if k == 0 and inside and bias.size:
                            start, start_row = address(bias, n), 0
                        elif k == 0 or (k == k0 and not inside):
                            start, start_row = address(room, zeros), 0
                        packed = address(room, panel)
                        there, step = packed, width
                        if first and not packs:
                            there, step = address(b, k * b_k + n), b_k
                        out = to, to_row, start, start_row
                        if a_k == 1:
                            left_row = address(a, i * a_row + k)
                            tile_of_rows(c, *out, left_row, a_row, there, step, rows, depth, packed, keeps)
                        else:
                            left_row = address(room, strip + (k - k0) * ROWS)
                            tile_of_columns(c, *out, left_row, ROWS, there, step, rows, depth, packed, keeps)
                    if not inside:
                        _add_edge(c, i * c_row + n, c_row, rows, n1 - n, room, edge, bias, n, k0 == 0)


@njit(cache=True, nogil=True, error_model="numpy")
def _turned_part(c, c_row, a, a_row, a_k, b, b_k, b_n, bias, left, right, M, K, room, at):
    """Columns left … right of c as rows of cᵀ = bᵀ aᵀ: here bᵀ is read where it lies and aᵀ, the smaller, is packed."""
    width, side = TILE_BYTES // c.itemsize, BYTES // c.itemsize
    across = (M + width - 1) // width * width
    strip = at + K * across  # `side` rows of cᵀ
    for m in range(0, M, width):
        for k in range(0, K, PIECE):
            depth, columns = min(PIECE, K - k), min(width, M - m)
            _pack(a, m * a_row + k * a_k, a_k, a_row, depth, columns, room, at + m * K + k * width)
    for n in range(left, right, side):
        high = min(side, right - n)
        for r in range(high):
            room[strip + r * across : strip + (r + 1) * across] = bias[n + r] if bias.size else 0
        for r in range(0, high, ROWS):
            rows = min(ROWS, high - r)
            for m in range(0, M, width):
                for k in range(0, K, PIECE):
                    to, row = address(room, strip + r * across + m), address(b, (n + r) * b_n + k)
                    there, depth = address(room, at + m * K + k * width), min(PIECE, K - k)
                    tile_of_rows(c, to, across, to, across, row, b_n, there, width, rows, depth, there, False)
        whole = M // side * side if high == side else 0
        for m in range(0, whole, side):
            transpose_tile(room, strip + m, across, c, m * c_row + n, c_row)
        for m in range(whole, M):
            for r in range(high):
                c[m * c_row + n + r] = room[strip + r * across + m]


@njit(cache=True, nogil=True, error_model="numpy")
def _one(c, a, a_row, a_k, b, b_k, b_n, bias, M, N, K, block, chunk, turned, room, space, down, across, part):
    width = TILE_BYTES // c.itemsize
    at = space * part
    high, wide = (M + ROWS - 1) // ROWS, (N + width - 1) // width  # tiles
    row, column = part // across, part % across
    top, bottom = high * row // down * ROWS, min(high * (row + 1) // down * ROWS, M)
    left, right = wide * column // across * width, min(wide * (column + 1) // across * width, N)
    if turned:
        _turned_part(c, N, a, a_row, a_k, b, b_k, b_n, bias, left, right, M, K, room, at)
    else:
        _part(c, N, a, a_row, a_k, b, b_k, b_n, bias, top, bottom, left, right, K, block, chunk, room, at)


@njit(cache=True, parallel=True, error_model="numpy")
def multiply(c, a, a_row, a_k, b, b_k, b_n, bias, M, N, K, block, chunk, turned, room, space, down, across):
    """c in `down` x `across` parts of whole tiles"""
    for part in prange(down * across):
        _one(
            c,
            a,
            a_row,
            a_k,
            b,
            b_k,
            b_n,
            bias,
            M,
            N,
            K,
            block,
            chunk,
            turned,
            room,
            space,
            down,
            across,
            part,
        )
