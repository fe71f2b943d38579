"""Normalisation over some dimensions with a scale and a shift, and its gradient.

weight and bias are None or broadcast against x: (D,) in a layer norm, (C, 1, …) where each channel has one number.
"""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.activation.reference import silu, silu_grad
from tinygen.kernels.elementwise.reference import add, multiply
from tinygen.kernels.reduce.accumulation import in_float32
from tinygen.kernels.reduce.reference import mean as mean_over
from tinygen.kernels.reduce.reference import sum
from tinygen.kernels.runtime.dispatch import Kernel, array_module

normalize = Kernel("normalize")
normalize_grad = Kernel("normalize_grad")
normalize_silu = Kernel("normalize_silu")
normalize_silu_grad = Kernel("normalize_silu_grad")
rescale = Kernel("rescale")


def _mean(x, dims):
    """The mean over dims, kept with size one"""
    return mean_over(x, dims, keepdims=True)


def _sum_to(x, shape: tuple):
    """x summed over the dimensions along which `shape` was broadcast"""
    wide = (1,) * (x.ndim - len(shape)) + tuple(shape)
    dims = tuple(d for d, n in enumerate(wide) if n == 1)
    return (sum(x, dims, keepdims=True) if dims else x).reshape(shape)


@normalize.reference
@in_float32(results=1)
def normalize_reference(x, weight, bias, dims, eps):
    """y = (x - mean) / sqrt(var + eps) · weight + bias, var biased.  -> y, mean, var (size one along dims)"""
    mean = _mean(x, dims)
    y = x - mean
    var = _mean(y * y, dims)
    y /= array_module(x).sqrt(var + x.dtype.type(eps))
    if weight is not None:
        y *= weight
    if bias is not None:
        y += bias
    return y, mean, var


@normalize_grad.reference
@in_float32(results=3)
def normalize_grad_reference(g, x, weight, mean, var, dims, eps, shape):
    """gx = (h - mean(h) - n mean(h n)) / sqrt(var + eps), h = g · weight, n the normalised x.  -> gx, gweight, gbias

    gweight = Σ g n and gbias = Σ g in `shape`, that of weight and bias (None: without them).
    """
    xp = array_module(g)
    deviation = xp.sqrt(var + var.dtype.type(eps))
    n = (x - mean) / deviation
    gweight = gbias = None
    if shape is not None:
        gweight, gbias = _sum_to(g * n, shape), _sum_to(g, shape)
    if weight is not None:
        g = g * weight
    gx = g * n
    projection = _mean(gx, dims)
    xp.multiply(n, -projection, out=gx)
    gx += g
    gx -= _mean(g, dims)
    gx /= deviation
    return gx, gweight, gbias


@normalize_silu.reference
@in_float32(results=1)
def normalize_silu_reference(x, weight, bias, dims, eps):
    """silu(y), y as in normalize.  -> silu(y), mean, var"""
    y, mean, var = normalize(x, weight, bias, dims, eps)
    return silu(y), mean, var


@normalize_silu_grad.reference
@in_float32(results=3)
def normalize_silu_grad_reference(g, x, weight, bias, mean, var, dims, eps, shape):
    """That of silu at y, which is computed again, then that of normalize.  -> gx, gweight, gbias"""
    y = (x - mean) / array_module(x).sqrt(var + var.dtype.type(eps))
    if weight is not None:
        y *= weight
    if bias is not None:
        y += bias
    return normalize_grad(silu_grad(g, y), x, weight, mean, var, dims, eps, shape)


@rescale.reference
@in_float32()
def rescale_reference(x, centre, scale, shift):
    """(x - centre) · scale + shift, the others broadcast against x: what a batch norm does once its moments are known.

    Not x · scale + (shift - centre · scale), whose two large numbers leave a rounding error where they cancel.
    """
    y = multiply(add(x, -centre), scale)
    return add(y, shift, out=y)


SMALL = 1024  # elements; below this NumPy has answered before numba would have been imported


def _compilable(x) -> bool:
    return x.size > SMALL and x.dtype in (np.float32, np.float64) and x.flags.c_contiguous


def _shape_of(weight, bias):
    """The shape of the one that is there"""
    return next((v.shape for v in (weight, bias) if v is not None), None)


def _row_count(x, dims, shape) -> int:
    """How many leading dimensions are kept where all others are normalised and `shape` is theirs or None; else 0."""
    lead = x.ndim - len(dims)
    rows = tuple(sorted(dims)) == tuple(range(lead, x.ndim))
    return lead if rows and shape in (None, x.shape[lead:]) else 0


def _slab_start(x, dims, shape) -> int:
    """The first of the trailing dimensions along which all are normalised and scaled alike."""
    start = x.ndim
    wide = (1,) * x.ndim if shape is None else (1,) * (x.ndim - len(shape)) + shape
    while start - 1 in dims and wide[start - 1] == 1:
        start -= 1
    return start


def _group_shapes(x, dims, shape):
    """The dimensions of groups, and those with their channels, others 1.  (N, G, C, S) -> (N, G), (N, G, C, 1)"""
    lead, start = x.ndim - len(dims), _slab_start(x, dims, shape)
    return x.shape[:lead], x.shape[:start] + (1,) * (x.ndim - start)


def _groups_apply(x, dims, shape):
    """Whether the trailing dimensions are normalised, at least 8 neighbours alike."""
    trailing = tuple(sorted(dims)) == tuple(range(x.ndim - len(dims), x.ndim))
    return trailing and _slabs_apply(x, dims, shape)


def _rows_apply(x, dims, shape):
    return _compilable(x) and _row_count(x, dims, shape) > 0


def _slabs_apply(x, dims, shape):
    return _compilable(x) and math.prod(x.shape[_slab_start(x, dims, shape) :]) >= 8


@normalize.variant("slabs", usable=lambda x, w, b, dims, eps: _slabs_apply(x, dims, _shape_of(w, b)))
def normalize_slabs(x, weight, bias, dims, eps):
    """Batch, group and instance norm: moments of each channel of each image, joined, then one pass that scales.

    Reads x three times, the second time from the cache, and writes y once.  Moments are joined as by Chan et al. 1979,
    eq. 2.1: the squares about the joint mean are those about each own mean plus size · (difference of means)².
    """
    from tinygen.kernels.norm import loops

    start = _slab_start(x, dims, _shape_of(weight, bias))
    lead, size, joined = x.shape[:start], math.prod(x.shape[start:]), tuple(d for d in dims if d < start)
    flat, wide = x.reshape(-1, size), lead + (1,) * (x.ndim - start)
    means, squares = np.empty((2, *wide), x.dtype)
    loops.moments(flat, means.reshape(-1), squares.reshape(-1))
    mean = _mean(means, joined)
    var = _mean(squares / size + (means - mean) ** 2, joined)
    scale = 1 / np.sqrt(var + x.dtype.type(eps))
    scale = scale if weight is None else scale * weight
    y = np.empty_like(x)
    shift = np.zeros(1, x.dtype) if bias is None else bias
    loops.scale_rows(flat, _each(mean, wide), _each(scale, wide), _each(shift, wide), y.reshape(-1, size))
    return y, mean, var


def _rescale_rows_apply(x, centre, scale, shift) -> bool:
    one_shape = centre.shape == scale.shape == shift.shape and centre.ndim == x.ndim
    return one_shape and _slabs_apply(x, tuple(range(x.ndim)), centre.shape)


@rescale.variant("rows", usable=_rescale_rows_apply)
def rescale_rows(x, centre, scale, shift):
    """Neighbours that share their three numbers in one pass: reads 4 and writes 4 bytes an element."""
    from tinygen.kernels.norm import loops

    start = _slab_start(x, tuple(range(x.ndim)), centre.shape)
    y, lead, size = np.empty_like(x), x.shape[:start], math.prod(x.shape[start:])
    vectors = (_each(v, lead + (1,) * (x.ndim - start)) for v in (centre, scale, shift))
    loops.scale_rows(x.reshape(-1, size), *vectors, y.reshape(-1, size))
    return y


def _each(values, shape):
    """One number per row of a flat array whose leading dimensions are `shape`"""
    return np.ascontiguousarray(np.broadcast_to(values, shape)).reshape(-1)


@normalize.variant("rows", usable=lambda x, w, b, dims, eps: _rows_apply(x, dims, _shape_of(w, b)))
def normalize_rows(x, weight, bias, dims, eps):
    """Layer norm: mean, variance and y of one row while it lies in the cache; reads x and writes y once."""
    from tinygen.kernels.norm import loops

    lead = x.shape[: _row_count(x, dims, _shape_of(weight, bias))]
    size = x.size // math.prod(lead)
    y = np.empty_like(x)
    mean, var = np.empty((2, *lead, *(1,) * len(dims)), x.dtype)
    scale = np.ones(size, x.dtype) if weight is None else np.ascontiguousarray(weight).reshape(-1)
    shift = np.zeros(size, x.dtype) if bias is None else np.ascontiguousarray(bias).reshape(-1)
    loops.layer_norm(
        x.reshape(-1, size),
        scale,
        shift,
        x.dtype.type(eps),
        y.reshape(-1, size),
        mean.reshape(-1),
        var.reshape(-1),
    )
    return y, mean, var


@normalize.variant("groups", usable=lambda x, w, b, dims, eps: _groups_apply(x, dims, _shape_of(w, b)))
def normalize_groups(x, weight, bias, dims, eps):
    """Group and instance norm: all of a group while it lies in the cache; reads x and writes y once."""
    return _by_groups("group_norm", x, weight, bias, dims, eps)


def _by_groups(loop: str, x, weight, bias, dims, eps):
    """Run a loop of loops.py over the groups of x.  -> y, mean, var"""
    from tinygen.kernels.norm import loops

    lead, wide = _group_shapes(x, dims, _shape_of(weight, bias))
    rows = math.prod(lead)
    y = np.empty_like(x)
    mean, var = np.empty((2, *lead, *(1,) * len(dims)), x.dtype)
    getattr(loops, loop)(
        x.reshape(rows, -1),
        _each_group(weight, 1, wide, rows, x.dtype),
        _each_group(bias, 0, wide, rows, x.dtype),
        x.dtype.type(eps),
        y.reshape(rows, -1),
        mean.reshape(-1),
        var.reshape(-1),
    )
    return y, mean, var


def _each_group(vector, otherwise: float, wide: tuple, rows: int, dtype):
    """weight or bias of each channel of each group; `otherwise` where there is none.  -> (rows, channels)"""
    vector = np.full(1, otherwise, dtype) if vector is None else vector
    return _each(vector, wide).reshape(rows, -1)


@normalize_silu.variant("groups", usable=lambda x, w, b, dims, eps: _groups_apply(x, dims, _shape_of(w, b)))
def normalize_silu_groups(x, weight, bias, dims, eps):
    """SiLU in the pass that scales, its own exponential inlined: 8 bytes an element, where two kernels move 16."""
    return _by_groups("group_norm_silu", x, weight, bias, dims, eps)


@normalize_grad.variant(
    "slabs", usable=lambda g, x, weight, mean, var, dims, eps, shape: _slabs_apply(x, dims, shape)
)
def normalize_grad_slabs(g, x, weight, mean, var, dims, eps, shape):
    """Σ g and Σ g (x - mean) of each channel of each image, then gx = a g + b (x - mean) + c in one pass.

    a = weight / σ, b = -mean(h n) / σ², c = -mean(h) / σ.  Reads g and x twice and writes gx once.
    """
    from tinygen.kernels.norm import loops

    start = _slab_start(x, dims, shape)
    lead, size, joined = x.shape[:start], math.prod(x.shape[start:]), tuple(d for d in dims if d < start)
    flat, wide = x.reshape(-1, size), lead + (1,) * (x.ndim - start)
    g = np.ascontiguousarray(g).reshape(-1, size)
    centre = _each(mean, wide)
    totals, products = np.empty((2, *wide), x.dtype)
    loops.products(g, flat, centre, totals.reshape(-1), products.reshape(-1))
    inverse = 1 / np.sqrt(var + x.dtype.type(eps))
    products *= inverse
    gweight = gbias = None
    a = inverse
    if shape is not None:
        gweight, gbias = _sum_to(products, shape), _sum_to(totals, shape)
    if weight is not None:
        a, totals, products = inverse * weight, totals * weight, products * weight
    b = -_mean(products, joined) / size * (inverse * inverse)
    c = -_mean(totals, joined) / size * inverse
    gx = np.empty_like(x)
    loops.combine_rows(g, flat, centre, _each(a, wide), _each(b, wide), _each(c, wide), gx.reshape(-1, size))
    return gx, gweight, gbias


@normalize_grad.variant(
    "rows", usable=lambda g, x, weight, mean, var, dims, eps, shape: _rows_apply(x, dims, shape)
)
def normalize_grad_rows(g, x, weight, mean, var, dims, eps, shape):
    """Layer norm: gx of a row, and its part of the weight's and bias's gradients, while the row lies in the cache."""
    from tinygen.kernels.norm import loops
    from tinygen.kernels.runtime.with_numba import get_num_threads

    size = math.prod(x.shape[d] for d in dims)
    gx = np.empty_like(x)
    inverse = (1 / np.sqrt(var + x.dtype.type(eps))).reshape(-1)
    scale = np.ones(size, x.dtype) if weight is None else np.ascontiguousarray(weight).reshape(-1)
    gweight, gbias = np.zeros((2, get_num_threads(), size), x.dtype)
    loops.layer_norm_grad(
        np.ascontiguousarray(g).reshape(-1, size), x.reshape(-1, size), scale, mean.reshape(-1), inverse,
        gx.reshape(-1, size), gweight, gbias,
    )  # fmt: skip
    if shape is None:
        return gx, None, None
    return gx, gweight.sum(0).reshape(shape), gbias.sum(0).reshape(shape)


@normalize_grad.variant(
    "groups", usable=lambda g, x, weight, mean, var, dims, eps, shape: _groups_apply(x, dims, shape)
)
def normalize_grad_groups(g, x, weight, mean, var, dims, eps, shape):
    """Group and instance norm: the sums of a group and its gx while it lies in the cache; reads g and x once."""
    lead, wide = _group_shapes(x, dims, shape)
    scale = _each_group(weight, 1, wide, math.prod(lead), x.dtype)
    return _grad_by_groups("group_norm_grad", g, x, (scale,), wide, mean, var, eps, shape)


def _grad_by_groups(loop: str, g, x, vectors, wide, mean, var, eps, shape):
    """Run a loop of loops.py over the groups of g and x; vectors (groups, channels).  -> gx, gweight, gbias"""
    from tinygen.kernels.norm import loops

    rows = len(vectors[0])
    gx = np.empty_like(x)
    inverse = (1 / np.sqrt(var + x.dtype.type(eps))).reshape(-1)
    gweight, gbias = np.empty((2, *vectors[0].shape), x.dtype)
    getattr(loops, loop)(
        np.ascontiguousarray(g).reshape(rows, -1), x.reshape(rows, -1), *vectors, mean.reshape(-1), inverse,
        gx.reshape(rows, -1), gweight, gbias,
    )  # fmt: skip
    if shape is None:
        return gx, None, None
    return gx, _sum_to(gweight.reshape(wide), shape), _sum_to(gbias.reshape(wide), shape)


@normalize_silu_grad.variant(
    "groups",
    usable=lambda g, x, w, b, mean, var, dims, eps, shape: _groups_apply(x, dims, shape),
)
def normalize_silu_grad_groups(g, x, weight, bias, mean, var, dims, eps, shape):
    """SiLU's slope in the pass that sums: what it hands on is kept in gx, in the cache, and combined there."""
    lead, wide = _group_shapes(x, dims, shape)
    vectors = [
        _each_group(vector, otherwise, wide, math.prod(lead), x.dtype)
        for vector, otherwise in ((weight, 1), (bias, 0))
    ]
    return _grad_by_groups("group_norm_silu_grad", g, x, vectors, wide, mean, var, eps, shape)
