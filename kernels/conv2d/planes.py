"""Convolution to few channels, depthwise above all: whole padded images times one weight, added.

Shapes as in `conv2d.py`.  In a padded image laid out row after row, the value that tap (r, s) meets at position p is at
p plus a constant: a tap is one multiply-add of two long runs.  With a stride, positions in between are computed too.
"""

from __future__ import annotations

import numpy as np

from tinygen.kernels.conv2d.reference import conv2d, conv2d_input_grad, conv2d_weight_grad, output_size

FEW = 4  # channels: with more, products of whole registers of channels are faster


def _plain(a, b, groups, outputs, padding):
    return (
        outputs < FEW * groups
        and a.dtype == b.dtype
        and a.dtype.char in "fd"
        and a.size > 0
        and b.size > 0
        and min(map(min, padding)) >= 0
    )


def _offsets(w_shape, columns, dilation):
    """What is between a position and what each tap meets there, in images of so many columns."""
    r, s = np.arange(w_shape[2]) * dilation[0], np.arange(w_shape[3]) * dilation[1]
    return np.add.outer(r * columns, s).ravel()


def _padded(size, padding):
    return tuple(n + sum(p) for n, p in zip(size, padding))


def _usable(x, w, *, stride, padding, dilation, groups):
    few = len(w) // groups * stride[0] * stride[1]
    return _plain(x, w, groups, few * groups, padding)


@conv2d.variant("planes", usable=_usable)
def conv2d_planes(x, w, *, stride, padding, dilation, groups):
    """y[k] += w[k, c, r, s] times the shifted x[c].  Bytes: x read K/G times (cache), y once; the sums stay in L1."""
    from tinygen.kernels.conv2d.planes_loops import correlate

    positions, size = (
        output_size(x.shape[2:], w.shape[2:], stride, padding, dilation),
        _padded(x.shape[2:], padding),
    )
    y = np.empty((len(x), len(w), *positions), x.dtype)
    x, w = np.ascontiguousarray(x), np.ascontiguousarray(w)
    correlate(
        x, w, groups, (padding[0][0], padding[1][0]), size, stride, _offsets(w.shape, size[1], dilation), y
    )
    return y


def _usable_input(gy, w, *, shape, stride, padding, dilation, groups):
    few = shape[1] // groups * stride[0] * stride[1]
    return _plain(gy, w, groups, few * groups, padding) and 0 not in shape


@conv2d_input_grad.variant("planes", usable=_usable_input)
def conv2d_input_grad_planes(gy, w, *, shape, stride, padding, dilation, groups):
    """gx[c], shifted, += w[k, c, r, s] times gy[k] with zeros between its positions."""
    from tinygen.kernels.conv2d.planes_loops import add_input_gradient

    gx, size = np.empty(shape, gy.dtype), _padded(shape[2:], padding)
    gy, w = np.ascontiguousarray(gy), np.ascontiguousarray(w)
    at = (padding[0][0], padding[1][0]), size, stride, _offsets(w.shape, size[1], dilation)
    add_input_gradient(gy, w, groups, *at, gx)
    return gx


def _usable_weight(x, gy, *, shape, stride, padding, dilation, groups):
    few = shape[0] // groups * stride[0] * stride[1]
    return _plain(x, gy, groups, few * groups, padding) and 0 not in shape


@conv2d_weight_grad.variant("planes", usable=_usable_weight)
def conv2d_weight_grad_planes(x, gy, *, shape, stride, padding, dilation, groups):
    """gw[k, c, r, s] = the scalar product of gy[k], zeros between its positions, and the shifted x[c].

    A thread sums its own part of the batch; the parts are added at the end.
    """
    from tinygen.kernels.conv2d.planes_loops import correlate_with_gradient
    from tinygen.kernels.runtime.with_numba import get_num_threads

    size = _padded(x.shape[2:], padding)
    gw = np.zeros((min(get_num_threads(), len(x)), *shape), x.dtype)
    x, gy = np.ascontiguousarray(x), np.ascontiguousarray(gy)
    at = (padding[0][0], padding[1][0]), size, stride, _offsets(shape, size[1], dilation)
    correlate_with_gradient(x, gy, groups, *at, gw)
    return gw.sum(axis=0)
