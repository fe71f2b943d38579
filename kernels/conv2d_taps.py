"""Convolution without unfolding: a filter tap is a constant offset into a strip of zero-separated rows.

Shapes as in `conv2d.py`.  Forward and input gradient are one loop with two plans, for
`y[k, p] = sum over taps l of w[l, k] strip[offset[l] + p]`; the weight gradient is the sum over p of the same terms.
A stride splits the input rows and columns into phases (4x4 with stride 2 becomes 2x2 over four times the channels), in
the input gradient the output (its transpose: four 2x2 convolutions, no zero is multiplied).
"""

from __future__ import annotations

import functools
from itertools import product

import numpy as np

from tinygen.kernels.conv2d import conv2d, conv2d_input_grad, conv2d_weight_grad, output_size

CACHED = 1 << 18  # bytes of a block's strips: with the weights beside them they stay in a core's L2


class Plan:
    """Where everything lies: the strips of a block of images, each output phase's taps with their offsets."""

    def __init__(self, corner, split, grid, channels, phases, step):
        """phases: a list of (where it starts in the output, [(r, s, phase of the strip, row, column)])"""
        from tinygen.kernels.conv2d_tile_loops import PIXELS

        self.corner, self.split, self.grid, self.step = corner, split, grid, step
        self.channels, self.taps = channels, [[t[:2] for t in taps] for _, taps in phases]
        self.phases = np.array([at for at, _ in phases])
        self.shifts = [
            [(a * split[1] + b, i * grid[1] + j) for _, _, a, b, i, j in taps] for _, taps in phases
        ]
        farthest = max((shift for taps in self.shifts for _, shift in taps), default=0)
        self.slack = farthest + PIXELS  # zeros past the last image
        self.known = {}
        self.starts = np.cumsum([0] + [len(taps) * channels for taps in self.shifts])

    def strips(self, count):
        """(length of a strip with `count` images, offsets of every phase's taps, channel by channel)"""
        if count not in self.known:
            self.known[count] = self._strips(count)
        return self.known[count]

    def _strips(self, count):
        length = count * self.grid[0] * self.grid[1] + self.slack
        per_channel = self.split[0] * self.split[1]
        offsets = [
            (c * per_channel + phase) * length + shift
            for taps in self.shifts
            for c in range(self.channels)
            for phase, shift in taps
        ]
        return length, np.array(offsets, np.int64)

    def block(self, images, itemsize):
        """How many images go together."""
        size = self.channels * self.split[0] * self.split[1] * self.grid[0] * self.grid[1] * itemsize
        return max(1, min(images, CACHED // size))


def _grid(size, positions, corner, after, split):
    """Rows and columns of an image in a strip.  Without phases the zeros after a row are the next row's before."""
    return tuple(
        max(n, -(-(m + c + (max(a - c, 0) if s == 1 else a)) // s))
        for m, n, c, a, s in zip(size, positions, corner, after, split)
    )


@functools.lru_cache(maxsize=256)
def _forward_plan(x_shape, w_shape, stride, padding, dilation):
    positions = output_size(x_shape[2:], w_shape[2:], stride, padding, dilation)
    corner, after = zip(*padding)
    grid = _grid(x_shape[2:], positions, corner, after, stride)
    taps = []
    for r, s in product(range(w_shape[2]), range(w_shape[3])):
        (i, a), (j, b) = divmod(r * dilation[0], stride[0]), divmod(s * dilation[1], stride[1])
        taps.append((r, s, a, b, i, j))
    return Plan(corner, stride, grid, x_shape[1], [((0, 0), taps)], (1, 1))


@functools.lru_cache(maxsize=256)
def _input_grad_plan(gy_shape, w_shape, shape, stride, padding, dilation):
    """Output row h, h + top = i·stride + a, gets gy row i - (r·dilation - a) / stride from the taps r that fit."""
    first = [p // s for (p, _), s in zip(padding, stride)]  # i of the first output row
    reach = [(d * (r - 1)) // s for d, r, s in zip(dilation, w_shape[2:], stride)]
    corner = tuple(max(t - f, 0) for t, f in zip(reach, first))
    positions = [(n - 1 + p) // s + 1 - f for n, (p, _), s, f in zip(shape[2:], padding, stride, first)]
    after = [max(n + f - m, 0) for n, f, m in zip(positions, first, gy_shape[2:])]
    grid = _grid(gy_shape[2:], positions, corner, after, (1, 1))
    phases = []
    for a, b in product(range(stride[0]), range(stride[1])):
        taps = []
        for r, s in product(range(w_shape[2]), range(w_shape[3])):
            (i, rest_i), (j, rest_j) = (
                divmod(t * d - phase, step) for t, d, phase, step in zip((r, s), dilation, (a, b), stride)
            )
            if rest_i == rest_j == 0:
                taps.append((r, s, 0, 0, corner[0] + first[0] - i, corner[1] + first[1] - j))
        at = [phase + f * step - p for phase, f, step, (p, _) in zip((a, b), first, stride, padding)]
        phases.append((at, taps))
    return Plan(corner, (1, 1), grid, gy_shape[1], phases, stride)


def _pack(w, taps):
    """w (K, C, R, S) -> for each phase (K / ROWS, C, taps, ROWS), one after another: the order it is read in."""
    from tinygen.kernels.conv2d_tile_loops import ROWS

    K, C = w.shape[:2]
    blocks = -(-K // ROWS)
    parts = []
    for phase in taps:
        part = np.zeros((blocks * ROWS, C, len(phase)), w.dtype)
        for t, (r, s) in enumerate(phase):
            part[:K, :, t] = w[:, :, r, s]
        parts.append(part.reshape(blocks, ROWS, -1).swapaxes(1, 2).ravel())
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _correlate(x, w, plan, shape):
    from tinygen.kernels.conv2d_loops import correlate

    y = np.empty(shape, x.dtype)
    block = plan.block(len(x), x.itemsize)
    length, offsets = plan.strips(block)
    weights = _pack(w, plan.taps)
    correlate(
        np.ascontiguousarray(x), block, plan.corner, plan.split, plan.grid, length, offsets, plan.starts, weights,
        plan.phases, plan.step, y,
    )  # fmt: skip
    return y


def _plain(a, b, channels, padding, groups):
    """With fewer channels the time goes into copies, and the reference has fewer."""
    return (
        groups == 1
        and channels >= 4
        and a.dtype == b.dtype
        and a.dtype.char in "fd"
        and a.size > 0
        and b.size > 0
        and min(map(min, padding)) >= 0
    )


def _usable(x, w, *, stride, padding, dilation, groups):
    return _plain(x, w, x.shape[1], padding, groups)


@conv2d.variant("taps", usable=_usable)
def conv2d_taps(x, w, *, stride, padding, dilation, groups):
    """One product of 8 channels x 48 pixels at a time, its sums in registers for all C·R·S terms.

    Added over the reference: no column is ever written.  Bytes: x read and its strips written once (L2), every strip
    read K / 8 times and the weights P·Q·n / 48 times from L2, y written twice (L2, then memory).  The zeros between
    rows are computed too: (W + 1)(H + 1) positions for W·H with padding 1, 7 % at 28x28, 15 % at 14x14.
    """
    plan = _forward_plan(x.shape, w.shape, stride, padding, dilation)
    positions = output_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    return _correlate(x, w, plan, (len(x), len(w), *positions))


def _usable_input(gy, w, *, shape, stride, padding, dilation, groups):
    return _plain(gy, w, shape[1], padding, groups) and 0 not in shape


@conv2d_input_grad.variant("taps", usable=_usable_input)
def conv2d_input_grad_taps(gy, w, *, shape, stride, padding, dilation, groups):
    """The same loop over gy with w's channels exchanged; with a stride one product for each phase of the output."""
    plan = _input_grad_plan(gy.shape, w.shape, tuple(shape), stride, padding, dilation)
    return _correlate(gy, w.swapaxes(0, 1), plan, shape)


def _usable_weight(x, gy, *, shape, stride, padding, dilation, groups):
    return _plain(x, gy, x.shape[1], padding, groups) and 0 not in shape


@conv2d_weight_grad.variant("taps", usable=_usable_weight)
def conv2d_weight_grad_taps(x, gy, *, shape, stride, padding, dilation, groups):
    """One product of 4 output channels x 6 taps at a time: their sums over all positions of a block in 24 registers.

    Bytes: the strips of x and gy written once (L2), gy's read C·R·S / 6 times, x's K / 4 times (from L1: six taps lie
    on one or two strips).  A thread sums its own part of the batch; the parts are added at the end.
    gy is zero between rows: an inf or nan of x there makes a nan, where the reference
    would have none if no filter position met that pixel.
    """
    import numba

    from tinygen.kernels.conv2d_loops import correlate_with_gradient
    from tinygen.kernels.conv2d_tile_loops import DOT_COLUMNS, DOT_ROWS

    plan = _forward_plan(x.shape, tuple(shape), stride, padding, dilation)
    block = min(2 * plan.block(len(x), x.itemsize), len(x))
    length, offsets = plan.strips(block)
    offsets = np.pad(offsets, (0, -len(offsets) % DOT_COLUMNS))
    chunks = min(numba.get_num_threads(), len(x))
    K = shape[0]
    gw = np.zeros((chunks, K + -K % DOT_ROWS, len(offsets)), x.dtype)
    correlate_with_gradient(
        np.ascontiguousarray(x), np.ascontiguousarray(gy), block, chunks, plan.corner, plan.split, plan.grid,
        length, offsets, gw,
    )  # fmt: skip
    return gw.sum(axis=0)[:K, : plan.starts[-1]].reshape(shape)
