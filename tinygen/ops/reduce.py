"""Reductions: over all dimensions, one or several (`dim`), which `keepdim` keeps with size one."""

from __future__ import annotations

import builtins
import math

import numpy as np

from tinygen import dtypes, kernels
from tinygen.dtypes import DtypeError, ShapeError
from tinygen.ops import compare
from tinygen.ops import elementwise as e
from tinygen.ops import shape as s
from tinygen.primitive import primitive
from tinygen.tensor import Tensor


def normalize_dims(dim, ndim: int, operation: str) -> tuple[int, ...]:
    """`dim` (None, a number, a tuple) as a tuple of distinct numbers in 0..ndim-1."""
    if dim is None:
        return tuple(range(ndim))
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    if not dims:
        return tuple(range(ndim))
    bound = builtins.max(ndim, 1)
    for d in dims:
        if not -bound <= d < bound:
            raise IndexError(
                f"{operation}: found dim {d}, expected {-bound} to {bound - 1} for {ndim} dimensions"
            )
    if ndim == 0:
        return ()
    result = tuple(d % ndim for d in dims)
    if len(set(result)) != len(result):
        raise RuntimeError(f"{operation}: dim {dims} names a dimension twice")
    return result


def _kept_shape(shape: tuple, dims: tuple) -> tuple:
    """`shape` with the reduced dimensions at size one."""
    return tuple(1 if i in dims else n for i, n in enumerate(shape))


def _spread(g, x_shape: tuple, dims: tuple):
    """A reduction's gradient in the shape its input had: (reduced) -> x_shape, without copying."""
    return s.expand(s.reshape(g, _kept_shape(x_shape, dims)), x_shape)


def _floating(x, operation: str):
    if not x.is_floating_point():
        raise DtypeError(f"{operation}: found dtype {x.dtype}, expected a floating dtype; use x.float()")
    return x


@primitive
def sum_to(x, *, shape):
    """Undo a broadcast: sum x over the axes along which `shape` was expanded to x's shape."""
    lead = x.ndim - len(shape)
    tail = x.shape[lead:]
    if lead < 0 or builtins.any(n != m and n != 1 for n, m in zip(shape, tail)):
        raise ShapeError(f"a gradient of shape {x.shape} is not a broadcast of {shape}")
    axes = tuple(range(lead)) + tuple(
        lead + i for i, (n, m) in enumerate(zip(shape, tail)) if n == 1 and m != 1
    )
    return kernels.sum(x, axes).reshape(shape)


sum_to.vjp(lambda g, x_shape: s.expand(g, x_shape))


@primitive
def _sum(x, *, dims, keepdim):
    return kernels.sum(x if x.dtype.kind == "f" else x.astype(np.int64), dims, keepdim)


_sum.vjp(lambda g, x_shape, dims: _spread(g, x_shape, dims))


def sum(x, dim=None, keepdim=False, *, dtype=None):
    """The sum; integers and bools give int64"""
    x = x if dtype is None else e.cast(x, dtype=np.dtype(dtype))
    return _sum(x, dims=normalize_dims(dim, x.ndim, "sum"), keepdim=keepdim)


def mean(x, dim=None, keepdim=False, *, dtype=None):
    """The arithmetic mean; of nothing it is nan"""
    x = _floating(x if dtype is None else e.cast(x, dtype=np.dtype(dtype)), "mean")
    dims = normalize_dims(dim, x.ndim, "mean")
    count = math.prod(x.shape[d] for d in dims)
    return _sum(x, dims=dims, keepdim=keepdim) * (1 / count if count else math.nan)


def var(x, dim=None, unbiased=True, keepdim=False, *, correction=None):
    """sum((x - mean)^2) / (n - correction); correction 1 (unbiased) by default"""
    dims = normalize_dims(dim, _floating(x, "var").ndim, "var")
    count = math.prod(x.shape[d] for d in dims)
    freedom = count - (int(unbiased) if correction is None else correction)
    centred = x - mean(x, dims, keepdim=True) if dims else x - x
    squares = _sum(e.square(centred), dims=dims, keepdim=keepdim)
    return squares * (1 / freedom) if freedom > 0 else squares / 0.0


def std(x, dim=None, unbiased=True, keepdim=False, *, correction=None):
    """The square root of `var`"""
    return _root(var(x, dim, unbiased, keepdim, correction=correction))


@primitive
def _root(x):
    """The square root, with derivative 0 at 0"""
    return kernels.sqrt(x)


_root.vjp(lambda g, y: e.where(y == 0, 0.0, g / (2 * e.where(y == 0, 1.0, y))))


@primitive
def _amax(x, *, dims, keepdim):
    return x.max(axis=dims, keepdims=keepdim)


@primitive
def _amin(x, *, dims, keepdim):
    return x.min(axis=dims, keepdims=keepdim)


def _to_extremes(g, x, y, dims):
    """The gradient at every element equal to the extreme, shared evenly among them."""
    hit = x == _spread(y.detach(), x.shape, dims)
    return _spread(g, x.shape, dims) * (hit / sum(hit, dims, keepdim=True))


_amax.vjp(lambda g, x, y, dims: _to_extremes(g, x, y, dims))
_amin.vjp(lambda g, x, y, dims: _to_extremes(g, x, y, dims))


def amax(x, dim=None, keepdim=False):
    """The largest element; ties share the gradient evenly"""
    return _amax(_not_empty(x, dim, "amax"), dims=normalize_dims(dim, x.ndim, "amax"), keepdim=keepdim)


def amin(x, dim=None, keepdim=False):
    """The smallest element; ties share the gradient evenly"""
    return _amin(_not_empty(x, dim, "amin"), dims=normalize_dims(dim, x.ndim, "amin"), keepdim=keepdim)


def _not_empty(x, dim, operation: str):
    if builtins.any(x.shape[d] == 0 for d in normalize_dims(dim, x.ndim, operation)):
        raise IndexError(
            f"{operation}: found no elements in shape {x.shape} along dim {dim}, expected at least one"
        )
    return x


class ValuesIndices(tuple):
    """A pair (values, indices) with PyTorch's attribute names."""

    __slots__ = ()
    values = property(lambda self: self[0])
    indices = property(lambda self: self[1])


def _extreme(x, dim, keepdim, whole, binary, arg):
    if dim is None:
        return whole(x)
    if isinstance(dim, Tensor):
        return binary(x, dim)
    indices = arg(x, dim, keepdim=True)
    values = s.gather(x, dim, indices)
    if not keepdim and x.ndim:
        values, indices = s.squeeze(values, dim), s.squeeze(indices, dim)
    return ValuesIndices((values, indices))


def max(x, dim=None, keepdim=False):
    """The largest element; with `dim`, (values, indices), the first of ties; with a Tensor, `maximum`"""
    return _extreme(x, dim, keepdim, amax, e.maximum, argmax)


def min(x, dim=None, keepdim=False):
    """The smallest element; with `dim`, (values, indices), the first of ties; with a Tensor, `minimum`"""
    return _extreme(x, dim, keepdim, amin, e.minimum, argmin)


def _arg(name: str):
    def arg(x, dim=None, keepdim=False):
        _not_empty(x, dim, name)
        axis = None if dim is None else normalize_dims(dim, x.ndim, name)
        if axis == ():
            return Tensor._wrap(np.zeros((), np.int64))
        result = getattr(x._data, name)(axis=axis and axis[0], keepdims=keepdim)
        return Tensor._wrap(np.asarray(result, np.int64))

    arg.__name__ = arg.__qualname__ = name
    arg.__doc__ = (
        f"The index of the {'largest' if name == 'argmax' else 'smallest'} element, the first of ties"
    )
    return arg


argmax, argmin = _arg("argmax"), _arg("argmin")


def _truth(name: str):
    def truth(x, dim=None, keepdim=False):
        dims = normalize_dims(dim, x.ndim, name)
        result = np.asarray(getattr(x._data != 0, name)(axis=dims, keepdims=keepdim))
        return Tensor._wrap(result.astype(np.uint8) if x.dtype == np.uint8 else result)

    truth.__name__ = truth.__qualname__ = name
    truth.__doc__ = f"Whether {name} of the elements are nonzero"
    return truth


any, all = _truth("any"), _truth("all")


@primitive
def _logsumexp(x, *, dims, keepdim):
    """log(sum(exp(x))) = m + log(sum(exp(x - m))), m the maximum"""
    xp = kernels.array_module(x)
    largest = x.max(axis=dims, keepdims=True, initial=-np.inf)
    largest = xp.where(xp.isfinite(largest), largest, x.dtype.type(0))
    total = kernels.log(kernels.exp(x - largest).sum(axis=dims, keepdims=True)) + largest
    return total if keepdim else total.squeeze(dims)


_logsumexp.vjp(  # ∂y/∂x = exp(x - y), the softmax of x
    lambda g, x, y, dims: _spread(g, x.shape, dims) * e.exp(x - _finite(_spread(y, x.shape, dims)))
)


def _finite(y):
    return e.where(compare.isfinite(y), y, 0.0)


def logsumexp(x, dim=None, keepdim=False):
    """log(sum(exp(x))), without overflow"""
    x = x if x.is_floating_point() else e.cast(x, dtype=dtypes.get_default_dtype())
    return _logsumexp(x, dims=normalize_dims(dim, x.ndim, "logsumexp"), keepdim=keepdim)


def norm(x, p=2, dim=None, keepdim=False):
    """(sum |x|^p)^(1/p); "fro" is p=2, inf the largest |x|, 0 counts what is not zero.  The derivative at 0 is 0."""
    _floating(x, "norm")
    dims = normalize_dims(dim, x.ndim, "norm")
    if p in (math.inf, -math.inf):
        return (amax if p > 0 else amin)(e.abs(x), dims, keepdim)
    if p == 0:
        return sum(e.abs(e.sign(x)), dims, keepdim)
    if p == 1:
        return sum(e.abs(x), dims, keepdim)
    p = 2 if p == "fro" else p
    powers = sum(e.square(x) if p == 2 else e.pow(e.abs(x), p), dims, keepdim)
    zero = powers == 0
    safe = e.where(zero, 1.0, powers)
    return e.where(zero, 0.0, e.sqrt(safe) if p == 2 else e.pow(safe, 1 / p))


@primitive
def _cumsum(x, *, dim, reverse):
    if reverse:
        return kernels.array_module(x).flip(kernels.array_module(x).flip(x, dim).cumsum(axis=dim), dim)
    return x.cumsum(axis=dim, dtype=None if x.dtype.kind == "f" else np.int64)


# x_k is in every sum from k on: its gradient is their gradients' sum, counted from the end
_cumsum.vjp(lambda g, dim, reverse: _cumsum(g, dim=dim, reverse=not reverse))


def cumsum(x, dim):
    """Running sum along `dim`"""
    if x.ndim == 0:
        return sum(x)
    return _cumsum(x, dim=normalize_dims(dim, x.ndim, "cumsum")[0], reverse=False)


@primitive
def _recurrence(a, b, *, dim, reverse):
    """s_k = b_k + a_k s_{k-1} along `dim`, with s before the start 0; in reverse, s_k = b_k + a_k s_{k+1}."""
    xp = kernels.array_module(a)
    a, b = xp.moveaxis(a, dim, 0), xp.moveaxis(b, dim, 0)
    s = xp.empty_like(b)
    order = range(len(b))[::-1] if reverse else range(len(b))
    before = xp.zeros_like(b[0]) if len(b) else None
    for k in order:
        before = s[k] = b[k] + a[k] * before
    return xp.moveaxis(s, 0, dim)


def _shifted(x, dim: int, by_one_later: bool):
    """x moved one place along `dim`, a zero moving in."""
    n = x.shape[dim]
    if n == 0:
        return x
    zero = s.narrow(x, dim, 0, 1) * 0.0
    if by_one_later:
        return s.cat([zero, s.narrow(x, dim, 0, n - 1)], dim)
    return s.cat([s.narrow(x, dim, 1, n - 1), zero], dim)


# u_k = g_k + a_{k+1} u_{k+1} runs the other way; it is the gradient of b_k, and u_k s_{k-1} that of a_k.
def _recurrence_b(g, a, dim, reverse):
    return _recurrence(_shifted(a, dim, reverse), g, dim=dim, reverse=not reverse)


_recurrence.vjp(
    lambda g, a, y, dim, reverse: _recurrence_b(g, a, dim, reverse) * _shifted(y, dim, not reverse),
    lambda g, a, dim, reverse: _recurrence_b(g, a, dim, reverse),
)


def cumprod(x, dim):
    """Running product along `dim`; as a recurrence, so that the gradient is right where x is 0"""
    if x.ndim == 0:
        return e.clone(x)
    dim = normalize_dims(dim, x.ndim, "cumprod")[0]
    if not x.is_floating_point():
        return Tensor._wrap(x._data.cumprod(axis=dim, dtype=np.int64))
    if x.shape[dim] == 0:
        return e.clone(x)
    first = s.narrow(x, dim, 0, 1)
    start = s.cat([first, s.narrow(x, dim, 1, x.shape[dim] - 1) * 0.0], dim)
    return _recurrence(x, start, dim=dim, reverse=False)


def prod(x, dim=None, keepdim=False):
    """The product; of nothing it is 1"""
    if not x.is_floating_point():
        dims = normalize_dims(dim, x.ndim, "prod")
        return Tensor._wrap(np.asarray(x._data.prod(axis=dims, keepdims=keepdim, dtype=np.int64)))
    if dim is None:
        x, dim, shape = s.reshape(x, -1), 0, ()
    else:
        dim = normalize_dims(dim, x.ndim, "prod")[0] if x.ndim else 0
        shape = (
            _kept_shape(x.shape, (dim,)) if keepdim else tuple(n for i, n in enumerate(x.shape) if i != dim)
        )
    if x.ndim == 0:
        return e.clone(x)
    if x.shape[dim] == 0:
        return Tensor._wrap(np.ones(shape, x.dtype)) + _sum(x, dims=(dim,), keepdim=keepdim).reshape(shape)
    return s.reshape(s.narrow(cumprod(x, dim), dim, x.shape[dim] - 1, 1), shape)
