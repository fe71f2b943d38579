"""Elementwise operations.  A row never mentions broadcasting: the tape sums over broadcast axes."""

from __future__ import annotations

import numbers

import numpy as np

from tinygen import kernels
from tinygen.engine import dtypes
from tinygen.engine.own import add as _add
from tinygen.engine.own import cast, clone, flat
from tinygen.engine.primitive import primitive
from tinygen.engine.tensor import Tensor
from tinygen.ops.arguments import OPERAND, TENSOR, WORD
from tinygen.ops.checks import no_bools
from tinygen.ops.conversion import as_tensor, tensor
from tinygen.ops.declaration import exactly, example, operation, positive, real, truth

operation(clone)  # the engine's own

# arithmetic


@operation(input=OPERAND)
def add(input, other, *, alpha=1):
    """input + alpha * other"""
    if alpha is True and other.dtype != np.bool_:
        raise dtypes.DtypeError("add: found alpha True, expected a number: a bool is for bools")
    return _add(input, other if alpha == 1 else mul(other, alpha))


@primitive(promote="same", bools=False)
def _sub(x, other):
    return kernels.subtract(x, other)


_sub.vjp(lambda g: g, lambda g: -g)


@operation(aliases="subtract", input=OPERAND)
def sub(input, other, *, alpha=1):
    """input - alpha * other"""
    if alpha != 1:
        for x in (input, other):
            if isinstance(x, Tensor) and x.dtype == np.bool_:
                raise dtypes.DtypeError("sub: found a Tensor of bools, expected numbers; use logical_xor")
    return _sub(input, other if alpha == 1 else mul(other, alpha))


@operation(aliases="multiply", input=OPERAND)
@primitive(promote="same")
def mul(x, other):
    """x * other"""
    return kernels.multiply(x, other)


mul.vjp(lambda g, other: g * other, lambda g, x: g * x)


@primitive(promote="float")
def _div(x, other):
    return kernels.divide(x, other)


_div.vjp(lambda g, other: g / other, lambda g, y, other: -(g * y / other))


@operation(aliases="divide true_divide", input=OPERAND, rounding_mode=WORD)
def div(input, other, *, rounding_mode=None):
    """input / other; integers give the default dtype.  rounding_mode: None, "floor" or "trunc"."""
    if rounding_mode is None:
        return _div(input, other)
    if rounding_mode == "floor":
        return floor_divide(input, other)
    if rounding_mode == "trunc":
        return _truncated(input, other)
    raise RuntimeError(f"div: found rounding_mode {rounding_mode!r}, expected None, 'floor' or 'trunc'")


@primitive(promote="same")
def _truncated(x, other):
    """x / other without its fraction; no gradient."""
    if x.dtype.kind == "f":
        return kernels.array_module(x).trunc(kernels.divide(x, other))
    _nonzero(other)
    floor = kernels.floor_divide(x, other)
    return floor + ((floor < 0) & (floor * other != x))


def _nonzero(divisor) -> None:
    """Whole numbers have no inf: refuse what NumPy would answer with 0."""
    if divisor.dtype.kind in "iub" and not divisor.all():
        raise ZeroDivisionError("division of whole numbers by zero")


def _zeros(g):
    """The gradient of what is flat: zeros, also where g is inf or nan."""
    return Tensor._wrap(kernels.array_module(g._data).zeros_like(g._data))


@operation(aliases="negative")
@primitive(promote="same")
def neg(x):
    """-x"""
    return kernels.array_module(x).negative(x)


neg.vjp(lambda g: -g)


@primitive(promote="same")
def _pow(x, exponent):
    return kernels.power(x, exponent).astype(x.dtype, copy=False)  # NumPy's bools give int8


# ∂/∂x = n x^(n-1), ∂/∂n = x^n log x; the wheres keep 0 · inf out where n = 0, or x = 0 and n ≥ 0
_pow.vjp(
    lambda g, x, exponent: g * exponent * where(exponent == 0, 1.0, _pow(x, exponent - 1)),
    lambda g, x, exponent, y: g * _times_log(y, x, (x == 0) & (exponent >= 0)),
)


def _times_log(y, x, zero):
    """y log x, 0 where `zero` holds"""
    return where(zero, 0.0, y * log(where(zero, 1.0, x)))


@primitive(promote="same")
def _power(x, *, n):
    """x ** n for a fixed number n; as PyTorch's, a root where n is ±1/2: (-0.0) ** 0.5 is -0.0."""
    if n in (1, 2):
        return x.copy() if n == 1 else x * x
    if n in (0.5, -0.5):
        root = kernels.sqrt(x)
        return root if n > 0 else kernels.divide(x.dtype.type(1), root)
    return kernels.power(x, x.dtype.type(n))


def _power_row(g, x, n):
    """n x^(n-1)"""
    if n in (0, 1):
        return _zeros(g) if n == 0 else flat(g, x)
    return g * (n * (_itself(x) if n == 2 else pow(x, n - 1)))


_power.vjp(_power_row)


def _itself(x):
    """x as x^1: its derivative, x^0, is flat in x, and so has a derivative itself"""
    return _power(x, n=1) if x.requires_grad else x


@operation(example("tinygen.pow(x, exponent)", x=positive(2, 3), exponent=real(3)), input=OPERAND)
def pow(input, exponent):
    """input ** exponent; the derivative in a zero base or for a zero exponent is PyTorch's."""
    number = isinstance(exponent, numbers.Real) and not isinstance(exponent, np.generic)
    if isinstance(input, Tensor) and number:
        if input.is_floating_point():
            return _power(input, n=exponent)
        if isinstance(exponent, int) and exponent < 0:
            raise RuntimeError(
                f"pow: integers to the negative power {exponent} are not integers; use x.float()"
            )
    elif number and not isinstance(input, Tensor):
        raise TypeError(f"pow: found numbers {input} and {exponent}, expected a Tensor")
    return _pow(input, exponent)


@operation(input=OPERAND)
@primitive(promote="same")
def floor_divide(x, other):
    """floor(x / other); no gradient."""
    _nonzero(other)
    return kernels.floor_divide(x, other)


@operation(
    example("tinygen.remainder(x, other)", x=real(2, 3), other=exactly(0.731, 1.117, -0.913)), input=OPERAND
)
@primitive(promote="same")
def remainder(x, other):
    """x - other * floor(x / other): the sign is the divisor's."""
    _nonzero(other)
    return kernels.remainder(x, other)


# x - other floor(x / other), the floor flat almost everywhere
remainder.vjp(lambda g: g, lambda g, x, other: -g * floor_divide(x, other))

# one argument


@operation
@primitive(promote="float")
def exp(x):
    """e ** x"""
    return kernels.exp(x)


exp.vjp(lambda g, y: g * y)


@operation(example("tinygen.log(x)", x=positive(2, 3)))
@primitive(promote="float")
def log(x):
    """Natural logarithm"""
    return kernels.log(x)


log.vjp(lambda g, x: g / x)


@operation(example("tinygen.sqrt(x)", x=positive(2, 3)))
@primitive(promote="float")
def sqrt(x):
    """Square root; its derivative at 0 is inf"""
    return kernels.sqrt(x)


sqrt.vjp(lambda g, y: g / (2 * y))


@operation(example("tinygen.rsqrt(x)", x=positive(2, 3)))
@primitive(promote="float")
def rsqrt(x):
    """1 / sqrt(x)"""
    return kernels.divide(x.dtype.type(1), kernels.sqrt(x))


rsqrt.vjp(lambda g, y: -0.5 * g * y * y * y)


@operation(example("tinygen.reciprocal(x)", x=positive(2, 3)))
@primitive(promote="float")
def reciprocal(x):
    """1 / x"""
    return kernels.divide(x.dtype.type(1), x)


reciprocal.vjp(lambda g, y: -g * y * y)


@operation
@primitive(promote="same")
def square(x):
    """x * x"""
    return x * x if x.dtype != np.bool_ else (x * x).astype(np.int64)


square.vjp(lambda g, x: 2 * g * _itself(x))


@operation(aliases="absolute")
@primitive(promote="same")
def abs(x):
    """|x|; its derivative at 0 is 0"""
    return kernels.array_module(no_bools(x)).abs(x)


abs.vjp(lambda g, x: g * sign(x))


@operation
@primitive(promote="same")
def sign(x):
    """-1, 0 or 1, for nan 0; the gradient is 0"""
    return kernels.sign(x)


sign.vjp(lambda g: _zeros(g))

# choosing


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
    """The gradient of the operand that `loses` there: half of g at a tie; beside a nan both have all of it"""
    return keep(g * (1 - 0.5 * (x == other)), mask=~loses)


@primitive
def keep(x, *, mask):
    """x where the bools `mask` hold, else 0"""
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
    """x limited to [min, max], both arrays or absent; max where min > max"""
    y = x if min is None else kernels.maximum(x, min)
    return y if max is None else kernels.minimum(y, max)


_clamp_between.vjp(  # as where x is inside, x for ties; a bound's where it took x's place
    lambda g, x, min, max: keep(g, mask=_inside(x, min, max)),
    lambda g, x, min, max: keep(g, mask=x < min if max is None else (x < min) & (min < max)),
    lambda g, x, min, max: keep(g, mask=x > max if min is None else (x > max) | (min > max)),
)


@operation(example("tinygen.clamp(x, min=-1, max=1)", x=real(2, 3)), aliases="clip")
def clamp(input, min=None, max=None):
    """input limited to [min, max], where the gradient passes, ends included; bounds are numbers, Tensors or None"""
    if min is None and max is None:
        raise dtypes.ShapeError("clamp: found neither min nor max, expected at least one")
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
    """input where condition holds, else other, with broadcasting; with one argument the indices where it holds"""
    condition = as_tensor(condition)
    if input is None and other is None:
        return tuple(Tensor._wrap(i) for i in kernels.nonzero(condition._data))
    if condition.dtype == np.uint8:
        condition = cast(condition, dtype=dtypes.bool_)
    if condition.dtype != np.bool_:
        raise dtypes.DtypeError(f"where: found a condition of dtype {condition.dtype}, expected bool")
    return _where(input, other, condition=condition)


@operation(example("tinygen.masked_fill(x, mask, 5.0)", x=real(2, 3), mask=truth(2, 3)), value=OPERAND)
def masked_fill(input, mask, value):
    """value where mask holds, else input; the result keeps input's dtype"""
    if mask.dtype != np.bool_:
        raise dtypes.DtypeError(f"masked_fill: found a mask of dtype {mask.dtype}, expected bool")
    value = value if isinstance(value, Tensor) else tensor(value, input.dtype)
    return where(mask, cast(value, dtype=input.dtype), input)
