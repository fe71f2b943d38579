"""Normalization over some dimensions with a scale and a shift, and its gradient: what it is.

weight and bias are None or broadcast against x: (D,) in a layer norm, (C, 1, …) where each channel has one number.
"""

from __future__ import annotations

from tinygen.kernels.activation.reference import silu, silu_grad
from tinygen.kernels.elementwise.reference import add, multiply
from tinygen.kernels.reduce.accumulation import in_float32
from tinygen.kernels.reduce.reference import mean, sum_to
from tinygen.kernels.runtime.dispatch import Kernel, array_module


def mean_over(x, dims):
    """The mean over dims, which are kept with size 1"""
    return mean(x, dims, keepdims=True)


normalize = Kernel("normalize")


@normalize.reference
@in_float32(results=1)
def normalize_reference(x, weight, bias, dims, eps):
    """y = (x - mean) / sqrt(var + eps) · weight + bias, var biased.  -> y, mean, var (size 1 along dims)"""
    mean = mean_over(x, dims)
    y = x - mean
    var = mean_over(y * y, dims)
    y /= array_module(x).sqrt(var + x.dtype.type(eps))
    if weight is not None:
        y *= weight
    if bias is not None:
        y += bias
    return y, mean, var


normalize_grad = Kernel("normalize_grad")


@normalize_grad.reference
@in_float32(results=3)
def normalize_grad_reference(g, x, weight, mean, var, dims, eps, shape):
    """gx = (h - mean(h) - n mean(h n)) / sqrt(var + eps), h = g · weight, n the normalized x.  -> gx, gweight, gbias

    gweight = Σ g n and gbias = Σ g have the `shape` of weight and bias; None if that is None.
    """
    xp = array_module(g)
    deviation = xp.sqrt(var + var.dtype.type(eps))
    n = (x - mean) / deviation
    gweight = gbias = None
    if shape is not None:
        gweight, gbias = sum_to(g * n, shape), sum_to(g, shape)
    if weight is not None:
        g = g * weight
    gx = g * n
    projection = mean_over(gx, dims)
    xp.multiply(n, -projection, out=gx)
    gx += g
    gx -= mean_over(g, dims)
    gx /= deviation
    return gx, gweight, gbias


normalize_silu = Kernel("normalize_silu")


@normalize_silu.reference
@in_float32(results=1)
def normalize_silu_reference(x, weight, bias, dims, eps):
    """silu(y), with y as in normalize.  -> silu(y), mean, var"""
    y, mean, var = normalize(x, weight, bias, dims, eps)
    return silu(y), mean, var


normalize_silu_grad = Kernel("normalize_silu_grad")


@normalize_silu_grad.reference
@in_float32(results=3)
def normalize_silu_grad_reference(g, x, weight, bias, mean, var, dims, eps, shape):
    """The gradient of silu at y, which is computed again, then that of normalize.  -> gx, gweight, gbias"""
    y = (x - mean) / array_module(x).sqrt(var + var.dtype.type(eps))
    if weight is not None:
        y *= weight
    if bias is not None:
        y += bias
    return normalize_grad(silu_grad(g, y), x, weight, mean, var, dims, eps, shape)


rescale = Kernel("rescale")


@rescale.reference
@in_float32()
def rescale_reference(x, center, scale, shift):
    """(x - center) · scale + shift, the others broadcast against x: a batch norm with given moments.

    Not x · scale + (shift - center · scale): where those two large numbers cancel they leave a rounding error.
    """
    y = multiply(add(x, -center), scale)
    return add(y, shift, out=y)
