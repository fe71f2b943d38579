"""Activation functions."""

from __future__ import annotations

import math

from tinygen import dtypes, kernels
from tinygen.ops.elementwise import clamp, erf, exp, keep, where
from tinygen.primitive import primitive


@primitive(promote="float")
def sigmoid(x):
    """1 / (1 + exp(-x))"""
    return kernels.sigmoid(x)


sigmoid.vjp(lambda g, y: g * (y * (1 - y)))


@primitive(promote="float")
def tanh(x):
    """Hyperbolic tangent"""
    return kernels.tanh(x)


tanh.vjp(lambda g, y: g * (1 - y * y))


@primitive
def relu(x):
    """max(x, 0); its derivative at 0 is 0"""
    return kernels.relu(x)


relu.vjp(lambda g, y: keep(g, mask=~(y <= 0)))  # passes where y > 0, and, as in PyTorch, where y is nan
relu.fused(lambda g, y: (kernels.relu_grad(g, y),))


@primitive
def leaky_relu(x, *, negative_slope=0.01):
    """x where x > 0, else negative_slope * x"""
    return kernels.leaky_relu(x, negative_slope)


leaky_relu.vjp(lambda g, x, negative_slope: where(x > 0, g, g * negative_slope))
leaky_relu.fused(lambda g, x, negative_slope: (kernels.leaky_relu_grad(g, x, negative_slope),))


@primitive
def elu(x, *, alpha=1.0):
    """x where x > 0, else alpha * (exp(x) - 1)"""
    xp = kernels.array_module(x)
    return xp.where(x > 0, x, x.dtype.type(alpha) * kernels.expm1(xp.minimum(x, x.dtype.type(0))))


elu.vjp(lambda g, x, alpha: g * where(x > 0, 1.0, alpha * exp(clamp(x, max=0.0))))


@primitive
def softplus(x, *, beta=1.0, threshold=20.0):
    """log(1 + exp(beta x)) / beta; x itself where beta x > threshold"""
    xp = kernels.array_module(x)
    scaled = x * x.dtype.type(beta)
    return xp.where(scaled > threshold, x, kernels.softplus(scaled) / x.dtype.type(beta))


softplus.vjp(lambda g, x, beta, threshold: g * where(x * beta > threshold, 1.0, sigmoid(x * beta)))


def silu(x):
    """x * sigmoid(x)  (Hendrycks & Gimpel 2016, arXiv 1606.08415)"""
    return x * sigmoid(x)


def logsigmoid(x):
    """log(sigmoid(x)), without overflow"""
    return -softplus(-x)


def gelu(x, *, approximate="none"):
    """x * Phi(x), Phi the normal distribution function; "tanh" for its approximation  (arXiv 1606.08415)"""
    if approximate == "tanh":
        return 0.5 * x * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    if approximate != "none":
        raise ValueError(f"gelu: found approximate={approximate!r}, expected 'none' or 'tanh'")
    return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))


def prelu(x, weight):
    """max(x, 0) + weight * min(x, 0), one weight for all or one per channel (dimension 1)"""
    if weight.numel() != 1:
        if x.ndim < 2 or weight.shape != (x.shape[1],):
            raise dtypes.ShapeError(
                f"prelu: found {weight.shape} weights, expected 1 or one per channel of x {x.shape}"
            )
        weight = weight.reshape(-1, *[1] * (x.ndim - 2))
    return where(x > 0, x, weight * x)
