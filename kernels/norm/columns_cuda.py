"""Batch norm of x (N, C) on a GPU (`columns.cu`): float32, one launch in each direction."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.norm.reference import (
    normalize,
    normalize_grad,
    normalize_grad_reference,
    normalize_reference,
)
from tinygen.kernels.norm.shapes import shape_of
from tinygen.kernels.runtime.cuda_source import CudaSource
from tinygen.kernels.runtime.dispatch import array_module
from tinygen.kernels.runtime.rounding import ceil_div

source = CudaSource("norm/columns.cu")


def _of_columns(arrays, x, dims, shape) -> bool:
    """Whether x (N, C) is normalized over N, with weights of the shape (1, C) or (C,), if any"""
    return (
        x.ndim == 2
        and tuple(dims) == (0,)
        and x.size > 0
        and max(x.shape) < 2**31
        and shape in (None, (1, x.shape[1]), (x.shape[1],))
        and all(a is None or a.dtype == np.float32 for a in arrays)
    )


def _fits(x, weight, bias, dims, eps) -> bool:
    same = weight is None or bias is None or weight.shape == bias.shape
    return same and _of_columns((x, weight, bias), x, dims, shape_of(weight, bias))


def _grad_fits(g, x, weight, mean, var, dims, eps, shape) -> bool:
    same = g.shape == x.shape and (weight is None or weight.shape == shape)
    return same and _of_columns((g, x, weight, mean, var), x, dims, shape)


def _dense(*arrays):
    return [None if a is None else array_module(a).ascontiguousarray(a) for a in arrays]


@normalize.variant("columns", devices=("cuda",), usable=_fits, on="host")
def normalize_columns_cuda(x, weight, bias, dims, eps):
    """Batch norm of (N, C): a block takes 32 neighboring columns.  Anything else is left to the reference."""
    if not _fits(x, weight, bias, dims, eps):
        with np.errstate(all="ignore"):
            return normalize_reference(x, weight, bias, dims, eps)
    xp, (N, C) = array_module(x), x.shape
    y, mean, var = (xp.empty(shape, np.float32) for shape in ((N, C), (1, C), (1, C)))
    grid = (ceil_div(C, 32),)
    source.launch(
        "normalize_columns", grid, (32, 8), *_dense(x, weight, bias), y, mean, var, N, C, float(eps)
    )
    return y, mean, var


@normalize_grad.variant("columns", devices=("cuda",), usable=_grad_fits, on="host")
def normalize_grad_columns_cuda(g, x, weight, mean, var, dims, eps, shape):
    """As forward; a block has whole columns, and thus the gradients of their weights and biases too."""
    if not _grad_fits(g, x, weight, mean, var, dims, eps, shape):
        with np.errstate(all="ignore"):
            return normalize_grad_reference(g, x, weight, mean, var, dims, eps, shape)
    xp, (N, C) = array_module(x), x.shape
    gx, gweight, gbias = xp.empty((N, C), np.float32), None, None
    if shape is not None:
        gweight, gbias = (xp.empty(shape, np.float32) for _ in range(2))
    source.launch(
        "normalize_grad_columns", (ceil_div(C, 32),), (32, 8), *_dense(g, x, weight, mean, var), gx, gweight, gbias,
        N, C, float(eps),
    )  # fmt: skip
    return gx, gweight, gbias
