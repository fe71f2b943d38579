"""The compiled loops of `taps.py`.  Importing this file imports numba (0.5 s).

Arrays are flat.  A pixel's start plus a tap's offset is the index in x of what the tap meets at that pixel.  Output
channels come in panels: rows of weights or sums for `width` channels, a few whole registers (the last lanes may be
unused).
"""

import numpy as np

from tinygen.kernels.conv2d.taps_tile_loops import (
    BYTES,
    PIXELS,
    product_tile_1,
    product_tile_2,
    product_tile_3,
    product_tile_4,
    transpose_tile,
)
from tinygen.kernels.runtime.njit import njit
from tinygen.kernels.runtime.with_numba import prange

PIECE = 256  # at most so many terms of a sum are added one after another


@njit(cache=True, nogil=True)
def copy(source, target):
    """target[: len(source)] = source; numba's own assignment first checks for overlap, which takes as long as a row."""
    for i in range(source.size):
        target[i] = source[i]


@njit(cache=True, nogil=True)
def put(source, at, places, target, to):
    """target[to + places] = source[at :]; unsigned indices, because one that may be negative costs a comparison."""
    at, to = np.uintp(at), np.uintp(to)
    for i in range(places.size):
        target[to + places[i]] = source[at + np.uintp(i)]


@njit(cache=True, nogil=True)
def places_of(place, grid, step, columns):
    """The indices of the pixels place + (i, j)·step in an image with `columns` columns"""
    places = np.empty(grid[0] * grid[1], np.uintp)
    for i in range(grid[0]):
        for j in range(grid[1]):
            places[i * grid[1] + j] = (place[0] + i * step[0]) * columns + place[1] + j * step[1]
    return places


@njit(cache=True, nogil=True)
def padded_images(x, first, count, corner, size):
    """`count` images of x from `first` on, with zeros around them, flat: (count, C, *size)"""
    _, C, H, W = x.shape
    padded = np.zeros(count * C * size[0] * size[1], x.dtype)
    for n in range(count):
        for c in range(C):
            for h in range(H):
                at = ((n * C + c) * size[0] + h + corner[0]) * size[1] + corner[1]
                copy(x[first + n, c, h], padded[at : at + W])
    return padded


@njit(cache=True, nogil=True)
def pixels_of(starts, count, image, whole):
    """The starts of the pixels of `count` images; the last one is repeated up to a multiple of `whole`."""
    pixels = np.empty(-(-count * starts.size // whole) * whole, np.int64)
    for n in range(count):
        for p in range(starts.size):
            pixels[n * starts.size + p] = n * image + starts[p]
    pixels[count * starts.size :] = pixels[count * starts.size - 1]
    return pixels


@njit(cache=True, nogil=True)
def products(width, x, x_at, starts, offsets, i_at, length, w, w_at, y, y_at, add):
    """y[j, k] (+)= sum over i < length of x[starts[j] + offsets[i]] w[i, k], for all j, one tile at a time."""
    vectors = width * x.itemsize // BYTES
    for j in range(0, starts.size, PIXELS):
        at = y_at + j * width
        if vectors == 4:
            product_tile_4(x, x_at, starts, j, offsets, i_at, length, w, w_at, y, at, add)
        elif vectors == 3:
            product_tile_3(x, x_at, starts, j, offsets, i_at, length, w, w_at, y, at, add)
        elif vectors == 2:
            product_tile_2(x, x_at, starts, j, offsets, i_at, length, w, w_at, y, at, add)
        else:
            product_tile_1(x, x_at, starts, j, offsets, i_at, length, w, w_at, y, at, add)


@njit(cache=True, nogil=True)
def piece_of(terms):
    """How many terms a piece of a sum has, so that the pieces are about equal."""
    return -(-terms // -(-terms // PIECE))


@njit(cache=True, nogil=True)
def turn(x, x_at, x_stride, rows, columns, y, y_at, y_stride):
    """y[j, i] = x[i, j]"""
    lanes = BYTES // x.itemsize
    for i in range(0, rows, lanes):
        for j in range(0, columns, lanes):
            if i + lanes <= rows and j + lanes <= columns:
                from_, to = x_at + i * x_stride + j, y_at + j * y_stride + i
                transpose_tile(x, from_, x_stride, y, to, y_stride)
                continue
            for b in range(j, min(j + lanes, columns)):
                for a in range(i, min(i + lanes, rows)):
                    y[y_at + b * y_stride + a] = x[x_at + a * x_stride + b]


@njit(cache=True, parallel=True)
def pack(w, group, lane, channel, lanes, taps, weights):
    """w (flat, with these strides) -> weights (G, panels, C, taps, width), the order in which they are read."""
    G, panels, C, _, width = weights.shape
    flat = weights.reshape(-1)
    for part in prange(G * panels):
        g, first = part // panels, part % panels * width
        here = min(width, lanes - first)
        start, to = g * group + first * lane, part * C * len(taps) * width
        if len(taps) == channel:  # all taps, one channel after another
            turn(w, start, lane, here, C * channel, flat, to, width)
            continue
        for c in range(C):
            for t in range(len(taps)):
                row, at = weights[g, part % panels, c, t], start + c * channel + taps[t]
                for k in range(here):
                    row[k] = w[at + k * lane]


@njit(cache=True, nogil=True)
def put_image(sums, sums_at, width, here, channel, strip, places, y):
    """One image's sums (pixels, width) -> y[channel : channel + here] (K, P, Q), pixel i at places[i] of each plane."""
    pixels, plane = places.size, y.shape[1] * y.shape[2]
    if pixels == plane:
        turn(sums, sums_at, width, pixels, here, y.reshape(-1), channel * plane, plane)
        return
    turn(sums, sums_at, width, pixels, here, strip, 0, pixels)
    flat = y.reshape(-1)
    for k in range(here):
        put(strip, k * pixels, places, flat, (channel + k) * plane)


@njit(cache=True, parallel=True)
def correlate(x, groups, block, corner, size, phases, starts, offsets, panels, width, weights, step, y):
    """y[n, k, place + p·step] = sum over channels and taps of a weight times what it meets at pixel p.

    Threads take `block` images at a time.  phases: (place, grid, range of its starts, range of its offsets) each.
    weights: for each phase (G, panels, terms, width); starts: (pixels of an image,); offsets: (terms,).
    """
    N, C = x.shape[:2]
    K, plane = y.shape[1] // groups, size[0] * size[1]
    padded = size[0] != x.shape[2] or size[1] != x.shape[3]
    flat = x.reshape(-1)
    for part in prange((N + block - 1) // block):
        first = part * block
        count = min(block, N - first)
        images, images_at = flat, first * C * plane
        if padded:
            images, images_at = padded_images(x, first, count, corner, size), 0
        sums = np.empty((count * starts.size + PIXELS) * width, x.dtype)
        strip = np.empty(width * starts.size, x.dtype)
        for h, w, rows, columns, start, stop, offset, end in phases:
            here, terms = stop - start, end - offset
            pixels = pixels_of(starts[start:stop], count, C * plane, PIXELS)
            places = places_of((h, w), (rows, columns), step, y.shape[3])
            for panel in range(groups * panels):
                g, k = panel // panels, panel % panels * width
                at = images_at + g * (C // groups) * plane
                piece = piece_of(terms)
                for i in range(0, terms, piece):
                    w_at = ((offset * groups * panels) + panel * terms + i) * width
                    length = min(piece, terms - i)
                    products(
                        width, images, at, pixels, offsets, offset + i, length, weights, w_at, sums, 0, i > 0
                    )
                for n in range(count):
                    sums_at, lanes = n * here * width, min(width, K - k)
                    put_image(sums, sums_at, width, lanes, g * K + k, strip, places, y[first + n])


@njit(cache=True, parallel=True)
def correlate_with_gradient(x, gy, groups, block, corner, size, starts, offsets, sums):
    """sums[chunk, g, panel, tap, k] = sum over the pixels of a chunk of the batch of what the tap meets times gy."""
    N, C, K = len(x), x.shape[1], gy.shape[1] // groups
    chunks, _, panels, taps, width = sums.shape
    plane, positions = size[0] * size[1], starts.size
    padded = size[0] != x.shape[2] or size[1] != x.shape[3]
    flat_x, flat_gy, flat_sums = x.reshape(-1), gy.reshape(-1), sums.reshape(-1)
    for chunk in prange(chunks):
        end = N * (chunk + 1) // chunks
        g = np.zeros(block * positions * width, x.dtype)
        for first in range(N * chunk // chunks, end, block):
            count = min(block, end - first)
            images, images_at = flat_x, first * C * plane
            if padded:
                images, images_at = padded_images(x, first, count, corner, size), 0
            pixels = pixels_of(starts, count, C * plane, 1)
            for group in range(groups):
                at = images_at + group * (C // groups) * plane
                for panel in range(panels):
                    here = min(width, K - panel * width)
                    for n in range(count):
                        channel = ((first + n) * groups + group) * K + panel * width
                        turn(
                            flat_gy, channel * positions, positions, here, positions,
                            g, n * positions * width, width,
                        )  # fmt: skip
                    sums_at = ((chunk * groups + group) * panels + panel) * taps * width
                    piece = piece_of(pixels.size)
                    for i in range(0, pixels.size, piece):
                        products(
                            width, images, at, offsets, pixels, i, min(piece, pixels.size - i),
                            g, i * width, flat_sums, sums_at, True,
                        )  # fmt: skip


@njit(cache=True, parallel=True)
def unpack(sums, gw):
    """sums (chunks, G, panels, taps, width), added over chunks -> gw (G, K, C·R·S)"""
    chunks, G, panels, taps, width = sums.shape
    _, K, terms = gw.shape
    flat, flat_gw = sums.reshape(-1), gw.reshape(-1)
    for part in prange(G * panels):
        g, first = part // panels, part % panels * width
        at = part * taps * width
        total = flat[at : at + taps * width]
        for chunk in range(1, chunks):
            other = chunk * G * panels * taps * width + at
            for i in range(total.size):
                total[i] += flat[other + i]
        here = min(width, K - first)
        turn(flat, at, width, terms, here, flat_gw, (g * K + first) * terms, terms)
