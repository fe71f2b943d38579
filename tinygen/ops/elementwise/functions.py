"""Elementwise functions: trigonometric, hyperbolic, exponentials and logarithms, rounding, interpolation."""

from __future__ import annotations

import math

from tinygen import kernels
from tinygen.engine.dtypes import DtypeError
from tinygen.engine.errors import refusal
from tinygen.engine.primitive import primitive
from tinygen.engine.tensor import Tensor
from tinygen.ops.arguments import NUMBER, OPERAND, TENSOR
from tinygen.ops.checks import no_bools
from tinygen.ops.declaration import exactly, example, operation, positive, probability, real
from tinygen.ops.elementwise.arithmetic import exp, mul, reciprocal, rsqrt, square, zero_gradient
from tinygen.ops.elementwise.choice import keep, where

# trigonometric and hyperbolic


@operation
@primitive(promote="float")
def sin(x):
    """Sine of an angle in radians"""
    return kernels.sin(x)


sin.vjp(lambda g, x: g * cos(x))


@operation
@primitive(promote="float")
def cos(x):
    """Cosine of an angle in radians"""
    return kernels.cos(x)


cos.vjp(lambda g, x: -g * sin(x))


@operation
@primitive(promote="float")
def tan(x):
    """Tangent of an angle in radians"""
    return kernels.tan(x)


tan.vjp(lambda g, y: g * (1 + square(y)))


@operation(example("tinygen.asin(x)", x=probability(2, 3)), aliases="arcsin")
@primitive(promote="float")
def asin(x):
    """The angle in [-π/2, π/2] whose sine is x"""
    return kernels.arcsin(x)


asin.vjp(lambda g, x: g * rsqrt(1 - square(x)))


@operation(example("tinygen.acos(x)", x=probability(2, 3)), aliases="arccos")
@primitive(promote="float")
def acos(x):
    """The angle in [0, π] whose cosine is x"""
    return kernels.arccos(x)


acos.vjp(lambda g, x: -g * rsqrt(1 - square(x)))


@operation(aliases="arctan")
@primitive(promote="float")
def atan(x):
    """The angle in (-π/2, π/2) whose tangent is x"""
    return kernels.arctan(x)


atan.vjp(lambda g, x: g / (1 + square(x)))


@operation(aliases="arctan2")
@primitive(promote="float", tensors=("x", "other"))
def atan2(x, other):
    """The angle in (-π, π] of the point (other, x)"""
    return kernels.arctan2(x, other)


# the angle grows by 1/r per unit moved perpendicular to the radius: its gradient is (other, -x) / r²
atan2.vjp(
    lambda g, x, other: g * other * _reciprocal(square(x) + square(other)),
    lambda g, x, other: g * -x * _reciprocal(square(x) + square(other)),
)


def _reciprocal(squares):
    """1 / r², and 0 at the origin, where the angle is undefined"""
    origin = squares == 0
    return where(origin, 0.0, reciprocal(where(origin, 1.0, squares)))


@operation
@primitive(promote="float")
def sinh(x):
    """(e^x - e^-x) / 2"""
    return kernels.sinh(x)


@operation
@primitive(promote="float")
def cosh(x):
    """(e^x + e^-x) / 2"""
    return kernels.cosh(x)


sinh.vjp(lambda g, x: g * cosh(x))
cosh.vjp(lambda g, x: g * sinh(x))

# exponentials and logarithms of other bases


@operation
@primitive(promote="float")
def exp2(x):
    """2 ** x"""
    return kernels.exp2(x)


exp2.vjp(lambda g, y: g * y * math.log(2))


@operation(example("tinygen.log2(x)", x=positive(2, 3)))
@primitive(promote="float")
def log2(x):
    """Logarithm to the base 2"""
    return kernels.log2(x)


log2.vjp(lambda g, x: g / (x * math.log(2)))


@operation(example("tinygen.log10(x)", x=positive(2, 3)))
@primitive(promote="float")
def log10(x):
    """Logarithm to the base 10"""
    return kernels.log10(x)


log10.vjp(lambda g, x: g / (x * math.log(10)))

# accurate near zero


@operation
@primitive(promote="float")
def expm1(x):
    """e ** x - 1, exact near 0"""
    return kernels.expm1(x)


expm1.vjp(lambda g, y: g * (y + 1))


@operation(example("tinygen.log1p(x)", x=positive(2, 3)))
@primitive(promote="float")
def log1p(x):
    """log(1 + x), exact near 0"""
    return kernels.log1p(x)


log1p.vjp(lambda g, x: g / (1 + x))


@operation
@primitive(promote="float")
def erf(x):
    """2/sqrt(pi) * integral of exp(-t^2) from 0 to x"""
    return kernels.erf(x)


erf.vjp(lambda g, x: g * (2 / math.sqrt(math.pi)) * exp(-(x * x)))


# rounding


@operation
@primitive(promote="same")
def floor(x):
    """The largest whole number <= x; the gradient is 0"""
    return kernels.array_module(x).floor(x) if no_bools(x).dtype.kind == "f" else x.copy()


floor.vjp(lambda g: zero_gradient(g))


@operation
@primitive(promote="same")
def ceil(x):
    """The smallest whole number >= x; the gradient is 0"""
    return kernels.array_module(x).ceil(x) if no_bools(x).dtype.kind == "f" else x.copy()


ceil.vjp(lambda g: zero_gradient(g))


@operation
@primitive(promote="same")
def round(x):
    """The nearest whole number, ties to even; the gradient is 0"""
    return kernels.array_module(x).rint(x) if no_bools(x).dtype.kind == "f" else x.copy()


round.vjp(lambda g: zero_gradient(g))


@operation
@primitive(promote="same")
def trunc(x):
    """x rounded towards zero; the gradient is 0"""
    return kernels.array_module(x).trunc(x) if no_bools(x).dtype.kind == "f" else x.copy()


trunc.vjp(lambda g: zero_gradient(g))

# interpolation and products


@operation(
    example("tinygen.fmod(x, other)", x=real(2, 3), other=exactly(0.731, 1.117, -0.913)), input=OPERAND
)
@primitive(promote="same", tensors=("x",))
def fmod(x, other):
    """x - other * trunc(x / other): the result has the sign of x (`remainder`'s has the divisor's)"""
    if x.dtype.kind != "f" and not other.all():
        raise ZeroDivisionError("division of whole numbers by zero")
    return kernels.fmod(x, other)


fmod.vjp(lambda g: g, lambda g, x, other: -g * trunc(x / other))  # the trunc is flat almost everywhere


@primitive(promote="same")
def _lerp(x, end, weight):
    """x + weight (end - x), computed from the nearer end so that both ends are exact"""
    step = end - x
    near = kernels.array_module(x).abs(weight) < 0.5
    return kernels.array_module(x).where(near, x + weight * step, end - step * (1 - weight))


_lerp.vjp(
    lambda g, weight: g * (1 - weight),
    lambda g, weight: g * weight,
    lambda g, x, end: g * (end - x),
)


@operation(
    example("tinygen.lerp(x, end, weight)", x=real(2, 3), end=real(3), weight=probability(2, 1)),
    end=TENSOR,
    weight=OPERAND,
)
def lerp(input, end, weight):
    """input + weight * (end - input), for a number or a Tensor as weight"""
    for name, x in (("input", input), ("end", end), ("weight", weight)):
        if isinstance(x, Tensor) and (x.dtype != input.dtype or not x.is_floating_point()):
            found = f"input {input.dtype}, {name} {x.dtype}"
            raise refusal("lerp", DtypeError, f"expected one floating dtype, found {found}")
    return _lerp(input, end, weight)


@operation(
    example("tinygen.addcmul(x, tensor1, tensor2)", x=real(2, 3), tensor1=real(3), tensor2=positive(2, 3)),
    value=NUMBER,
)
def addcmul(input, tensor1, tensor2, *, value=1):
    """input + value * tensor1 * tensor2"""
    return input + mul(value, tensor1) * tensor2


@operation(
    example("tinygen.addcdiv(x, tensor1, tensor2)", x=real(2, 3), tensor1=real(3), tensor2=positive(2, 3)),
    value=NUMBER,
)
def addcdiv(input, tensor1, tensor2, *, value=1):
    """input + value * tensor1 / tensor2"""
    if not (tensor1.is_floating_point() or tensor2.is_floating_point()):
        found = f"{tensor1.dtype} / {tensor2.dtype}"
        raise refusal(
            "addcdiv", DtypeError, f"found {found}, expected a floating dtype; use addcmul, or x.float()"
        )
    return input + mul(value, tensor1) / tensor2


@primitive
def _nan_to_num(x, *, nan, posinf, neginf):
    """x with nan and infinities replaced"""
    return kernels.array_module(x).nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)


_nan_to_num.vjp(lambda g, x: keep(g, mask=abs(x) < math.inf))


@operation
def nan_to_num(input, nan=0.0, posinf=None, neginf=None):
    """nan replaced by a number, infinities by numbers or else by the largest and smallest finite number of the dtype"""
    if not input.is_floating_point():
        return input.clone()
    return _nan_to_num(input, nan=0.0 if nan is None else nan, posinf=posinf, neginf=neginf)
