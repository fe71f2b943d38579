"""Batch norm of vectors on a CPU: a piece of some columns at a time, while it is in the cache."""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.norm.reference import normalize, normalize_grad
from tinygen.kernels.norm.shapes import compilable, shape_of

RUN = 16  # the least number of columns: they are neighbors in memory


def usable(x, dims, shape) -> bool:
    """The leading dimensions are normalized, the others have a weight for each column"""
    lead = len(dims)
    if not compilable(x) or tuple(sorted(dims)) != tuple(range(lead)):
        return False
    if shape is not None and (1,) * (x.ndim - len(shape)) + shape != (1,) * lead + x.shape[lead:]:
        return False
    return math.prod(x.shape[lead:]) >= RUN


def _vector(values, default: float, size: int, dtype):
    return np.full(size, default, dtype) if values is None else np.ascontiguousarray(values).reshape(-1)


@normalize.variant("columns", usable=lambda x, w, b, dims, eps: usable(x, dims, shape_of(w, b)))
def normalize_columns(x, weight, bias, dims, eps):
    """Batch norm of (N, C): mean, variance and y of some columns; reads x three times, twice from the cache."""
    from tinygen.kernels.norm import columns_loops as loops

    kept = x.shape[len(dims) :]
    size = math.prod(kept)
    y = np.empty_like(x)
    mean, var = (np.empty((*(1,) * len(dims), *kept), x.dtype) for _ in range(2))
    loops.batch_norm(
        x.reshape(-1, size), _vector(weight, 1, size, x.dtype), _vector(bias, 0, size, x.dtype), x.dtype.type(eps),
        y.reshape(-1, size), mean.reshape(-1), var.reshape(-1),
    )  # fmt: skip
    return y, mean, var


@normalize_grad.variant(
    "columns", usable=lambda g, x, weight, mean, var, dims, eps, shape: usable(x, dims, shape)
)
def normalize_grad_columns(g, x, weight, mean, var, dims, eps, shape):
    """Σ g and Σ g (x - mean) of some columns, then their gx = a (g - c) + b (x - mean); reads g and x twice."""
    from tinygen.kernels.norm import columns_loops as loops

    size = x.size // math.prod(x.shape[: len(dims)])
    gx = np.empty_like(x)
    gweight, gbias = (np.empty(size if shape is None else shape, x.dtype) for _ in range(2))
    loops.batch_norm_grad(
        np.ascontiguousarray(g).reshape(-1, size), x.reshape(-1, size), _vector(weight, 1, size, x.dtype),
        mean.reshape(-1), var.reshape(-1), x.dtype.type(eps), gx.reshape(-1, size), gweight.reshape(-1),
        gbias.reshape(-1),
    )  # fmt: skip
    return (gx, None, None) if shape is None else (gx, gweight, gbias)
