"""Softmax and its relatives: scores to probabilities along one dimension."""

from __future__ import annotations

import warnings

import numpy as np

from tinygen import kernels, random
from tinygen.engine.dtypes import DtypeError
from tinygen.engine.errors import refusal
from tinygen.engine.primitive import primitive
from tinygen.engine.sweep_ops import cast
from tinygen.engine.tensor import Tensor
from tinygen.ops.arguments import INT
from tinygen.ops.creation import zeros_like
from tinygen.ops.declaration import example, operation, real
from tinygen.ops.elementwise.arithmetic import exp
from tinygen.ops.reduce import argmax, normalize_dims, sum
from tinygen.ops.shape.reshape import reshape
from tinygen.ops.wide import by_float32


@primitive
def _softmax(x, *, dim):
    """y_i = exp(x_i) / Σ_j exp(x_j) along dim"""
    return kernels.softmax(x, dim)


# ∂y_i/∂x_j = y_i (δ_ij - y_j): the Jacobian is diag(y) - y yᵀ, and its product with g is y (g - Σ g y)
_softmax.vjp(lambda g, y, dim: y * (g - sum(g * y, dim, keepdim=True)))
_softmax.fused(lambda g, y, dim: (kernels.softmax_grad(g, y, dim),))


@primitive
def _log_softmax(x, *, dim):
    """y_i = x_i - log Σ_j exp(x_j) along dim"""
    return kernels.log_softmax(x, dim)


# ∂y_i/∂x_j = δ_ij - exp(y_j): the Jacobian is I - 1 exp(y)ᵀ, and gᵀ times it is g - exp(y) Σ g
_log_softmax.vjp(lambda g, y, dim: g - exp(y) * sum(g, dim, keepdim=True))
_log_softmax.fused(lambda g, y, dim: (kernels.log_softmax_grad(g, y, dim),))


def _along(operation, name: str, x, dim, dtype):
    """The operation along dim, after checking dim and dtype; a 0-d x counts as one element"""
    if not isinstance(dim, int):
        raise refusal(name, TypeError, f"found dim {dim!r}, expected a number")
    if dtype is not None:
        x = cast(x, dtype=np.dtype(dtype))
    if not x.is_floating_point():
        raise refusal(name, DtypeError, f"found dtype {x.dtype}, expected a floating dtype; pass dtype=")
    dims = normalize_dims(dim, x.ndim, name)
    if not dims:
        return reshape(operation(reshape(x, 1), dim=0), ())
    return by_float32(operation, x, dim=dims[0])


@operation(example("tinygen.softmax(x, dim=1)", x=real(2, 3)), dim=INT)
def softmax(input, dim, dtype=None):
    """Scores to probabilities: y_i = exp(x_i) / Σ_j exp(x_j) along `dim`.  (…, C, …) -> the same

    Computed as exp(x - m) / Σ exp(x - m), m the maximum, which changes nothing and does not overflow.
    """
    return _along(_softmax, "softmax", input, dim, dtype)


@operation(example("tinygen.log_softmax(x, dim=1)", x=real(2, 3)), dim=INT)
def log_softmax(input, dim, dtype=None):
    """Scores to log-probabilities: y_i = x_i - log Σ_j exp(x_j) along `dim`.  (…, C, …) -> the same"""
    return _along(_log_softmax, "log_softmax", input, dim, dtype)


def softmin(input, dim, dtype=None):
    """softmax(-x): the smallest is the most probable.  (…, C, …) -> the same"""
    return softmax(-input, dim, dtype)


def guessed_dim(name: str, ndim: int) -> int:
    """PyTorch's choice if nn.functional is called without dim: 0 for 0, 1 and 3 dimensions, else 1.  Warns, too."""
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
        stacklevel=4,  # past this function, its caller and the wrapper of that
    )
    return 0 if ndim in (0, 1, 3) else 1


@operation(homes="F")
def gumbel_softmax(logits, tau=1, hard=False, eps=1e-10, dim=-1):
    """A differentiable sample of a class: softmax((logits + G) / tau), G = -log(-log U) with U uniform.  shape -> shape

    Jang et al. 2016, arXiv 1611.01144, eq. 1 and 2.  hard: the one-hot argmax in the forward, with the soft draw's
    gradient (straight-through).  eps has no effect.  U comes from `tinygen.random`'s default generator.
    """
    if not logits.is_floating_point():
        raise refusal("gumbel_softmax", DtypeError, f"found dtype {logits.dtype}, expected a floating dtype")
    dtype = logits.dtype if logits.dtype == np.float64 else np.float32
    u = np.maximum(random.default_stream(logits.device).uniform(logits.shape, dtype), np.finfo(dtype).tiny)
    gumbels = Tensor._wrap((-np.log(-np.log(u))).astype(logits.dtype))
    soft = softmax((logits + gumbels) / tau, dim)
    if not hard:
        return soft
    chosen = argmax(soft, dim, keepdim=True)
    one_hot = zeros_like(soft).detach().scatter(dim, chosen, value=1.0)
    return one_hot - soft.detach() + soft
