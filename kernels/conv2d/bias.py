"""A convolution's bias: one number for each channel of y (N, K, P, Q), and its gradient."""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.reduce.reference import sum
from tinygen.kernels.runtime.dispatch import Kernel

SMALL = 1 << 15  # elements; fewer are done by one thread before another has begun

add_bias = Kernel("add_bias")
bias_grad = Kernel("bias_grad")


@add_bias.reference
def add_bias_reference(y, bias):
    """y + bias, in the memory of y.  (N, K, P, Q), (K,) -> (N, K, P, Q)"""
    y += bias.reshape(-1, 1, 1)
    return y


@bias_grad.reference
def bias_grad_reference(g):
    """Every channel's sum.  (N, K, P, Q) -> (K,)"""
    return sum(g, (0, 2, 3))


def _pays(y) -> bool:
    return y.size > SMALL and y.dtype in (np.float32, np.float64) and y.flags.c_contiguous


def _rows(y):
    """(N, K, P, Q) -> (N K, P Q)"""
    return y.reshape(math.prod(y.shape[:2]), math.prod(y.shape[2:]))


@add_bias.variant("threads", usable=lambda y, bias: _pays(y) and y.dtype == bias.dtype)
def add_bias_threads(y, bias):
    """Each thread takes a share of the channels of images: y is read and written by all cores."""
    from tinygen.kernels.conv2d.bias_loops import add_to_rows

    add_to_rows(_rows(y), bias)
    return y


@bias_grad.variant("threads", usable=_pays)
def bias_grad_threads(g):
    """Each thread sums a share of the channels of images in double precision; NumPy adds up the images."""
    from tinygen.kernels.conv2d.bias_loops import sum_rows

    sums = np.empty(g.shape[:2], g.dtype)
    sum_rows(_rows(g), sums.reshape(-1))
    return sum(sums, (0,))
