"""Running sums and products, and the product of all elements."""

from __future__ import annotations

import numpy as np

from tinygen import kernels
from tinygen.engine.primitive import primitive
from tinygen.engine.sweep_ops import cast, clone
from tinygen.engine.tensor import Tensor
from tinygen.ops.arguments import INT
from tinygen.ops.declaration import example, operation, real
from tinygen.ops.reduce import kept_shape, normalize_dims, sum, sum_over
from tinygen.ops.shape.join import cat, narrow
from tinygen.ops.shape.reshape import reshape
from tinygen.ops.tensor.device import beside


@primitive
def _cumsum(x, *, dim, reverse):
    return kernels.cumsum(x, dim, reverse)


# x_k is in every sum from k on, so its gradient is the sum of theirs: a running sum from the end
_cumsum.vjp(lambda g, dim, reverse: _cumsum(g, dim=dim, reverse=not reverse))


@operation(example("tinygen.cumsum(x, dim=1)", x=real(2, 3)), dim=INT)
def cumsum(input, dim, *, dtype=None):
    """Running sum along `dim`; int64 for integers and bools"""
    input = input if dtype is None else cast(input, dtype=np.dtype(dtype))
    if input.ndim == 0:
        return sum(input)
    return _cumsum(input, dim=normalize_dims(dim, input.ndim, "cumsum")[0], reverse=False)


@primitive
def _recurrence(a, b, *, dim, reverse):
    """s_k = b_k + a_k s_{k-1} along `dim`, starting from s = 0; in reverse, s_k = b_k + a_k s_{k+1}."""
    xp, dtype = kernels.array_module(a), a.dtype
    a, b = (xp.moveaxis(x, dim, 0).astype(kernels.wide_running(x.dtype), copy=False) for x in (a, b))
    s = xp.empty_like(b)
    order = range(len(b))[::-1] if reverse else range(len(b))
    before = None  # None instead of 0: an infinite a times 0 would be nan
    for k in order:
        before = s[k] = b[k] if before is None else b[k] + a[k] * before
    return xp.moveaxis(s, 0, dim).astype(dtype, copy=False)


def _zeros_like(x):
    """Zeros in the shape of x; x * 0 would be nan where x is infinite."""
    return beside(x, np.zeros(x.shape, x.dtype))


def _without(x, dim: int, last: bool):
    """x without its last element along `dim`, or its first."""
    return narrow(x, dim, 0 if last else 1, x.shape[dim] - 1)


def _shifted(x, dim: int, by_one_later: bool):
    """x shifted by one along `dim`, filled with a zero."""
    if x.shape[dim] == 0:
        return x
    zero, kept = _zeros_like(narrow(x, dim, 0, 1)), _without(x, dim, by_one_later)
    return cat([zero, kept] if by_one_later else [kept, zero], dim)


# u_k = g_k + a_{k+1} u_{k+1} runs the other way.  It is the gradient of b_k; that of a_k is u_k s_{k-1}
def _recurrence_b(g, a, dim, reverse):
    return _recurrence(_shifted(a, dim, reverse), g, dim=dim, reverse=not reverse)


def _recurrence_a(g, a, y, dim, reverse):
    u = _recurrence_b(g, a, dim, reverse)
    if u.shape[dim] == 0:
        return u
    products = _without(u, dim, reverse) * _without(y, dim, not reverse)
    nothing = _zeros_like(narrow(u, dim, 0, 1))  # the first a is multiplied by no s
    return cat([products, nothing] if reverse else [nothing, products], dim)


_recurrence.vjp(_recurrence_a, lambda g, a, dim, reverse: _recurrence_b(g, a, dim, reverse))


@operation(example("tinygen.cumprod(x, dim=1)", x=real(2, 3)), dim=INT)
def cumprod(input, dim, *, dtype=None):
    """Running product along `dim`, y_k = x_1 x_2 … x_k, as a recurrence: its gradient is right where x is 0, too"""
    input = input if dtype is None else cast(input, dtype=np.dtype(dtype))
    if input.ndim == 0:
        return clone(input)
    dim = normalize_dims(dim, input.ndim, "cumprod")[0]
    if not input.is_floating_point():
        return Tensor._wrap(input._data.cumprod(axis=dim, dtype=np.int64))
    if input.shape[dim] == 0:
        return clone(input)
    start = cat([narrow(input, dim, 0, 1), _zeros_like(_without(input, dim, False))], dim)
    return _recurrence(input, start, dim=dim, reverse=False)


@operation(example("tinygen.prod(x, dim=1)", x=real(2, 3)), dim=INT)
def prod(input, dim=None, keepdim=False, *, dtype=None):
    """The product; 1 if there are no elements"""
    input = input if dtype is None else cast(input, dtype=np.dtype(dtype))
    if not input.is_floating_point():
        dims = normalize_dims(dim, input.ndim, "prod")
        xp = kernels.array_module(input._data)
        return Tensor._wrap(xp.asarray(input._data.prod(axis=dims, keepdims=keepdim, dtype=np.int64)))
    if dim is None:
        input, dim, shape = reshape(input, -1), 0, ()
    else:
        dim = normalize_dims(dim, input.ndim, "prod")[0] if input.ndim else 0
        shape = (
            kept_shape(input.shape, (dim,))
            if keepdim
            else tuple(n for i, n in enumerate(input.shape) if i != dim)
        )
    if input.ndim == 0:
        return clone(input)
    if input.shape[dim] == 0:
        return beside(input, np.ones(shape, input.dtype)) + sum_over(
            input, dims=(dim,), keepdim=keepdim
        ).reshape(shape)
    return reshape(narrow(cumprod(input, dim), dim, input.shape[dim] - 1, 1), shape)
