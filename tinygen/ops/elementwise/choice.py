"""Choosing elements: the larger of two, within bounds, by a mask.  The gradient goes to the element that was chosen."""

from __future__ import annotations

import numpy as np

from tinygen import kernels
from tinygen.engine import dtypes
from tinygen.engine.errors import refusal
from tinygen.engine.primitive import primitive
from tinygen.engine.sweep_ops import cast
from tinygen.engine.tensor import Tensor
from tinygen.ops.arguments import OPERAND, TENSOR
from tinygen.ops.declaration import example, operation, real, truth
from tinygen.ops.tensor.conversion import as_tensor, tensor


@operation(other=TENSOR)
@primitive(promote="same", tensors=("x", "other"))
def maximum(x, other):
    """The larger of the two; ties share the gradient"""
    return kernels.maximum(x, other)


maximum.vjp(
    lambda g, x, other: _won(g, x, other, x < other), lambda g, x, other: _won(g, x, other, x > other)
)


@operation(other=TENSOR)
@primitive(promote="same", tensors=("x", "other"))
def minimum(x, other):
    """The smaller of the two; ties share the gradient"""
    return kernels.minimum(x, other)


minimum.vjp(
    lambda g, x, other: _won(g, x, other, x > other), lambda g, x, other: _won(g, x, other, x < other)
)


def _won(g, x, other, loses):
    """The gradient of one operand, given where it `loses`: half of g at a tie; all of g for both beside a nan"""
    return keep(g * (1 - 0.5 * (x == other)), mask=~loses)


@primitive
def keep(x, *, mask):
    """x where `mask` is true, else 0"""
    return kernels.keep(x, mask)


keep.vjp(lambda g, mask: keep(g, mask=mask))


@primitive
def _clamp(x, *, min, max):
    """x limited to [min, max]"""
    xp = kernels.array_module(x)
    min, max = (None if bound is None else xp.asarray(bound, x.dtype) for bound in (min, max))
    return xp.clip(x, min, max)


_clamp.vjp(lambda g, x, min, max: keep(g, mask=_inside(x, min, max)))  # both ends included


def _inside(x, min, max):
    if min is None or max is None:
        return x <= max if min is None else x >= min
    return (x >= min) & (x <= max)


@primitive(promote="same")
def _clamp_between(x, min=None, max=None):
    """x limited to [min, max], where both are arrays or None; max where min > max"""
    y = x if min is None else kernels.maximum(x, min)
    return y if max is None else kernels.minimum(y, max)


_clamp_between.vjp(  # to x where it is inside, ties included; to a bound where that replaced x
    lambda g, x, min, max: keep(g, mask=_inside(x, min, max)),
    lambda g, x, min, max: keep(g, mask=x < min if max is None else (x < min) & (min < max)),
    lambda g, x, min, max: keep(g, mask=x > max if min is None else (x > max) | (min > max)),
)


@operation(example("tinygen.clamp(x, min=-1, max=1)", x=real(2, 3)), aliases="clip")
def clamp(input, min=None, max=None):
    """input limited to [min, max]; the gradient passes inside, ends included.  Bounds are numbers, Tensors or None"""
    if min is None and max is None:
        raise refusal("clamp", dtypes.ShapeError, "found neither min nor max, expected at least one")
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        return _clamp_between(input, min, max)
    min, max = (bound.item() if isinstance(bound, np.generic) else bound for bound in (min, max))
    if not input.is_floating_point() and (isinstance(min, float) or isinstance(max, float)):
        input = cast(input, dtype=dtypes.get_default_dtype())
    elif input.dtype == np.bool_:
        input = cast(input, dtype=dtypes.int64)
    return _clamp(input, min=min, max=max)


@operation(example("tinygen.clamp_min(x, min=1)", x=real(2, 3)))
def clamp_min(input, min):
    """input where it is above min, else min"""
    return clamp(input, min=min)


@operation(example("tinygen.clamp_max(x, max=1)", x=real(2, 3)))
def clamp_max(input, max):
    """input where it is below max, else max"""
    return clamp(input, max=max)


@primitive(promote="same")
def _where(condition_x, condition_y, *, condition):
    return kernels.array_module(condition).where(condition, condition_x, condition_y)


_where.vjp(
    lambda g, condition: _where(g, 0.0, condition=condition),
    lambda g, condition: _where(0.0, g, condition=condition),
)


@operation(
    example("tinygen.where(condition, a, b)", condition=truth(2, 3), a=real(2, 3), b=real(3)),
    homes="tinygen",
    input=OPERAND,
)
def where(condition, input=None, other=None):
    """input where condition is true, else other, with broadcasting; with one argument, the indices where it is true"""
    condition = as_tensor(condition)
    if input is None and other is None:
        return tuple(Tensor._wrap(i) for i in kernels.nonzero(condition._data))
    if condition.dtype == np.uint8:
        condition = cast(condition, dtype=dtypes.bool_)
    if condition.dtype != np.bool_:
        raise refusal(
            "where", dtypes.DtypeError, f"found a condition of dtype {condition.dtype}, expected bool"
        )
    return _where(input, other, condition=condition)


@operation(example("tinygen.masked_fill(x, mask, 5.0)", x=real(2, 3), mask=truth(2, 3)), value=OPERAND)
def masked_fill(input, mask, value):
    """value where mask is true, else input; the result keeps input's dtype"""
    if mask.dtype != np.bool_:
        raise refusal("masked_fill", dtypes.DtypeError, f"found a mask of dtype {mask.dtype}, expected bool")
    value = value if isinstance(value, Tensor) else tensor(value, input.dtype)
    return where(mask, cast(value, dtype=input.dtype), input)
