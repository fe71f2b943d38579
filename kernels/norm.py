"""Normalisation over some dimensions, and its gradient."""

from __future__ import annotations

import math

from tinygen.kernels.dispatch import Kernel, array_module
from tinygen.kernels.reduce import sum

normalize = Kernel("normalize")
normalize_grad = Kernel("normalize_grad")


def _mean(x, dims):
    """The mean over dims, kept with size one; of nothing it is nan."""
    count = math.prod(x.shape[d] for d in dims)
    return sum(x, dims, keepdims=True) * x.dtype.type(1 / count if count else math.nan)


@normalize.reference
def normalize_reference(x, dims, eps):
    """y = (x - mean) / sqrt(var + eps), var biased.  x -> y, mean, var; the latter with size one along dims"""
    mean = _mean(x, dims)
    y = x - mean
    var = _mean(y * y, dims)
    y /= array_module(x).sqrt(var + x.dtype.type(eps))
    return y, mean, var


@normalize_grad.reference
def normalize_grad_reference(g, y, var, dims, eps):
    """gx = (g - mean(g) - y mean(g y)) / sqrt(var + eps)"""
    gx = g * y
    projection = _mean(gx, dims)
    array_module(g).multiply(y, -projection, out=gx)
    gx += g
    gx -= _mean(g, dims)
    gx /= array_module(g).sqrt(var + var.dtype.type(eps))
    return gx
