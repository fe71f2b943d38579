"""Softmax and its logarithm along one dimension, and their gradients."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.dispatch import Kernel, array_module

softmax = Kernel("softmax")
softmax_grad = Kernel("softmax_grad")
log_softmax = Kernel("log_softmax")
log_softmax_grad = Kernel("log_softmax_grad")


@softmax.reference
def softmax_reference(x, dim):
    """exp(x - m) / sum(exp(x - m)), m the maximum, so that nothing overflows.  A row of -inf is nan."""
    y = x - x.max(axis=dim, keepdims=True, initial=-np.inf)
    array_module(x).exp(y, out=y)
    y /= y.sum(axis=dim, keepdims=True)
    return y


@softmax_grad.reference
def softmax_grad_reference(g, y, dim):
    """gx = y (g - sum(g y))"""
    gx = g * y
    total = gx.sum(axis=dim, keepdims=True)
    gx -= y * total
    return gx


@log_softmax.reference
def log_softmax_reference(x, dim):
    """x - m - log(sum(exp(x - m))), m the maximum."""
    xp = array_module(x)
    y = x - x.max(axis=dim, keepdims=True, initial=-np.inf)
    y -= xp.log(xp.exp(y).sum(axis=dim, keepdims=True))
    return y


@log_softmax_grad.reference
def log_softmax_grad_reference(g, y, dim):
    """gx = g - exp(y) sum(g)"""
    gx = array_module(y).exp(y)
    gx *= -g.sum(axis=dim, keepdims=True)
    gx += g
    return gx
