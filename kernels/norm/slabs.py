"""Norms on a CPU slab by slab: a slab is a channel of an image, whose numbers share a weight.

For batch norm, whose means go across images, this is the only compiled rung.  Group and instance norm have a faster one
(`groups`).
"""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.norm.reference import mean_over, normalize, normalize_grad, rescale
from tinygen.kernels.norm.shapes import each, shape_of, slab_start, slabs_apply
from tinygen.kernels.reduce.reference import sum_to


@normalize.variant("slabs", usable=lambda x, w, b, dims, eps: slabs_apply(x, dims, shape_of(w, b)))
def normalize_slabs(x, weight, bias, dims, eps):
    """Batch, group and instance norm: the moments of each slab, joined, then one pass that scales.

    Reads x three times, the second time from the cache, and writes y once.  Moments are joined as in Chan et al. 1979,
    eq. 2.1: the squares about the joint mean are those about each own mean plus size · (difference of the means)².
    """
    from tinygen.kernels.norm import loops

    start = slab_start(x, dims, shape_of(weight, bias))
    lead, size, joined = x.shape[:start], math.prod(x.shape[start:]), tuple(d for d in dims if d < start)
    flat, wide = x.reshape(-1, size), lead + (1,) * (x.ndim - start)
    means, squares = np.empty((2, *wide), x.dtype)
    loops.moments(flat, means.reshape(-1), squares.reshape(-1))
    mean = mean_over(means, joined)
    var = mean_over(squares / size + (means - mean) ** 2, joined)
    scale = 1 / np.sqrt(var + x.dtype.type(eps))
    scale = scale if weight is None else scale * weight
    y = np.empty_like(x)
    shift = np.zeros(1, x.dtype) if bias is None else bias
    loops.scale_rows(flat, each(mean, wide), each(scale, wide), each(shift, wide), y.reshape(-1, size))
    return y, mean, var


@normalize_grad.variant(
    "slabs", usable=lambda g, x, weight, mean, var, dims, eps, shape: slabs_apply(x, dims, shape)
)
def normalize_grad_slabs(g, x, weight, mean, var, dims, eps, shape):
    """Σ g and Σ g (x - mean) of each slab, then gx = a g + b (x - mean) + c in one pass.

    a = weight / σ, b = -mean(h n) / σ², c = -mean(h) / σ.  Reads g and x twice and writes gx once.
    """
    from tinygen.kernels.norm import loops

    start = slab_start(x, dims, shape)
    lead, size, joined = x.shape[:start], math.prod(x.shape[start:]), tuple(d for d in dims if d < start)
    flat, wide = x.reshape(-1, size), lead + (1,) * (x.ndim - start)
    g = np.ascontiguousarray(g).reshape(-1, size)
    center = each(mean, wide)
    totals, products = np.empty((2, *wide), x.dtype)
    loops.products(g, flat, center, totals.reshape(-1), products.reshape(-1))
    inverse = 1 / np.sqrt(var + x.dtype.type(eps))
    products *= inverse
    gweight = gbias = None
    a = inverse
    if shape is not None:
        gweight, gbias = sum_to(products, shape), sum_to(totals, shape)
    if weight is not None:
        a, totals, products = inverse * weight, totals * weight, products * weight
    b = -mean_over(products, joined) / size * (inverse * inverse)
    c = -mean_over(totals, joined) / size * inverse
    gx = np.empty_like(x)
    loops.combine_rows(g, flat, center, each(a, wide), each(b, wide), each(c, wide), gx.reshape(-1, size))
    return gx, gweight, gbias


def _rescale_usable(x, center, scale, shift) -> bool:
    one_shape = center.shape == scale.shape == shift.shape and center.ndim == x.ndim
    return one_shape and slabs_apply(x, tuple(range(x.ndim)), center.shape)


@rescale.variant("rows", usable=_rescale_usable)
def rescale_rows(x, center, scale, shift):
    """Neighbors that share their three numbers, in one pass: reads 4 and writes 4 bytes per element."""
    from tinygen.kernels.norm import loops

    start = slab_start(x, tuple(range(x.ndim)), center.shape)
    y, lead, size = np.empty_like(x), x.shape[:start], math.prod(x.shape[start:])
    vectors = (each(v, lead + (1,) * (x.ndim - start)) for v in (center, scale, shift))
    loops.scale_rows(x.reshape(-1, size), *vectors, y.reshape(-1, size))
    return y
