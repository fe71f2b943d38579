"""Convolution with few channels, depthwise above all: whole padded images times one weight, added up.

Shapes as in `reference.py`.  In a padded image stored row after row, the value that tap (r, s) meets at position p lies
at p plus a constant, so a tap is one multiply-add of two long runs.  With a stride, the positions in between are
computed as well.
"""

from __future__ import annotations

import numpy as np

from tinygen.kernels.conv2d.reference import conv2d, conv2d_input_grad, conv2d_weight_grad, output_size
from tinygen.kernels.conv2d.usable import loops_apply

FEW = 4  # channels; with more, products of whole registers of channels (`taps.py`) are faster


def _offsets(w_shape, columns, dilation):
    """Distances from a position to what each tap meets there, in images with `columns` columns."""
    r, s = np.arange(w_shape[2]) * dilation[0], np.arange(w_shape[3]) * dilation[1]
    return np.add.outer(r * columns, s).ravel()


def _padded(size, padding):
    return tuple(n + sum(p) for n, p in zip(size, padding))


def _usable(x, w, *, stride, padding, dilation, groups):
    few = len(w) // groups * stride[0] * stride[1] < FEW
    return few and loops_apply(x, w, padding)


@conv2d.variant("planes", usable=_usable)
def conv2d_planes(x, w, *, stride, padding, dilation, groups):
    """y[k] += w[k, c, r, s] times the shifted x[c].  x is read K/G times (from cache), y once; the sums stay in L1."""
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
    few = shape[1] // groups * stride[0] * stride[1] < FEW
    return few and loops_apply(gy, w, padding) and 0 not in shape


@conv2d_input_grad.variant("planes", usable=_usable_input)
def conv2d_input_grad_planes(gy, w, *, shape, stride, padding, dilation, groups):
    """gx[c], shifted, += w[k, c, r, s] times gy[k], whose positions are spread out with zeros in between."""
    from tinygen.kernels.conv2d.planes_loops import add_input_gradient

    gx, size = np.empty(shape, gy.dtype), _padded(shape[2:], padding)
    gy, w = np.ascontiguousarray(gy), np.ascontiguousarray(w)
    at = (padding[0][0], padding[1][0]), size, stride, _offsets(w.shape, size[1], dilation)
    add_input_gradient(gy, w, groups, *at, gx)
    return gx


def _usable_weight(x, gy, *, shape, stride, padding, dilation, groups):
    few = shape[0] // groups * stride[0] * stride[1] < FEW
    return few and loops_apply(x, gy, padding) and 0 not in shape


@conv2d_weight_grad.variant("planes", usable=_usable_weight)
def conv2d_weight_grad_planes(x, gy, *, shape, stride, padding, dilation, groups):
    """gw[k, c, r, s] = the dot product of gy[k], with zeros between its positions, and the shifted x[c].

    Each thread sums over its own part of the batch; the parts are added at the end.
    """
    from tinygen.kernels.conv2d.planes_loops import correlate_with_gradient
    from tinygen.kernels.runtime.with_numba import get_num_threads

    size = _padded(x.shape[2:], padding)
    gw = np.zeros((min(get_num_threads(), len(x)), *shape), x.dtype)
    x, gy = np.ascontiguousarray(x), np.ascontiguousarray(gy)
    at = (padding[0][0], padding[1][0]), size, stride, _offsets(shape, size[1], dilation)
    correlate_with_gradient(x, gy, groups, *at, gw)
    return gw.sum(axis=0)
