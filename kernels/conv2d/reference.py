"""Convolution and its two transposes, as matrix products over unfolded images; the bias and its gradient.

Shapes: x (N, C, H, W), w (K, C/G, R, S), y and gy (N, K, P, Q).  The three convolutions go through the batch in blocks
of n images and unfold each block into a matrix with a column for every output position: (G, C/G·R·S, n·P·Q).  A block
stays in cache, and memory does not grow with the batch.

stride and dilation are (vertical, horizontal), padding is ((top, bottom), (left, right)).
"""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.reduce.accumulation import in_float32
from tinygen.kernels.reduce.reference import sum
from tinygen.kernels.runtime.dispatch import Kernel, array_module

CACHED = 1 << 18  # elements of a block's columns

conv2d = Kernel("conv2d")
conv2d_input_grad = Kernel("conv2d_input_grad")
conv2d_weight_grad = Kernel("conv2d_weight_grad")
add_bias = Kernel("add_bias")
bias_grad = Kernel("bias_grad")


def output_size(size, window, stride, padding, dilation) -> tuple[int, int]:
    """How many windows fit: floor((H + padding - dilation (R - 1) - 1) / stride) + 1, for both dimensions."""
    return tuple(
        (n + p[0] + p[1] - d * (r - 1) - 1) // s + 1
        for n, r, s, p, d in zip(size, window, stride, padding, dilation)
    )


def tap(x, r, s, positions, stride, dilation):
    """A view of a padded image: what weight (r, s) meets at every output position.  (…, H, W) -> (…, P, Q)"""
    rows, columns = (
        slice(i * d, i * d + (n - 1) * step + 1, step)
        for i, n, step, d in zip((r, s), positions, stride, dilation)
    )
    return x[..., rows, columns]


def pad(x, padding, value=0):
    """x (…, H, W) with `value` around each image."""
    if not any(map(any, padding)):
        return x
    return array_module(x).pad(x, [(0, 0)] * (x.ndim - 2) + list(padding), constant_values=value)


def _image_blocks(x, w_shape, positions):
    """Slices of the batch whose columns have about CACHED elements; on a GPU one slice, the whole batch."""
    size = x.shape[1] * w_shape[2] * w_shape[3] * positions[0] * positions[1]
    n = max(1, CACHED // max(size, 1)) if array_module(x) is np else max(1, len(x))
    return [slice(start, start + n) for start in range(0, len(x), n)]


def _unfold(x, w_shape, positions, stride, padding, dilation):
    """The columns of some images.  (n, C, H, W) -> (C, R, S, n, P, Q)"""
    _, _, R, S = w_shape
    x = pad(x, padding).swapaxes(0, 1)
    out = array_module(x).empty((len(x), R, S, x.shape[1], *positions), x.dtype)
    for r in range(R):
        for s in range(S):
            out[:, r, s] = tap(x, r, s, positions, stride, dilation)
    return out


@conv2d.reference
@in_float32()
def conv2d_reference(x, w, *, stride, padding, dilation, groups):
    """y[n, k, p, q] = sum over c, r, s of w[k, c, r, s] x[n, c, p·stride + r·dilation - top, q·stride + …]."""
    N, K, G = len(x), len(w), groups
    P, Q = positions = output_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    rows = w.reshape(G, K // G, math.prod(w.shape[1:]))
    y = array_module(x).empty((N, K, P, Q), x.dtype)
    for block in _image_blocks(x, w.shape, positions):
        columns = _unfold(x[block], w.shape, positions, stride, padding, dilation)
        n = columns.shape[3]
        product = rows @ columns.reshape(G, rows.shape[2], n * P * Q)
        y[block] = product.reshape(K, n, P, Q).swapaxes(0, 1)
    return y


@conv2d_input_grad.reference
@in_float32()
def conv2d_input_grad_reference(gy, w, *, shape, stride, padding, dilation, groups):
    """gx: each gy[n, k, p, q] w[k, c, r, s] is added where x was read.  (N, K, P, Q), (K, C/G, R, S) -> shape"""
    (N, C, H, W), (K, _, R, S), G = shape, w.shape, groups
    P, Q = positions = gy.shape[2:]
    columns_of = w.reshape(G, K // G, math.prod(w.shape[1:])).swapaxes(1, 2)
    (top, bottom), (left, right) = padding
    gx = array_module(gy).zeros((N, C, H + top + bottom, W + left + right), gy.dtype)
    for block in _image_blocks(gx, w.shape, positions):
        g = gy[block].swapaxes(0, 1)
        n = g.shape[1]
        columns = (columns_of @ g.reshape(G, K // G, n * P * Q)).reshape(C, R, S, n, P, Q)
        for r in range(R):
            for s in range(S):
                tap(gx[block], r, s, positions, stride, dilation)[...] += columns[:, r, s].swapaxes(0, 1)
    return gx[:, :, top : top + H, left : left + W]


@conv2d_weight_grad.reference
@in_float32()
def conv2d_weight_grad_reference(x, gy, *, shape, stride, padding, dilation, groups):
    """gw: gy[n, k, p, q] times the x it met, summed over n, p, q.  (N, C, H, W), (N, K, P, Q) -> shape"""
    K, G, positions = shape[0], groups, gy.shape[2:]
    gw = array_module(x).zeros((G, K // G, math.prod(shape[1:])), x.dtype)
    for block in _image_blocks(x, shape, positions):
        columns = _unfold(x[block], shape, positions, stride, padding, dilation)
        count = len(gy[block]) * math.prod(positions)  # positions in all of the block's images
        g = gy[block].swapaxes(0, 1).reshape(G, K // G, count)
        gw += g @ columns.reshape(G, gw.shape[2], count).swapaxes(1, 2)
    return gw.reshape(shape)


@add_bias.reference
def add_bias_reference(y, bias):
    """y + bias, in y's memory.  (N, K, P, Q), (K,) -> (N, K, P, Q)"""
    y += bias.reshape(-1, 1, 1)
    return y


@bias_grad.reference
def bias_grad_reference(g):
    """The sum of each channel.  (N, K, P, Q) -> (K,)"""
    return sum(g, (0, 2, 3))
