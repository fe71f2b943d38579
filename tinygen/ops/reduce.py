"""Reductions over all dimensions, one or several (`dim`); `keepdim` keeps them with size one."""

from __future__ import annotations

import builtins
import math
import operator

import numpy as np

from tinygen import kernels
from tinygen.engine import dtypes
from tinygen.engine.dtypes import DtypeError
from tinygen.engine.errors import refusal
from tinygen.engine.primitive import primitive
from tinygen.engine.sweep_ops import cast
from tinygen.engine.sweep_ops import expand as expand_to
from tinygen.engine.tensor import Tensor
from tinygen.ops.arguments import INT, INT_OR_TENSOR, INTS_OR_BOOL, NUMBER_OR_WORD
from tinygen.ops.declaration import distinct, example, named, operation, real
from tinygen.ops.elementwise.arithmetic import abs, exp, pow, sign, sqrt, square
from tinygen.ops.elementwise.choice import maximum, minimum, where
from tinygen.ops.elementwise.compare import ne
from tinygen.ops.index.gather import gather
from tinygen.ops.shape.reshape import reshape, squeeze
from tinygen.ops.tensor.device import beside
from tinygen.ops.wide import by_float32


def normalize_dims(dim, ndim: int, operation: str) -> tuple[int, ...]:
    """`dim` (None, a number, a tuple) as a tuple of distinct numbers in 0..ndim-1."""
    if dim is None:
        return tuple(range(ndim))
    dims = tuple(dim) if isinstance(dim, (tuple, list)) else (operator.index(dim),)
    if not dims:
        return tuple(range(ndim))
    bound = builtins.max(ndim, 1)
    for d in dims:
        if not -bound <= d < bound:
            raise refusal(
                operation,
                IndexError,
                f"found dim {d}, expected {-bound} to {bound - 1} for {ndim} dimensions",
            )
    if ndim == 0:
        return ()
    result = tuple(d % ndim for d in dims)
    if len(set(result)) != len(result):
        raise refusal(operation, RuntimeError, f"dim {dims} names the same dimension twice")
    return result


def kept_shape(shape: tuple, dims: tuple) -> tuple:
    """`shape` with the reduced dimensions at size one."""
    return tuple(1 if i in dims else n for i, n in enumerate(shape))


def _spread(g, x_shape: tuple, dims: tuple):
    """A reduction's gradient expanded to the shape of its input: (reduced) -> x_shape, without copying."""
    if g.ndim:  # a single number needs no place among the dimensions
        g = reshape(g, kept_shape(x_shape, dims))
    return expand_to(g, shape=x_shape)


def _floating(x, operation: str):
    if not x.is_floating_point():
        raise refusal(
            operation, DtypeError, f"found dtype {x.dtype}, expected a floating dtype; use x.float()"
        )
    return x


@primitive(name="sum")
def sum_over(x, *, dims, keepdim):
    return kernels.sum(x if x.dtype.kind == "f" else x.astype(np.int64), dims, keepdim)


# every x enters its sum with weight 1: g is spread over the summed dimensions
sum_over.vjp(_spread)


@operation(example("tinygen.sum(x, dim=1)", x=real(2, 3)))
def sum(input, dim=None, keepdim=False, *, dtype=None):
    """The sum; integers and bools give int64"""
    input = input if dtype is None else cast(input, dtype=np.dtype(dtype))
    return sum_over(input, dims=normalize_dims(dim, input.ndim, "sum"), keepdim=keepdim)


@primitive
def _mean(x, *, dims, keepdim):
    return kernels.mean(x, dims, keepdim)


# every x enters its mean with weight 1/n
_mean.vjp(
    lambda g, x_shape, dims: _spread(g / builtins.max(math.prod(x_shape[d] for d in dims), 1), x_shape, dims)
)


@operation(example("tinygen.mean(x, dim=1)", x=real(2, 3)))
def mean(input, dim=None, keepdim=False, *, dtype=None):
    """The arithmetic mean, exact if all elements are equal; nan if there are none"""
    input = _floating(input if dtype is None else cast(input, dtype=np.dtype(dtype)), "mean")
    return by_float32(_mean, input, dims=normalize_dims(dim, input.ndim, "mean"), keepdim=keepdim)


@operation(example("tinygen.var(x, dim=1)", x=real(2, 3)), dim=INTS_OR_BOOL)
def var(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """sum((x - mean)^2) / (n - correction); correction defaults to 1 (unbiased)"""
    if isinstance(dim, bool):  # the form var(input, unbiased)
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise refusal("var", TypeError, "found unbiased and correction, expected one of the two")
    if _floating(input, "var").dtype == dtypes.float16:
        return by_float32(var, input, dim, unbiased, keepdim, correction=correction)
    dims = normalize_dims(dim, input.ndim, "var")
    count = math.prod(input.shape[d] for d in dims)
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    freedom = count - correction
    centred = input - mean(input, dims, keepdim=True) if dims else input - input
    squares = sum_over(square(centred), dims=dims, keepdim=keepdim)
    if not count:
        return squares + math.nan
    return squares / builtins.max(freedom, 0)


@operation(example("tinygen.std(x, dim=1)", x=real(2, 3)), dim=INTS_OR_BOOL)
def std(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """sqrt(Σ (x - mean)² / (n - correction)), the square root of `var`"""
    if _floating(input, "std").dtype == dtypes.float16:
        return by_float32(std, input, dim, unbiased, keepdim, correction=correction)
    return _root(var(input, dim, unbiased, keepdim, correction=correction))


@operation(example("tinygen.var_mean(x, dim=1)", x=real(2, 3)), homes="tinygen", dim=INTS_OR_BOOL)
def var_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """`var` and `mean`"""
    over = None if isinstance(dim, bool) else dim
    return var(input, dim, unbiased, keepdim, correction=correction), mean(input, over, keepdim)


@operation(example("tinygen.std_mean(x, dim=1)", x=real(2, 3)), homes="tinygen", dim=INTS_OR_BOOL)
def std_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """`std` and `mean`"""
    over = None if isinstance(dim, bool) else dim
    return std(input, dim, unbiased, keepdim, correction=correction), mean(input, over, keepdim)


@primitive
def _root(x):
    """The square root, with derivative 0 at 0"""
    return kernels.sqrt(x)


# dy/dx = 1 / (2 y), or 0 where y is 0
_root.vjp(lambda g, y: where(y == 0, 0.0, g / (2 * where(y == 0, 1.0, y))))


@primitive
def _amax(x, *, dims, keepdim):
    return x.max(axis=dims, keepdims=keepdim)


@primitive
def _amin(x, *, dims, keepdim):
    return x.min(axis=dims, keepdims=keepdim)


def _to_extremes(g, x, y, dims):
    """The gradient at every element equal to the extreme, shared evenly among them."""
    hit = (x == _spread(y.detach(), x.shape, dims)) | (x != x)  # a nan counts as the extreme
    return _spread(g, x.shape, dims) * (hit / sum(hit, dims, keepdim=True))


_amax.vjp(lambda g, x, y, dims: _to_extremes(g, x, y, dims))
_amin.vjp(lambda g, x, y, dims: _to_extremes(g, x, y, dims))


@operation(example("tinygen.amax(x, dim=1)", x=distinct(2, 3)))
def amax(input, dim=None, keepdim=False):
    """The largest element; ties share the gradient evenly"""
    return _amax(
        _not_empty(input, dim, "amax"), dims=normalize_dims(dim, input.ndim, "amax"), keepdim=keepdim
    )


@operation(example("tinygen.amin(x, dim=1)", x=distinct(2, 3)))
def amin(input, dim=None, keepdim=False):
    """The smallest element; ties share the gradient evenly"""
    return _amin(
        _not_empty(input, dim, "amin"), dims=normalize_dims(dim, input.ndim, "amin"), keepdim=keepdim
    )


def _not_empty(x, dim, operation: str):
    if builtins.any(x.shape[d] == 0 for d in normalize_dims(dim, x.ndim, operation)):
        whole = dim in (None, ()) and not operation.startswith("arg")
        raise refusal(
            operation,
            RuntimeError if whole else IndexError,
            f"found no elements in shape {x.shape} along dim {dim}, expected at least one",
        )
    return x


class ValuesIndices(tuple):
    """A pair (values, indices) with PyTorch's attribute names."""

    __slots__ = ()
    values = property(lambda self: self[0])
    indices = property(lambda self: self[1])

    def __repr__(self) -> str:
        return f"ValuesIndices(\nvalues={self.values!r},\nindices={self.indices!r})"


def _with_indices(input, dim, keepdim, arg):
    whole = cast(input, dtype=dtypes.uint8) if input.dtype == np.bool_ else input
    indices = arg(whole, dim, keepdim=True)
    values = gather(input, dim, indices)
    if not keepdim and input.ndim:
        values, indices = squeeze(values, dim), squeeze(indices, dim)
    return ValuesIndices((values, indices))


@operation(example("tinygen.max(x, dim=1)", x=distinct(2, 3)), dim=INT_OR_TENSOR)
def max(input, dim=None, keepdim=False, *, other=None):
    """The largest element.  With `dim`: (values, indices), the first of ties.  With a second Tensor: `maximum`"""
    other = dim if isinstance(dim, Tensor) else other
    if other is not None:
        return maximum(input, other)
    return amax(input) if dim is None else _with_indices(input, dim, keepdim, argmax)


@operation(example("tinygen.min(x, dim=1)", x=distinct(2, 3)), dim=INT_OR_TENSOR)
def min(input, dim=None, keepdim=False, *, other=None):
    """The smallest element.  With `dim`: (values, indices), the first of ties.  With a second Tensor: `minimum`"""
    other = dim if isinstance(dim, Tensor) else other
    if other is not None:
        return minimum(input, other)
    return amin(input) if dim is None else _with_indices(input, dim, keepdim, argmin)


def _arg(name: str, extreme: str):
    """argmax or argmin"""

    @operation(example(f"tinygen.{name}(x, dim=1)", x=real(2, 3)), dim=INT)
    @named(name, f"The index of the {extreme} element, the first of ties")
    def arg(input, dim=None, keepdim=False):
        if input.dtype == np.bool_:
            raise refusal(name, DtypeError, "found dtype bool, expected numbers")
        _not_empty(input, dim, name)
        axis = None if dim is None else normalize_dims(dim, input.ndim, name)
        if axis == ():
            return beside(input, np.zeros((), np.int64))
        result = getattr(input._data, name)(axis=axis and axis[0], keepdims=keepdim)
        return Tensor._wrap(kernels.array_module(input._data).asarray(result, np.int64))

    return arg


argmax, argmin = _arg("argmax", "largest"), _arg("argmin", "smallest")


def _truth(name: str):
    """any or all"""

    @operation(example(f"tinygen.{name}(x, dim=1)", x=real(2, 3)))
    @named(name, f"Whether {name} of the elements are nonzero")
    def truth(input, dim=None, keepdim=False):
        dims = (
            () if dim in ((), []) else normalize_dims(dim, input.ndim, name)
        )  # an empty dim reduces nothing here
        xp = kernels.array_module(input._data)
        result = xp.asarray(getattr(input._data != 0, name)(axis=dims, keepdims=keepdim))
        return Tensor._wrap(result.astype(np.uint8) if input.dtype == np.uint8 else result)

    return truth


any, all = _truth("any"), _truth("all")


@operation(example("tinygen.count_nonzero(x, dim=1)", x=real(2, 3)))
def count_nonzero(input, dim=None):
    """How many elements are not zero, as int64"""
    return sum(ne(input, 0), dim)


@primitive
def _logsumexp(x, *, dims, keepdim):
    """log(sum(exp(x))) = m + log(sum(exp(x - m))), m the maximum"""
    xp = kernels.array_module(x)
    largest = kernels.largest(x, dims, keepdims=True)
    largest = xp.where(xp.isfinite(largest), largest, x.dtype.type(0))
    total = kernels.log(kernels.sum(kernels.exp(x - largest), dims, True)) + largest
    return total if keepdim else total.squeeze(dims)


_logsumexp.vjp(  # ∂y/∂x = exp(x - y), the softmax of x
    lambda g, x, y, dims: _spread(g, x.shape, dims) * exp(x - _bounded(_spread(y, x.shape, dims)))
)


def _bounded(y):
    """y, with 0 for -inf, so that e^(x - y) is 0 there and not nan"""
    return where(y == -math.inf, 0.0, y)


@operation(example("tinygen.logsumexp(x, dim=1)", x=real(2, 3)))
def logsumexp(input, dim, keepdim=False):
    """log(sum(exp(x))), without overflow"""
    input = input if input.is_floating_point() else cast(input, dtype=dtypes.get_default_dtype())
    return by_float32(_logsumexp, input, dims=normalize_dims(dim, input.ndim, "logsumexp"), keepdim=keepdim)


def _power_of_size(x, p: float):
    """|x|^p; where p < 1 its derivative at 0 is 0, not inf"""
    if p >= 1:
        return pow(abs(x), p)
    zero = x == 0
    return where(zero, 0.0 if p > 0 else math.inf, pow(abs(where(zero, 1.0, x)), p))


@operation(example("tinygen.norm(x, dim=1)", x=real(2, 3)), p=NUMBER_OR_WORD)
def norm(input, p="fro", dim=None, keepdim=False, dtype=None):
    """(sum |x|^p)^(1/p).  "fro" is p=2, inf the largest |x|, 0 the count of nonzeros.  The derivative at 0 is 0."""
    input = _floating(input if dtype is None else cast(input, dtype=np.dtype(dtype)), "norm")
    if isinstance(p, str) and p not in ("fro", "nuc"):
        raise refusal("norm", RuntimeError, f"found p {p!r}, expected 'fro' or a number")
    if p == "nuc":
        raise refusal(
            "norm", NotImplementedError, "p 'nuc' needs singular values; supported are 'fro' and numbers"
        )
    if input.dtype == dtypes.float16:
        return by_float32(norm, input, p, dim, keepdim)
    dims = normalize_dims(dim, input.ndim, "norm")
    if p in (math.inf, -math.inf):
        return (amax if p > 0 else amin)(abs(input), dims, keepdim)
    if p == 0:
        return sum(abs(sign(input)), dims, keepdim)
    if p == 1:
        return sum(abs(input), dims, keepdim)
    p = 2 if p in ("fro", None) else p
    if p < 0 and 0 in [input.shape[d] for d in dims]:
        raise refusal(
            "norm",
            RuntimeError,
            f"found no elements in shape {input.shape} along dim {dim}, expected some for p {p}",
        )
    powers = sum(square(input) if p == 2 else _power_of_size(input, p), dims, keepdim)
    zero = powers == 0
    safe = where(zero, 1.0, powers)
    return where(zero, 0.0, sqrt(safe) if p == 2 else pow(safe, 1 / p))
