"""Adding a convolution's bias, and its gradient, on all threads."""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.conv2d.reference import add_bias, bias_grad
from tinygen.kernels.reduce.reference import sum

SMALL = 1 << 15  # elements; a single thread is done with fewer before a second one has started


def _pays(y) -> bool:
    return y.size > SMALL and y.dtype in (np.float32, np.float64) and y.flags.c_contiguous


def _rows(y):
    """(N, K, P, Q) -> (N K, P Q)"""
    return y.reshape(math.prod(y.shape[:2]), math.prod(y.shape[2:]))


@add_bias.variant("threads", usable=lambda y, bias: _pays(y) and y.dtype == bias.dtype)
def add_bias_threads(y, bias):
    """Each thread takes a share of the images' channels, so that all cores read and write y."""
    from tinygen.kernels.conv2d.bias_loops import add_to_rows

    add_to_rows(_rows(y), bias)
    return y


@bias_grad.variant("threads", usable=_pays)
def bias_grad_threads(g):
    """Each thread sums a share of the images' channels in double precision; the sums are then added over images."""
    from tinygen.kernels.conv2d.bias_loops import sum_rows

    sums = np.empty(g.shape[:2], g.dtype)
    sum_rows(_rows(g), sums.reshape(-1))
    return sum(sums, (0,))
