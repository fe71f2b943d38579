"""Scores to probabilities along one dimension."""

from __future__ import annotations

import numpy as np

from tinygen import kernels
from tinygen.dtypes import DtypeError
from tinygen.ops.elementwise import cast, exp
from tinygen.ops.reduce import normalize_dims, sum
from tinygen.ops.shape import reshape
from tinygen.primitive import primitive


@primitive
def _softmax(x, *, dim):
    """exp(x) / sum(exp(x)) along dim"""
    return kernels.softmax(x, dim)


_softmax.vjp(lambda g, y, dim: y * (g - sum(g * y, dim, keepdim=True)))  # Jacobian: diag(y) - y yᵀ
_softmax.fused(lambda g, y, dim: (kernels.softmax_grad(g, y, dim),))


@primitive
def _log_softmax(x, *, dim):
    """x - log(sum(exp(x))) along dim"""
    return kernels.log_softmax(x, dim)


_log_softmax.vjp(lambda g, y, dim: g - exp(y) * sum(g, dim, keepdim=True))  # Jacobian: I - 1 exp(y)ᵀ
_log_softmax.fused(lambda g, y, dim: (kernels.log_softmax_grad(g, y, dim),))


def _along(operation, name: str, x, dim, dtype):
    if not isinstance(dim, int):
        raise TypeError(f"{name}: found dim {dim!r}, expected a number")
    if dtype is not None:
        x = cast(x, dtype=np.dtype(dtype))
    if not x.is_floating_point():
        raise DtypeError(f"{name}: found dtype {x.dtype}, expected a floating dtype; pass dtype=")
    dims = normalize_dims(dim, x.ndim, name)
    return operation(x, dim=dims[0]) if dims else reshape(operation(reshape(x, 1), dim=0), ())


def softmax(x, dim, dtype=None):
    """exp(x) / sum(exp(x)) along `dim`: scores to probabilities, without overflow.  (…, C, …) -> the same"""
    return _along(_softmax, "softmax", x, dim, dtype)


def log_softmax(x, dim, dtype=None):
    """x - log(sum(exp(x))) along `dim`: log-probabilities, without overflow.  (…, C, …) -> the same"""
    return _along(_log_softmax, "log_softmax", x, dim, dtype)
