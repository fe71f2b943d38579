"""Activation functions and their gradients: what they are.

A gradient is computed from `g` and either the output `y` or the input `x`, whichever is named.
"""

from __future__ import annotations

import math

from tinygen.kernels.elementwise.reference import erf, keep
from tinygen.kernels.runtime.dispatch import Kernel, array_module

sigmoid = Kernel("sigmoid")


@sigmoid.reference
def sigmoid_reference(x):
    """1 / (1 + exp(-x)); for negative x, exp(x) / (1 + exp(x)), so that nothing overflows."""
    xp = array_module(x)
    small = xp.exp(-xp.abs(x))
    one = x.dtype.type(1)
    return xp.where(x >= 0, one, small) / (one + small)


sigmoid_grad = Kernel("sigmoid_grad")


@sigmoid_grad.reference
def sigmoid_grad_reference(g, y):
    """gx = g y (1 - y)"""
    return g * (y * (y.dtype.type(1) - y))


relu_grad = Kernel("relu_grad")


@relu_grad.reference
def relu_grad_reference(g, y):
    """g where the output is positive (or nan)"""
    return keep(g, ~(y <= 0))


leaky_relu = Kernel("leaky_relu")


@leaky_relu.reference
def leaky_relu_reference(x, slope):
    """max(x, 0) + slope * min(x, 0)"""
    return array_module(x).where(x > 0, x, x * x.dtype.type(slope))


leaky_relu_grad = Kernel("leaky_relu_grad")


@leaky_relu_grad.reference
def leaky_relu_grad_reference(g, x, slope):
    """g, times slope where x is not positive"""
    return array_module(x).where(x > 0, g, g * g.dtype.type(slope))


silu = Kernel("silu")


@silu.reference
def silu_reference(x):
    """x σ(x)"""
    return x * sigmoid_reference(x)


silu_grad = Kernel("silu_grad")


@silu_grad.reference
def silu_grad_reference(g, x):
    """gx = g p (1 + x (1 - p)), p = σ(x)"""
    one, p = x.dtype.type(1), sigmoid_reference(x)
    return g * (p * (one + x * (one - p)))


gelu = Kernel("gelu")


def _normal(x):
    """Φ(x) = (1 + erf(x / sqrt 2)) / 2, the normal distribution function"""
    kind = x.dtype.type
    return kind(0.5) * (kind(1) + erf(x * kind(math.sqrt(0.5))))


@gelu.reference
def gelu_reference(x):
    """x Φ(x), Φ the normal distribution function"""
    return x * _normal(x)


gelu_grad = Kernel("gelu_grad")


@gelu_grad.reference
def gelu_grad_reference(g, x):
    """gx = g (Φ(x) + x φ(x)), φ(x) = exp(-x²/2) / sqrt(2π) the normal density"""
    kind = x.dtype.type
    density = array_module(x).exp(kind(-0.5) * x * x) * kind(1 / math.sqrt(2 * math.pi))
    return g * (_normal(x) + x * density)


gelu_tanh = Kernel("gelu_tanh")

TANH_SCALE, TANH_CUBIC = math.sqrt(2 / math.pi), 0.044715


def _tanh_of(x):
    """tanh u, u = sqrt(2/π) (x + 0.044715 x³)"""
    kind = x.dtype.type
    return array_module(x).tanh(kind(TANH_SCALE) * (x + kind(TANH_CUBIC) * x * x * x))


@gelu_tanh.reference
def gelu_tanh_reference(x):
    """x (1 + tanh u) / 2, u = sqrt(2/π) (x + 0.044715 x³)"""
    kind = x.dtype.type
    return kind(0.5) * x * (kind(1) + _tanh_of(x))


gelu_tanh_grad = Kernel("gelu_tanh_grad")


@gelu_tanh_grad.reference
def gelu_tanh_grad_reference(g, x):
    """gx = g ((1 + t) + x (1 - t²) du/dx) / 2, t = tanh u"""
    kind, t = x.dtype.type, _tanh_of(x)
    slope = kind(TANH_SCALE) * (kind(1) + kind(3 * TANH_CUBIC) * x * x)
    return g * (kind(0.5) * (kind(1) + t + x * (kind(1) - t * t) * slope))
