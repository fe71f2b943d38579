"""Activation functions."""

from __future__ import annotations

import math

import numpy as np

from tinygen import kernels
from tinygen.engine import dtypes
from tinygen.engine.errors import refusal
from tinygen.engine.primitive import primitive
from tinygen.engine.sweep_ops import flat
from tinygen.ops.arguments import INT, TENSOR, WORD
from tinygen.ops.checks import expect_floating, expect_one_dtype, floating, no_bools
from tinygen.ops.declaration import example, operation, positive, real
from tinygen.ops.elementwise.arithmetic import abs, exp
from tinygen.ops.elementwise.choice import clamp, keep, where
from tinygen.ops.elementwise.functions import erf
from tinygen.ops.shape.join import chunk
from tinygen.ops.tensor.overwrite import in_place


@operation(homes="tinygen Tensor F")
@primitive(promote="float")
def sigmoid(x):
    """1 / (1 + exp(-x))"""
    return kernels.sigmoid(x)


sigmoid.vjp(lambda g, y: g * (y * (1 - y)))
sigmoid.fused(lambda g, y: (kernels.sigmoid_grad(g, y),))


@operation(homes="tinygen Tensor F")
@primitive(promote="float")
def tanh(x):
    """Hyperbolic tangent"""
    return kernels.tanh(x)


tanh.vjp(lambda g, y: g * (1 - y * y))


@operation
@primitive
def relu(x):
    """max(x, 0); its derivative at 0 is 0"""
    return kernels.relu(no_bools(x))


relu.vjp(
    lambda g, y: flat(keep(g, mask=~(y <= 0)), y)
)  # passes where y > 0 and, as in PyTorch, where y is nan
relu.fused(lambda g, y: (kernels.relu_grad(g, y),))


@primitive
def leaky_relu(x, *, negative_slope=0.01):
    """x where x > 0, else negative_slope * x"""
    return kernels.leaky_relu(floating(x), negative_slope)


leaky_relu.vjp(lambda g, x, negative_slope: flat(where(x > 0, g, g * negative_slope), x))
leaky_relu.fused(lambda g, x, negative_slope: (kernels.leaky_relu_grad(g, x, negative_slope),))


@primitive
def elu(x, *, alpha=1.0):
    """x where x > 0, else alpha * (exp(x) - 1)"""
    xp = kernels.array_module(floating(x))
    return xp.where(x > 0, x, x.dtype.type(alpha) * kernels.expm1(xp.minimum(x, x.dtype.type(0))))


elu.vjp(
    lambda g, x, alpha: g * where(x <= 0, alpha * exp(clamp(x, max=0.0)), 1.0)
)  # passes at nan, as in PyTorch


@primitive
def softplus(x, *, beta=1.0, threshold=20.0):
    """log(1 + exp(beta x)) / beta; x itself where beta x > threshold"""
    xp = kernels.array_module(floating(x))
    scaled = x * x.dtype.type(beta)
    return xp.where(scaled > threshold, x, kernels.softplus(scaled) / x.dtype.type(beta))


softplus.vjp(lambda g, x, beta, threshold: g * where(x * beta > threshold, 1.0, sigmoid(x * beta)))


@operation(other=TENSOR)
@primitive(promote="same", tensors=("x", "other"))
def logaddexp(x, other):
    """log(exp(x) + exp(other)), without overflow"""
    return kernels.logaddexp(x, other)


# the derivatives are a softmax of the two, σ(x - other) + σ(other - x) = 1; exp(x - y) would suffer from y's rounding
logaddexp.vjp(lambda g, x, other: g * sigmoid(x - other), lambda g, x, other: g * sigmoid(other - x))


@primitive(name="silu")
def _silu(x):
    """x σ(x)"""
    return kernels.silu(x)


def silu_row(g, x):
    """(x p)' = p + x p' with p = σ(x) and p' = p (1 - p)"""
    p = sigmoid(x)
    return g * (p * (1 + x * (1 - p)))


_silu.vjp(silu_row)
_silu.fused(lambda g, x: (kernels.silu_grad(g, x),))


@operation(homes="F")
def silu(input, inplace=False):
    """x sigmoid(x)  (Hendrycks & Gimpel 2016, arXiv 1606.08415).  inplace writes it into input."""
    expect_floating("silu", input=input)
    return in_place("silu", _silu, input) if inplace else _silu(input)


@operation(homes="F")
def logsigmoid(input):
    """log(sigmoid(x)), without overflow"""
    expect_floating("logsigmoid", input=input)
    return -softplus(-input)


@primitive(name="gelu")
def _gelu(x):
    """x Φ(x)"""
    return kernels.gelu(x)


def _gelu_row(g, x):
    """(x Φ(x))' = Φ(x) + x φ(x), where φ(x) = exp(-x²/2) / sqrt(2π) is the density and Φ its integral"""
    density = exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))
    return g * (0.5 * (1 + erf(x * math.sqrt(0.5))) + x * density)


_gelu.vjp(_gelu_row)
_gelu.fused(lambda g, x: (kernels.gelu_grad(g, x),))


@primitive(name="gelu")
def _gelu_tanh(x):
    """x (1 + tanh u) / 2, u = sqrt(2/π) (x + 0.044715 x³)"""
    return kernels.gelu_tanh(x)


def _gelu_tanh_row(g, x):
    """((1 + t) x)' = 1 + t + x (1 - t²) u', t = tanh u and u' = sqrt(2/π) (1 + 3 · 0.044715 x²)"""
    scale = math.sqrt(2 / math.pi)
    t = tanh(scale * (x + 0.044715 * x * x * x))
    return g * (0.5 * (1 + t + x * (1 - t * t) * (scale * (1 + 3 * 0.044715 * x * x))))


_gelu_tanh.vjp(_gelu_tanh_row)
_gelu_tanh.fused(lambda g, x: (kernels.gelu_tanh_grad(g, x),))


@operation(homes="F", approximate=WORD)
def gelu(input, *, approximate="none"):
    """x Φ(x), where Φ is the normal distribution function; "tanh" selects the approximation  (arXiv 1606.08415)"""
    expect_floating("gelu", input=input)
    if approximate == "tanh":
        return _gelu_tanh(input)
    if approximate != "none":
        raise refusal("gelu", RuntimeError, f"found approximate={approximate!r}, expected 'none' or 'tanh'")
    return _gelu(input)


@primitive
def _prelu(x, weight):
    return kernels.array_module(x).where(x > 0, x, weight * x)


# a where, as a product with a mask would be nan where x or the weight is infinite
_prelu.vjp(lambda g, x, weight: where(x > 0, g, weight * g), lambda g, x: where(x > 0, 0.0, x * g))


@operation(example("tinygen.prelu(x, weight)", x=real(2, 3), weight=positive(3)), homes="tinygen Tensor F")
def prelu(input, weight):
    """max(x, 0) + weight min(x, 0), one weight for all or one per channel (dimension 1)"""
    expect_one_dtype("prelu", input=input, weight=weight)
    if weight.numel() != 1:
        if input.ndim < 2 or weight.shape != (input.shape[1],):
            raise refusal(
                "prelu",
                dtypes.ShapeError,
                f"found {weight.shape} weights, expected 1 or one per channel of input {input.shape}",
            )
        weight = weight.reshape(-1, *[1] * (input.ndim - 2))
    return _prelu(input, weight)


@primitive
def _hardtanh(x, *, least, most):
    return kernels.minimum(kernels.maximum(no_bools(x), x.dtype.type(least)), x.dtype.type(most))


# passes strictly inside; clamp's also passes at the ends
_hardtanh.vjp(lambda g, x, least, most: flat(keep(g, mask=~((x <= least) | (x >= most))), x))


@operation(homes="F")
def hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False):
    """x limited to [min_val, max_val]; its derivative at both ends is 0.  inplace writes it into input."""
    if min_val > max_val:
        raise refusal("hardtanh", ValueError, f"found min_val {min_val} above max_val {max_val}")
    if input.dtype == np.uint8 and min_val < 0:
        raise refusal(
            "hardtanh", dtypes.DtypeError, f"found dtype uint8 and min_val {min_val}, expected a signed dtype"
        )
    bounds = {"least": min_val, "most": max_val}
    return in_place("hardtanh", _hardtanh, input, **bounds) if inplace else _hardtanh(input, **bounds)


@operation(homes="F")
def relu6(input, inplace=False):
    """min(max(x, 0), 6); its derivative at 0 and 6 is 0.  inplace writes it into input."""
    return hardtanh(input, 0.0, 6.0, inplace)


@operation(homes="F")
def mish(input, inplace=False):
    """x tanh(log(1 + e^x))  (Misra 2019, arXiv 1908.08681).  inplace writes it into input."""
    expect_floating("mish", input=input)
    return in_place("mish", mish, input) if inplace else input * tanh(softplus(input))


@operation(homes="F")
def softsign(input):
    """x / (1 + |x|)"""
    return input / (1 + abs(input))


SELU_SCALE, SELU_ALPHA = 1.0507009873554804934, 1.6732632423543772848


@operation(homes="tinygen F")
def selu(input, inplace=False):
    """λ (x where x > 0, else α (e^x - 1)), λ and α such that mean 0 and variance 1 are a stable fixed point of layers
    (Klambauer et al. 2017, arXiv 1706.02515, eq. 2).  inplace writes it into input."""
    expect_floating("selu", input=input)
    if inplace:
        return in_place("selu", selu, input)
    return SELU_SCALE * elu(input, alpha=SELU_ALPHA)


@operation(example("F.glu(x)", x=real(2, 4)), homes="F", dim=INT)
def glu(input, dim=-1):
    """a sigmoid(b), a and b the halves of input along dim  (Dauphin et al. 2016, arXiv 1612.08083)"""
    expect_floating("glu", input=input)
    if input.ndim == 0:
        raise refusal("glu", RuntimeError, "found input (), expected at least one dimension")
    if input.shape[dim] % 2:
        raise refusal(
            "glu",
            dtypes.ShapeError,
            f"found size {input.shape[dim]} of dim {dim}, expected an even one; input {input.shape}",
        )
    a, b = chunk(input, 2, dim)
    return a * sigmoid(b)
