"""Pooling windows of images, and upsampling by repetition.

One vectorized pass per position (r, s) in the window, instead of a six-dimensional copy of all windows.
kernel, stride and dilation are (vertical, horizontal); size is the output's (P, Q).
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from tinygen.kernels.conv2d.reference import pad, tap
from tinygen.kernels.reduce.accumulation import wide, widened
from tinygen.kernels.reduce.reference import sum
from tinygen.kernels.runtime.dispatch import Kernel, array_module
from tinygen.kernels.scatter.reference import put

max_pool2d = Kernel("max_pool2d")
max_pool2d_grad = Kernel("max_pool2d_grad")
sum_pool2d = Kernel("sum_pool2d")
sum_pool2d_grad = Kernel("sum_pool2d_grad")
nearest2d = Kernel("nearest2d")
nearest2d_grad = Kernel("nearest2d_grad")

MANY = 64  # pixels of a window; so many are not added one after another


def _reach(x_size, kernel, stride, padding, dilation, size):
    """The padding ((top, bottom), (left, right)) that covers every window; with ceil_mode the last ones stick out."""
    ends = [(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(size, stride, dilation, kernel)]
    return [(p, max(end - n - p, 0)) for p, end, n in zip(padding, ends, x_size)]


def first_inside(xp, length, stride, padding, dilation):
    """The first pixel of each window that is not padding.  -> (length,)"""
    start = xp.arange(length) * stride - padding
    return start - xp.minimum(start, 0) // dilation * dilation


@max_pool2d.reference
def max_pool2d_reference(x, *, kernel, stride, padding, dilation, size):
    """The maximum of each window (the first one, if several are equal) and its index in the image, row · W + column.

    (N, C, H, W) -> (N, C, P, Q) twice.  nan counts as the largest number, padding as -inf.
    """
    xp = array_module(x)
    H, W = x.shape[2:]
    steps = tuple(zip(size, stride, padding, dilation))
    rows, columns = (first_inside(xp, *step) for step in steps)
    corner = [xp.arange(n) * s - p for n, s, p, _ in steps]
    padded = pad(x, _reach((H, W), kernel, stride, padding, dilation, size), -np.inf)
    best = xp.full((*x.shape[:2], *size), -np.inf, x.dtype)
    index = xp.broadcast_to(rows[:, None] * W + columns, best.shape).copy()
    for r in range(kernel[0]):
        for s in range(kernel[1]):
            values = tap(padded, r, s, size, stride, dilation)
            better = (values > best) | xp.isnan(values)
            place = (corner[0] + r * dilation[0])[:, None] * W + corner[1] + s * dilation[1]
            xp.copyto(best, values, where=better)
            xp.copyto(index, xp.broadcast_to(place, best.shape), where=better)
    return best, index


@max_pool2d_grad.reference
def max_pool2d_grad_reference(g, *, index, shape, apart=False):
    """Each g is added at its window's maximum; if `apart`, no other is.  (N, C, P, Q) -> shape (N, C, H, W)"""
    xp = array_module(g)
    images = shape[0] * shape[1]
    pixels = shape[2] * shape[3]
    places = xp.arange(images)[:, None] * pixels + index.reshape(images, g.shape[2] * g.shape[3])
    if not apart:
        return put(g.reshape(-1), (places.reshape(-1),), (images * pixels,)).reshape(shape)
    gx = xp.zeros(images * pixels, g.dtype)
    gx[places.reshape(-1)] = g.reshape(-1)
    return gx.reshape(shape)


def pick_pixels(x, index):
    """x at the indices that max_pool2d found: the transpose of its gradient.  (N, C, H, W) -> (N, C, P, Q)"""
    flat = x.reshape(*x.shape[:2], x.shape[2] * x.shape[3])
    places = index.reshape(*index.shape[:2], index.shape[2] * index.shape[3])
    return array_module(x).take_along_axis(flat, places, 2).reshape(index.shape)


@sum_pool2d.reference
def sum_pool2d_reference(x, *, kernel, stride, padding, size):
    """The sum of each window.  (N, C, H, W) -> (N, C, P, Q)"""
    padded = widened(pad(x, _reach(x.shape[2:], kernel, stride, padding, (1, 1), size)))
    if math.prod(kernel) > MANY:
        return sum(_windows(padded, kernel, stride, size), (4, 5)).astype(x.dtype, copy=False)
    out = array_module(x).zeros((*x.shape[:2], *size), padded.dtype)
    for r in range(kernel[0]):
        for s in range(kernel[1]):
            out += tap(padded, r, s, size, stride, (1, 1))
    return out.astype(x.dtype, copy=False)


def _windows(padded, kernel, stride, size):
    """The pixels of every window, as a view.  (N, C, H, W) -> (N, C, P, Q, R, S)"""
    *images, down, across = padded.strides
    strides = (*images, down * stride[0], across * stride[1], down, across)
    as_strided = array_module(padded).lib.stride_tricks.as_strided
    return as_strided(padded, (*padded.shape[:2], *size, *kernel), strides)


@sum_pool2d_grad.reference
def sum_pool2d_grad_reference(g, *, kernel, stride, padding, shape):
    """Each g is added to all pixels of its window.  (N, C, P, Q) -> shape (N, C, H, W)"""
    size = g.shape[2:]
    (top, bottom), (left, right) = _reach(shape[2:], kernel, stride, padding, (1, 1), size)
    H, W = shape[2:]
    gx = array_module(g).zeros((*shape[:2], H + top + bottom, W + left + right), wide(g.dtype))
    if math.prod(size) < math.prod(kernel):
        for p, q in itertools.product(*map(range, size)):
            h, w = p * stride[0], q * stride[1]
            gx[:, :, h : h + kernel[0], w : w + kernel[1]] += g[:, :, p, q, None, None]
    else:
        for r in range(kernel[0]):
            for s in range(kernel[1]):
                tap(gx, r, s, size, stride, (1, 1))[...] += g
    return gx[:, :, top : top + H, left : left + W].astype(g.dtype, copy=False)


@nearest2d.reference
def nearest2d_reference(x, *, rows, columns):
    """y[…, p, q] = x[…, rows[p], columns[q]], with ascending rows and columns.  (N, C, H, W) -> (N, C, P, Q)"""
    if not isinstance(x, np.ndarray):  # on a GPU, where they stay for the next call
        from tinygen.kernels.runtime.array_table import on_device

        rows, columns = on_device(rows, x), on_device(columns, x)
    return array_module(x).take(x.take(rows, axis=-2), columns, axis=-1)


@nearest2d_grad.reference
def nearest2d_grad_reference(g, *, rows, columns, size):
    """Sums of the elements that came from one pixel: the transpose of nearest2d.  (N, C, P, Q) -> (N, C, *size)"""
    return _repeat_sum(_repeat_sum(g, rows, -2, size[0]), columns, -1, size[1]).astype(g.dtype, copy=False)


def _repeat_sum(g, index, dim, size):
    """The transpose of take(x, index) along dim for an ascending index: sums of neighbors.  -> size along dim"""
    xp = array_module(g)
    g = xp.moveaxis(g, dim, -1)
    out = xp.zeros((*g.shape[:-1], size), wide(g.dtype))
    starts = starts_of(index, size)
    counts = np.diff(starts)
    if size and (counts == counts[0]).all():  # slices, for which nothing is copied to a GPU
        for j in range(counts[0]):
            out += g[..., j :: counts[0]]
        return xp.moveaxis(out, -1, dim)
    for j in range(counts.max(initial=0)):
        reached = np.flatnonzero(counts > j)
        out[..., reached] += g[..., starts[reached] + j]
    return xp.moveaxis(out, -1, dim)  # still in the wide dtype


def starts_of(index, size):
    """The positions where 0, 1, 2, …, size start in an ascending index.  -> (size + 1,)"""
    return np.searchsorted(index, np.arange(size + 1))
