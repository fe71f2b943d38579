"""Arithmetic, roots, exponentials, signs.  A row never mentions broadcasting: the tape sums over broadcast axes."""

from __future__ import annotations

import numbers

import numpy as np

from tinygen import kernels
from tinygen.engine import dtypes
from tinygen.engine.errors import refusal
from tinygen.engine.primitive import primitive
from tinygen.engine.sweep_ops import add as _add
from tinygen.engine.sweep_ops import clone, flat
from tinygen.engine.tensor import Tensor
from tinygen.ops.arguments import OPERAND, WORD
from tinygen.ops.checks import no_bools
from tinygen.ops.declaration import exactly, example, operation, positive, real
from tinygen.ops.elementwise.choice import where

operation(clone)  # defined in engine/sweep_ops.py

# arithmetic


@operation(input=OPERAND)
def add(input, other, *, alpha=1):
    """input + alpha * other"""
    if alpha is True and other.dtype != np.bool_:
        raise refusal("add", dtypes.DtypeError, "found alpha True, expected a number: a bool is for bools")
    return _add(input, other if alpha == 1 else mul(other, alpha))


@primitive(promote="same", bools=False, name="sub")
def minus(x, other):
    return kernels.subtract(x, other)


minus.vjp(lambda g: g, lambda g: -g)


@operation(aliases="subtract", input=OPERAND)
def sub(input, other, *, alpha=1):
    """input - alpha * other"""
    if alpha != 1:
        for x in (input, other):
            if isinstance(x, Tensor) and x.dtype == np.bool_:
                raise refusal(
                    "sub", dtypes.DtypeError, "found a Tensor of bools, expected numbers; use logical_xor"
                )
    return minus(input, other if alpha == 1 else mul(other, alpha))


@operation(aliases="multiply", input=OPERAND)
@primitive(promote="same")
def mul(x, other):
    """x * other"""
    return kernels.multiply(x, other)


mul.vjp(lambda g, other: g * other, lambda g, x: g * x)
mul.fused(
    lambda g, needs, x_shape, other_shape, x=None, other=None: kernels.multiply_grad(
        g, x, other, x_shape, other_shape, needs
    )
)


@primitive(promote="float", name="div")
def divided(x, other):
    return kernels.divide(x, other)


divided.vjp(lambda g, other: g / other, lambda g, y, other: -(g * y / other))


@operation(aliases="divide true_divide", input=OPERAND, rounding_mode=WORD)
def div(input, other, *, rounding_mode=None):
    """input / other; integers give the default dtype.  rounding_mode: None, "floor" or "trunc"."""
    if rounding_mode is None:
        return divided(input, other)
    if rounding_mode == "floor":
        return floor_divide(input, other)
    if rounding_mode == "trunc":
        return _truncated(input, other)
    raise refusal(
        "div", RuntimeError, f"found rounding_mode {rounding_mode!r}, expected None, 'floor' or 'trunc'"
    )


@primitive(promote="same")
def _truncated(x, other):
    """x / other, truncated; no gradient."""
    if x.dtype.kind == "f":
        return kernels.array_module(x).trunc(kernels.divide(x, other))
    _nonzero(other)
    floor = kernels.floor_divide(x, other)
    return floor + ((floor < 0) & (floor * other != x))


def _nonzero(divisor) -> None:
    """Integers have no inf: refuse division by zero, which NumPy answers with 0."""
    if divisor.dtype.kind in "iub" and not divisor.all():
        raise ZeroDivisionError("division of whole numbers by zero")


def zero_gradient(g):
    """The gradient of a flat function: zeros, even where g is inf or nan."""
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


# ∂/∂x = n x^(n-1), ∂/∂n = x^n log x; the wheres avoid 0 · inf where n = 0, or x = 0 and n ≥ 0
_pow.vjp(
    lambda g, x, exponent: g * exponent * where(exponent == 0, 1.0, _pow(x, exponent - 1)),
    lambda g, x, exponent, y: g * _times_log(y, x, (x == 0) & (exponent >= 0)),
)


def _times_log(y, x, zero):
    """y log x, 0 where `zero` holds"""
    return where(zero, 0.0, y * log(where(zero, 1.0, x)))


@primitive(promote="same")
def _power(x, *, n):
    """x ** n for a fixed number n.  As in PyTorch, n = ±1/2 is a square root: (-0.0) ** 0.5 is -0.0."""
    if n in (1, 2):
        return x.copy() if n == 1 else x * x
    if n in (0.5, -0.5):
        root = kernels.sqrt(x)
        return root if n > 0 else kernels.divide(x.dtype.type(1), root)
    return kernels.power(x, x.dtype.type(n))


def _power_row(g, x, n):
    """n x^(n-1)"""
    if n in (0, 1):
        return zero_gradient(g) if n == 0 else flat(g, x)
    return g * (n * (_itself(x) if n == 2 else pow(x, n - 1)))


_power.vjp(_power_row)


def _itself(x):
    """x as x^1: its derivative x^0 is flat in x and has a derivative of its own"""
    return _power(x, n=1) if x.requires_grad else x


@operation(example("tinygen.pow(x, exponent)", x=positive(2, 3), exponent=real(3)), input=OPERAND)
def pow(input, exponent):
    """input ** exponent; derivatives at a base or an exponent of zero are PyTorch's."""
    number = isinstance(exponent, numbers.Real) and not isinstance(exponent, np.generic)
    if isinstance(input, Tensor) and number:
        if input.is_floating_point():
            return _power(input, n=exponent)
        if isinstance(exponent, int) and exponent < 0:
            raise refusal(
                "pow",
                RuntimeError,
                f"integers to the negative power {exponent} are not integers; use x.float()",
            )
    elif number and not isinstance(input, Tensor):
        raise refusal("pow", TypeError, f"found numbers {input} and {exponent}, expected a Tensor")
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
    """x - other * floor(x / other): the result has the divisor's sign."""
    _nonzero(other)
    return kernels.remainder(x, other)


# x - other floor(x / other), where the floor is flat almost everywhere
remainder.vjp(lambda g: g, lambda g, x, other: -g * floor_divide(x, other))

# functions of one argument


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
    """-1, 0 or 1, and 0 for nan; the gradient is 0"""
    return kernels.sign(x)


sign.vjp(lambda g: zero_gradient(g))
