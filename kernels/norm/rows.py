"""Layer norm on a CPU: a row at a time, while it is in the cache."""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.norm.reference import normalize, normalize_grad
from tinygen.kernels.norm.shapes import row_count, rows_apply, shape_of


@normalize.variant("rows", usable=lambda x, w, b, dims, eps: rows_apply(x, dims, shape_of(w, b)))
def normalize_rows(x, weight, bias, dims, eps):
    """Layer norm: mean, variance and y of a row while it is in the cache; reads x and writes y once."""
    from tinygen.kernels.norm import loops

    lead = x.shape[: row_count(x, dims, shape_of(weight, bias))]
    size = x.size // math.prod(lead)
    y = np.empty_like(x)
    mean, var = np.empty((2, *lead, *(1,) * len(dims)), x.dtype)
    scale = np.ones(size, x.dtype) if weight is None else np.ascontiguousarray(weight).reshape(-1)
    shift = np.zeros(size, x.dtype) if bias is None else np.ascontiguousarray(bias).reshape(-1)
    loops.layer_norm(
        x.reshape(-1, size), scale, shift, x.dtype.type(eps), y.reshape(-1, size), mean.reshape(-1), var.reshape(-1)
    )  # fmt: skip
    return y, mean, var


@normalize_grad.variant(
    "rows", usable=lambda g, x, weight, mean, var, dims, eps, shape: rows_apply(x, dims, shape)
)
def normalize_grad_rows(g, x, weight, mean, var, dims, eps, shape):
    """Layer norm: gx of a row, and its share of the gradients of weight and bias, while it is in the cache."""
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
