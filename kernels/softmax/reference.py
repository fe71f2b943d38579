"""Softmax and its logarithm along one dimension, and their gradients: what they are."""

from __future__ import annotations

from tinygen.kernels.reduce.accumulation import in_float32
from tinygen.kernels.reduce.reference import largest, sum
from tinygen.kernels.runtime.dispatch import Kernel, array_module


def _sum(x, dim):
    """The sum along dim, which is kept with size 1"""
    return sum(x, (dim % x.ndim,), keepdims=True)


softmax = Kernel("softmax")


@softmax.reference
@in_float32()
def softmax_reference(x, dim):
    """exp(x - m) / sum(exp(x - m)), m the maximum, so that nothing overflows.  A row of -inf gives nan."""
    y = x - largest(x, dim, keepdims=True)
    array_module(x).exp(y, out=y)
    y /= _sum(y, dim)
    return y


softmax_grad = Kernel("softmax_grad")


@softmax_grad.reference
@in_float32()
def softmax_grad_reference(g, y, dim):
    """gx = y (g - sum(g y))"""
    gx = g * y
    total = _sum(gx, dim)
    gx -= y * total
    return gx


log_softmax = Kernel("log_softmax")


@log_softmax.reference
@in_float32()
def log_softmax_reference(x, dim):
    """x - m - log(sum(exp(x - m))), m the maximum"""
    xp = array_module(x)
    y = x - largest(x, dim, keepdims=True)
    y -= xp.log(_sum(xp.exp(y), dim))
    return y


log_softmax_grad = Kernel("log_softmax_grad")


@log_softmax_grad.reference
@in_float32()
def log_softmax_grad_reference(g, y, dim):
    """gx = g - exp(y) sum(g)"""
    gx = array_module(y).exp(y)
    gx *= -_sum(g, dim)
    gx += g
    return gx
