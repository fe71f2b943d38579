"""Convolution without unfolding: what a tap meets at a pixel lies at the pixel's start plus the tap's offset.

Shapes as in `reference.py`.  Forward and input gradient are one loop, y[k, p] = sum over taps l of w[l, k] x[start[p] +
offset[l]].  The weight gradient uses the same tile with the roles exchanged, gw[l, k] = sum over p of gy[p, k] x[…].
With a stride, the input gradient is one such loop for each phase of the output: pixels h and h + stride meet the same
taps, so 4x4 with stride 2 becomes four 2x2 (no zeros are multiplied).

The output channels are split into panels: each is a few vector registers wide and one row of the product.
"""

from __future__ import annotations

import functools
from itertools import product

import numpy as np

from tinygen.kernels.conv2d.reference import conv2d, conv2d_input_grad, conv2d_weight_grad, output_size
from tinygen.kernels.conv2d.usable import loops_apply
from tinygen.kernels.runtime.rounding import ceil_div

CACHED = 1 << 18  # bytes of a block's images; together with weights and sums they fit in a core's L2


def _forward_axis(count, size, stride, padding, dilation, window):
    """(rows before the image, padded size, [(first output row, rows, starts, [(tap, offset)])]), with one phase."""
    taps = [(r, r * dilation) for r in range(window)]
    return padding[0], size + sum(padding), [(0, count, np.arange(count) * stride, taps)]


def _input_grad_axis(count, size, stride, padding, dilation, window):
    """The same for gx: row h = i·stride + phase - padding gets row i - (r·dilation - phase) / stride of gy from tap r,
    for the taps that fit."""
    phases = []
    for phase in range(stride):
        i = max(0, -((phase - padding[0]) // stride))
        first = i * stride + phase - padding[0]
        rows = max(0, -((first - size) // stride))
        shifts = [
            (r, (r * dilation - phase) // stride)
            for r in range(window)
            if (r * dilation - phase) % stride == 0
        ]
        phases.append((first, rows, i, shifts))
    reached = [(i, rows, shift) for _, rows, i, shifts in phases for _, shift in shifts if rows]
    before = max([0, *(shift - i for i, _, shift in reached)])
    after = max([0, *(i + rows - shift - count for i, rows, shift in reached)])
    phases = [
        (first, rows, i + np.arange(rows), [(r, before - shift) for r, shift in shifts])
        for first, rows, i, shifts in phases
    ]
    return before, before + count + after, phases


@functools.lru_cache(maxsize=256)
def _plan(axis, positions, size, stride, padding, dilation, window, channels):
    """-> corner, padded size, table of phases for `correlate`, starts, taps, offsets"""
    rows, columns = map(axis, positions, size, stride, padding, dilation, window)
    corner, padded = (rows[0], columns[0]), (rows[1], columns[1])
    table, starts, taps, offsets, at = [], [], [], [], np.zeros(2, np.int64)
    for (h, P, down, r), (w, Q, right, s) in product(rows[2], columns[2]):
        starts.append(np.add.outer(down * padded[1], right).ravel())
        taps.append(np.array([a * window[1] + b for (a, _), (b, _) in product(r, s)], np.int64))
        shifts = np.array([i * padded[1] + j for (_, i), (_, j) in product(r, s)], np.int64)
        offsets.append(np.add.outer(np.arange(channels) * padded[0] * padded[1], shifts).ravel())
        until = at + (len(starts[-1]), len(offsets[-1]))
        if P * Q * len(shifts):
            table.append((h, w, P, Q, at[0], until[0], at[1], until[1]))
        at = until
    return (
        corner,
        padded,
        np.array(table, np.int64).reshape(-1, 8),
        np.concatenate(starts),
        taps,
        np.concatenate(offsets),
    )


def _channel_panels(channels, itemsize):
    """(width: channels of a panel, a few whole registers; how many panels the channels take)"""
    from tinygen.kernels.conv2d.taps_tile_loops import BYTES, VECTORS

    lanes = BYTES // itemsize
    vectors = ceil_div(channels, lanes)
    panels = ceil_div(vectors, VECTORS)
    return ceil_div(vectors, panels) * lanes, panels


def _images_per_block(images, size):
    """How many images of `size` bytes fit in cache; blocks are of equal size, and every thread gets as many."""
    from tinygen.kernels.runtime.with_numba import get_num_threads

    threads = get_num_threads()
    blocks = ceil_div(images, max(1, CACHED // size))
    return ceil_div(images, ceil_div(blocks, threads) * threads)


def _correlate(x, w, strides, groups, plan, step, shape):
    """x (N, C, …) and w, with these strides for groups, output and input channels -> shape (N, K, …)"""
    from tinygen.kernels.conv2d.taps_loops import correlate, pack

    x, w = np.ascontiguousarray(x), np.ascontiguousarray(w).reshape(-1)
    terms, lanes = x.shape[1] // groups, shape[1] // groups
    corner, padded, phases, starts, taps, offsets = plan
    width, panels = _channel_panels(lanes, x.itemsize)
    block = _images_per_block(len(x), x.shape[1] * padded[0] * padded[1] * x.itemsize)
    weights = [np.zeros((groups, panels, terms, len(of_phase), width), x.dtype) for of_phase in taps]
    for part, of_phase in zip(weights, taps):
        if len(of_phase):
            pack(w, *strides, lanes, of_phase, part)
    weights = weights[0].ravel() if len(weights) == 1 else np.concatenate([part.ravel() for part in weights])
    # outputs that no tap reaches belong to no phase of the table
    y = (np.empty if all(map(len, taps)) else np.zeros)(shape, x.dtype)
    correlate(x, groups, block, corner, padded, phases, starts, offsets, panels, width, weights, step, y)
    return y


def _pays(a, b, channels, padding, groups):
    """With fewer than 4 output channels in a group, registers would be mostly empty."""
    return channels >= 4 * groups and loops_apply(a, b, padding)


def _usable(x, w, *, stride, padding, dilation, groups):
    return _pays(x, w, len(w), padding, groups)


@conv2d.variant("taps", usable=_usable)
def conv2d_taps(x, w, *, stride, padding, dilation, groups):
    """A tile of 6 pixels x 64 channels at a time, with its sums in registers for all C·R·S terms.

    Improves on the reference: no columns are ever written.  Traffic: x is read and a padded copy of a block's images
    written once (L2); the weights of 64 channels are read K / 64 times P·Q·n / 6 times (L2); y is written twice (L2,
    then memory).
    """
    positions = output_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    plan = _plan(_forward_axis, positions, x.shape[2:], stride, padding, dilation, w.shape[2:], w.shape[1])
    filter = w.shape[2] * w.shape[3]
    strides = (w.size // groups, w.shape[1] * filter, filter)
    return _correlate(x, w, strides, groups, plan, (1, 1), (len(x), len(w), *positions))


def _usable_input(gy, w, *, shape, stride, padding, dilation, groups):
    return _pays(gy, w, shape[1], padding, groups) and 0 not in shape


@conv2d_input_grad.variant("taps", usable=_usable_input)
def conv2d_input_grad_taps(gy, w, *, shape, stride, padding, dilation, groups):
    """The same loop over gy with w's channel axes exchanged; with a stride, one product per phase of the output."""
    size, channels = tuple(shape[2:]), len(w) // groups
    plan = _plan(_input_grad_axis, gy.shape[2:], size, stride, padding, dilation, w.shape[2:], channels)
    filter = w.shape[2] * w.shape[3]
    strides = (w.size // groups, filter, w.shape[1] * filter)
    return _correlate(gy, w, strides, groups, plan, stride, shape)


def _usable_weight(x, gy, *, shape, stride, padding, dilation, groups):
    return _pays(x, gy, shape[0], padding, groups) and 0 not in shape


@conv2d_weight_grad.variant("taps", usable=_usable_weight)
def conv2d_weight_grad_taps(x, gy, *, shape, stride, padding, dilation, groups):
    """A tile of 6 taps x 64 output channels at a time, with its sums over a block's pixels in registers.

    Traffic: x is read and padded, gy read and transposed (channels last) once (L2); gy's block is read C·R·S / 6 times.
    Each thread sums over its own part of the batch; the parts are added at the end.
    """
    from tinygen.kernels.conv2d.taps_loops import correlate_with_gradient, unpack
    from tinygen.kernels.conv2d.taps_tile_loops import PIXELS
    from tinygen.kernels.runtime.with_numba import get_num_threads

    x, gy = np.ascontiguousarray(x), np.ascontiguousarray(gy)
    plan = _plan(_forward_axis, gy.shape[2:], x.shape[2:], stride, padding, dilation, shape[2:], shape[1])
    corner, padded, _, starts, _, offsets = plan
    width, panels = _channel_panels(shape[0] // groups, x.itemsize)
    chunks = min(get_num_threads(), len(x))
    size = max(x.shape[1] * padded[0] * padded[1], len(starts) * width) * x.itemsize
    block = min(ceil_div(len(x), chunks), max(1, 2 * CACHED // size))
    last = np.full(-len(offsets) % PIXELS, offsets[-1])
    sums = np.zeros((chunks, groups, panels, len(offsets) + len(last), width), x.dtype)
    offsets = np.concatenate([offsets, last])
    correlate_with_gradient(x, gy, groups, block, corner, padded, starts, offsets, sums)
    gw = np.empty((groups, shape[0] // groups, shape[1] * shape[2] * shape[3]), x.dtype)
    unpack(sums, gw)
    return gw.reshape(shape)
