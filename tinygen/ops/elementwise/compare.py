"""Comparisons and logic: they return bools and have no gradient."""

from __future__ import annotations

import numpy as np

from tinygen import kernels
from tinygen.engine.primitive import primitive
from tinygen.engine.tensor import Tensor
from tinygen.ops.arguments import TENSOR
from tinygen.ops.checks import expect_one_dtype
from tinygen.ops.declaration import example, named, operation, truth


def _comparison(name: str, numpys: str, symbol: str, example=None, tensors=("x",), aliases: str = ""):
    """The operation `name`, computed by NumPy's function `numpys`."""
    function = getattr(np, numpys)

    @operation(example, aliases=aliases)
    @primitive(promote="same", tensors=tensors)
    @named(name, f"x {symbol} other, elementwise")
    def compare(x, other):
        return function(x, other)

    return compare


eq = _comparison("eq", "equal", "==")
ne = _comparison("ne", "not_equal", "!=", aliases="not_equal")
lt = _comparison("lt", "less", "<", aliases="less")
le = _comparison("le", "less_equal", "<=", aliases="less_equal")
gt = _comparison("gt", "greater", ">", aliases="greater")
ge = _comparison("ge", "greater_equal", ">=", aliases="greater_equal")


def _of_bools(name: str, symbol: str, **options):
    shown = example(f"tinygen.{name}(x, other)", x=truth(2, 2), other=truth(2))
    return _comparison(name, name, symbol, shown, **options)


bitwise_and = _of_bools("bitwise_and", "&")
bitwise_or = _of_bools("bitwise_or", "|")
bitwise_xor = _of_bools("bitwise_xor", "^")
logical_and = _of_bools("logical_and", "and", tensors=("x", "other"))
logical_or = _of_bools("logical_or", "or", tensors=("x", "other"))
logical_xor = _of_bools("logical_xor", "xor", tensors=("x", "other"))


@operation(other=TENSOR)
def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """|input - other| <= atol + rtol |other|, elementwise"""
    xp = kernels.array_module(input._data)
    return Tensor._wrap(xp.asarray(xp.isclose(input._data, other._data, rtol, atol, equal_nan)))


@operation(other=TENSOR)
def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False) -> bool:
    """Whether `isclose` holds everywhere"""
    expect_one_dtype("allclose", input=input, other=other)
    return bool(isclose(input, other, rtol, atol, equal_nan)._data.all())


@operation(other=TENSOR)
def equal(input, other) -> bool:
    """Whether both have the same shape and the same elements"""
    return bool(kernels.array_module(input._data).array_equal(input._data, other._data))


@operation(example("tinygen.logical_not(x)", x=truth(2, 2)))
@primitive
def logical_not(x):
    """not x, elementwise"""
    return kernels.array_module(x).logical_not(x)


@operation(example("tinygen.bitwise_not(x)", x=truth(2, 2)))
@primitive
def bitwise_not(x):
    """~x, elementwise"""
    return ~x


@operation
@primitive
def isnan(x):
    """Whether x is nan"""
    return kernels.array_module(x).isnan(x)


@operation
@primitive
def isinf(x):
    """Whether x is inf or -inf"""
    return kernels.array_module(x).isinf(x)


@operation
@primitive
def isfinite(x):
    """Whether x is neither inf nor nan"""
    return kernels.array_module(x).isfinite(x)
