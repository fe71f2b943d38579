"""Comparisons and logic: bools out, no gradient."""

from __future__ import annotations

import numpy as np

from tinygen import kernels
from tinygen.engine.primitive import primitive
from tinygen.engine.tensor import Tensor
from tinygen.ops.checks import expect_one_dtype


def _comparison(name: str, symbol: str):
    function = getattr(np, name)

    def compare(x, other):
        return function(x, other)

    compare.__name__ = compare.__qualname__ = {
        "equal": "eq", "not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge"
    }.get(name, name)  # fmt: skip
    compare.__doc__ = f"x {symbol} other, elementwise"
    tensors = ("x", "other") if name.startswith("logical") else ("x",)
    return primitive(compare, promote="same", tensors=tensors)


eq, ne, lt, le, gt, ge = (
    _comparison(name, symbol)
    for name, symbol in (
        ("equal", "=="), ("not_equal", "!="), ("less", "<"), ("less_equal", "<="),
        ("greater", ">"), ("greater_equal", ">="),
    )
)  # fmt: skip
bitwise_and, bitwise_or, bitwise_xor = (
    _comparison(name, symbol)
    for name, symbol in (("bitwise_and", "&"), ("bitwise_or", "|"), ("bitwise_xor", "^"))
)
logical_and, logical_or, logical_xor = (
    _comparison(name, name.removeprefix("logical_")) for name in ("logical_and", "logical_or", "logical_xor")
)


def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """|input - other| <= atol + rtol |other|, elementwise"""
    xp = kernels.array_module(input._data)
    return Tensor._wrap(xp.asarray(xp.isclose(input._data, other._data, rtol, atol, equal_nan)))


def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False) -> bool:
    """Whether `isclose` holds everywhere"""
    expect_one_dtype("allclose", input=input, other=other)
    return bool(isclose(input, other, rtol, atol, equal_nan)._data.all())


def equal(input, other) -> bool:
    """Whether both have the same shape and the same elements"""
    return bool(kernels.array_module(input._data).array_equal(input._data, other._data))


@primitive
def logical_not(x):
    """not x, elementwise"""
    return kernels.array_module(x).logical_not(x)


@primitive
def bitwise_not(x):
    """~x, elementwise"""
    return ~x


@primitive
def isnan(x):
    """Whether x is nan"""
    return kernels.array_module(x).isnan(x)


@primitive
def isinf(x):
    """Whether x is inf or -inf"""
    return kernels.array_module(x).isinf(x)


@primitive
def isfinite(x):
    """Whether x is neither inf nor nan"""
    return kernels.array_module(x).isfinite(x)
