"""The compiled loops behind `conv2d_taps.py`; a file of their own, because importing it imports numba (0.5 s).

A block of n images lies in one strip a channel, row after row and image after image, with zeros between: the value a
filter tap meets at output position p is then at p plus a constant, the tap's offset.
"""

import numpy as np
from numba import prange

from tinygen.kernels.compiled import njit
from tinygen.kernels.conv2d_tile_loops import (
    DOT_COLUMNS,
    DOT_ROWS,
    PIXELS,
    ROWS,
    dot_tile,
    product_tile,
)


@njit(cache=True, nogil=True)
def copy(source, target):
    """target[: len(source)] = source, which numba would first ask about overlap, for as long as a row takes."""
    for i in range(source.size):
        target[i] = source[i]


@njit(cache=True, nogil=True)
def take(source, start, step, target):
    """target = source[start::step]; unsigned, because an index that may be negative costs a comparison."""
    for i in range(np.uintp(target.size)):
        target[i] = source[start + i * step]


@njit(cache=True, nogil=True)
def put(source, start, step, target):
    """target[start::step] = source"""
    for i in range(np.uintp(source.size)):
        target[start + i * step] = source[i]


@njit(cache=True, nogil=True)
def fill_strips(x, first, count, corner, split, grid, length, strips):
    """Images first … first + count of x (N, C, H, W) -> strips, zeros elsewhere.

    Image row h goes to row (h + corner[0]) // split[0] of the strip of its phase (h + corner[0]) % split[0]; so do
    columns.  A strip is `length` long and there are split[0]·split[1] of them a channel.
    """
    _, C, H, W = x.shape
    (top, left), (sh, sw), (rows, columns) = corner, split, grid
    strips[: C * sh * sw * length] = 0
    for c in range(C):
        for h in range(H):
            for n in range(count):
                row = (h + top) // sh
                strip = (c * sh + (h + top) % sh) * sw
                start = (n * rows + row) * columns
                pixels = x[first + n, c, h]
                if sw == 1:  # apart, because only slices without a step become vector instructions
                    at = strip * length + start + left
                    copy(pixels, strips[at : at + W])
                    continue
                for b in range(sw):
                    i = (b - left) % sw
                    at = (strip + b) * length + start + (i + left) // sw
                    take(pixels, np.uintp(i), np.uintp(sw), strips[at : at + (W - i + sw - 1) // sw])


@njit(cache=True, nogil=True)
def spread_rows(strip, first, count, k, grid, phase, split, y):
    """One output channel's strip -> y[first : first + count, k], rows phase[0] + i·split[0], columns likewise."""
    _, _, P, Q = y.shape
    (rows, columns), (a, b), (sh, sw) = grid, phase, split
    i0, j0 = (sh - 1 - a) // sh if a < 0 else 0, (sw - 1 - b) // sw if b < 0 else 0
    for n in range(count):
        for i in range(i0, min(rows, (P - 1 - a) // sh + 1)):
            start = (n * rows + i) * columns
            target = y[first + n, k, i * sh + a]
            j1 = min(columns, (Q - 1 - b) // sw + 1)
            if j1 > j0 and sw == 1:
                copy(strip[start + j0 : start + j1], target[j0 + b : j1 + b])
            elif j1 > j0:
                put(strip[start + j0 : start + j1], np.uintp(j0 * sw + b), np.uintp(sw), target)


@njit(cache=True, parallel=True)
def correlate(x, block, corner, split, grid, length, offsets, starts, weights, phases, step, y):
    """y from x: for every output phase, the sum over its taps of a weight times the shifted strip.

    weights holds for each phase (K / ROWS, taps, ROWS) numbers, offsets its taps; both start at starts[phase].
    """
    N, C, K = len(x), x.shape[1], y.shape[1]
    tile = PIXELS * 4 // x.itemsize
    for part in prange((N + block - 1) // block):
        first = part * block
        count = min(block, N - first)
        strips = np.empty(C * split[0] * split[1] * length, x.dtype)
        fill_strips(x, first, count, corner, split, grid, length, strips)
        positions = count * grid[0] * grid[1]
        width = (positions + tile - 1) // tile * tile
        out = np.empty(ROWS * width, x.dtype)
        padded = (K + ROWS - 1) // ROWS * ROWS
        for phase in range(len(phases)):
            taps = starts[phase + 1] - starts[phase]
            for k in range(0, K, ROWS):
                at = starts[phase] * padded + k * taps
                if taps == 0:
                    out[:] = 0
                else:
                    for p in range(0, width, tile):
                        product_tile(weights, at, strips, p, offsets, starts[phase], taps, out, p, width)
                for i in range(min(ROWS, K - k)):
                    row = out[i * width : (i + 1) * width]
                    spread_rows(row, first, count, k + i, grid, (phases[phase, 0], phases[phase, 1]), step, y)


@njit(cache=True, parallel=True)
def correlate_with_gradient(x, gy, block, chunks, corner, split, grid, length, offsets, gw):
    """gw[chunk, k, tap] = sum over the chunk's images and positions of gy times the shifted strip of x."""
    N, C, K = len(x), x.shape[1], gy.shape[1]
    lanes = PIXELS * 4 // x.itemsize
    for chunk in prange(chunks):
        begin, end = N * chunk // chunks, N * (chunk + 1) // chunks
        strips = np.empty(C * split[0] * split[1] * length, x.dtype)
        width = (block * grid[0] * grid[1] + lanes - 1) // lanes * lanes
        rows = (K + DOT_ROWS - 1) // DOT_ROWS * DOT_ROWS
        g = np.zeros(rows * width, x.dtype)
        sums = gw[chunk].reshape(-1)
        for first in range(begin, end, block):
            count = min(block, end - first)
            fill_strips(x, first, count, corner, split, grid, length, strips)
            fill_strips(gy, first, count, (0, 0), (1, 1), grid, width, g)
            positions = count * grid[0] * grid[1]
            for l in range(0, len(offsets), DOT_COLUMNS):
                for k in range(0, rows, DOT_ROWS):
                    dot_tile(
                        g,
                        k * width,
                        width,
                        strips,
                        0,
                        offsets,
                        l,
                        positions,
                        sums,
                        k * len(offsets) + l,
                        len(offsets),
                    )
