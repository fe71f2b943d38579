"""Winograd's minimal filtering F(4x4, 3x3): 36 products per channel for 16 outputs of a 3x3 filter, instead of 144.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016, arXiv 1509.09308, section 4.1, eq. 12:

    Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A        d: 6x6 pixels of x, overlapping by two; g: a filter; Y: 4x4 outputs

A product of polynomials is the product of their values at points.  G g are the values of the polynomial with
coefficients g, Bᵀ d the matching combinations of pixels, and Aᵀ m leads back; each acts on columns, then on rows.  The
sum over channels is taken before Aᵀ, so the work is 36 matrix products (tiles x C)(C x K).  The input gradient is the
same with the filters rotated by 180°.  The weight gradient is F(3x3, 4x4): the "filter" is a 4x4 tile of the output's
gradient, and the sum runs over tiles: 36 products (C x tiles)(tiles x K).
"""

from __future__ import annotations

import numpy as np

from tinygen.kernels.conv2d.reference import conv2d, conv2d_input_grad, conv2d_weight_grad, output_size
from tinygen.kernels.conv2d.usable import loops_apply
from tinygen.kernels.runtime.rounding import ceil_div

TILE = 4  # rows and columns of outputs in a tile
MOST_CHANNELS = 512  # the error was measured up to here
CACHED = 1 << 19  # bytes of a block's transformed pixels; together with the products about a core's L2


def _whole_vectors(a, lanes):
    """Images padded with zeros: the loops take whole vectors of channels and at least one vector of pixels."""
    _, C, H, W = a.shape
    more = -C % lanes, max(0, ceil_div(lanes, W) - H)
    return np.ascontiguousarray(np.pad(a, [(0, 0), (0, more[0]), (0, more[1]), (0, 0)]) if any(more) else a)


def _split_batch(tiles, images, channels, itemsize):
    """(images that are transformed together and fit in cache, chunks of the batch: one per thread)"""
    from tinygen.kernels.runtime.with_numba import get_num_threads

    size = (TILE + 2) ** 2 * tiles[0] * tiles[1] * channels * itemsize
    chunks = min(get_num_threads(), images)
    share = ceil_div(images, chunks)
    turns = ceil_div(share, max(1, CACHED // size))
    return ceil_div(share, turns), chunks


def _correlate(x, w, corner, positions):
    """y[n, k, p, q] = Σ w[k, c, r, s] x[n, c, p + r - corner, q + s - corner], where x is 0 outside the image."""
    from tinygen.kernels.conv2d.winograd_loops import VECTOR_BYTES, correlate, transform_filters

    lanes = VECTOR_BYTES // x.itemsize
    K, (P, Q) = len(w), positions
    x = _whole_vectors(x, lanes)
    N, C = x.shape[:2]
    w = np.ascontiguousarray(np.pad(w, [(0, -K % lanes), (0, C - w.shape[1]), (0, 0), (0, 0)]))
    y = np.empty((N, len(w), max(P, ceil_div(lanes, Q)), Q), x.dtype)
    tiles = tuple(ceil_div(n, TILE) for n in y.shape[2:])
    u = np.zeros((ceil_div(len(w), 2 * lanes), (TILE + 2) ** 2, C * 2 * lanes), x.dtype)
    transform_filters(w, 2 * lanes, u)
    correlate(x, u, corner, tiles, *_split_batch(tiles, N, C, x.itemsize), y)
    return y if y.shape[1:3] == (K, P) else y[:, :K, :P]


def _pays(a, b, channels, window, positions, stride, padding, dilation, groups):
    """Whether the loops apply, their error is near that of the direct loops, and they were faster than `taps`: from 4x4
    to 64x64 outputs, and not too few channels, which fill vectors of 16."""
    C, K = channels
    whole = (C + -C % 16) * (K + -K % 16)
    return (
        tuple(window) == (3, 3)
        and tuple(stride) == tuple(dilation) == (1, 1)
        and groups == 1
        and loops_apply(a, b, padding)
        and 16 <= min(C, K) <= max(C, K) <= MOST_CHANNELS
        and 512 <= whole <= 1.5 * C * K
        and 16 <= positions[0] * positions[1] <= 64 * 64
    )


def _usable(x, w, *, stride, padding, dilation, groups):
    positions = output_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    return _pays(x, w, w.shape[:2], w.shape[2:], positions, stride, padding, dilation, groups)


@conv2d.variant("winograd", usable=_usable)
def conv2d_winograd(x, w, *, stride, padding, dilation, groups):
    """36 products (tiles x C)(C x K) for each block of images: pixels are transformed before, outputs after.

    Improves on taps: a quarter of the multiplications, or a third where tiles stick out over the edge (14x14).
    Traffic: x is read once; its tiles, 36 / 16 of it, are written once and read K / 32 times (L2); the transformed
    filters, 36 C K numbers, are read once per block (L3); the products, 36 / 16 of y, are written and read once (L2); y
    is written once.  An inf or nan in x turns every tile that reads it into nan, including outputs that it does not
    reach in a direct convolution.
    """
    (top, _), (left, _) = padding
    return _correlate(x, w, (top, left), output_size(x.shape[2:], w.shape[2:], stride, padding, dilation))


def _usable_input(gy, w, *, shape, stride, padding, dilation, groups):
    return _pays(gy, w, w.shape[:2], w.shape[2:], shape[2:], stride, padding, dilation, groups)


@conv2d_input_grad.variant("winograd", usable=_usable_input)
def conv2d_input_grad_winograd(gy, w, *, shape, stride, padding, dilation, groups):
    """The same with the filters rotated by 180°, their channel axes exchanged, and 2 - padding."""
    (top, _), (left, _) = padding
    turned = w[:, :, ::-1, ::-1].swapaxes(0, 1)
    return _correlate(gy, turned, (2 - top, 2 - left), tuple(shape[2:]))


def _usable_weight(x, gy, *, shape, stride, padding, dilation, groups):
    few = shape[0] * shape[1] <= 256 * 256  # with more, the sums are read and written too often
    return few and _pays(x, gy, shape[:2], shape[2:], gy.shape[2:], stride, padding, dilation, groups)


@conv2d_weight_grad.variant("winograd", usable=_usable_weight)
def conv2d_weight_grad_winograd(x, gy, *, shape, stride, padding, dilation, groups):
    """36 products (C x tiles)(tiles x K) for each block of images, all added to the same 36 C K sums; F(3x3, 4x4).

    Each thread sums over its own part of the batch; the parts are added at the end.  Traffic: x and gy are read once;
    their tiles are written once and read K / 32 and C / 8 times (L2); sums are read and written once per block (L3).
    """
    from tinygen.kernels.conv2d.winograd_loops import VECTOR_BYTES, correlate_with_gradient

    lanes = VECTOR_BYTES // x.itemsize
    (K, C), ((top, _), (left, _)) = shape[:2], padding
    x, gy = _whole_vectors(x, lanes), _whole_vectors(gy, lanes)
    tiles = tuple(ceil_div(n, TILE) for n in gy.shape[2:])
    block, chunks = _split_batch(tiles, len(x), (x.shape[1] + gy.shape[1]) // 2, x.itemsize)
    gw = np.empty((chunks, 3, 3, x.shape[1], gy.shape[1]), x.dtype)
    correlate_with_gradient(x, gy, (top, left), tiles, block, chunks, gw)
    return np.ascontiguousarray(gw.sum(axis=0)[..., :C, :K].transpose(3, 2, 0, 1))
