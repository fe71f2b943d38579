"""The case table: one line per way of calling an operation.  It drives parity, gradcheck and the dtype rule.

    case("softmax", lambda T, F, x: T.softmax(x, -1), U(3, 4))

name     the public name that the line covers: `add` for tinygen.add (and Tensor.add, the same function), `F.relu`,
         `Tensor.view`
call     a function of a namespace with PyTorch's names (tinygen or torch), its nn.functional, and the inputs
inputs   makers of arrays: a shape and a range, away from kinks, which lie at multiples of a half

A new operation needs a line here; a public name without one fails test_ops.py::test_every_name_has_a_case.
"""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """One call.  See `case` for the fields."""

    name: str
    call: Any
    inputs: tuple
    torch: Any
    grad: bool
    second: bool
    parity: bool
    other_dtypes: bool
    tolerance: float

    @property
    def leaves(self) -> list[bool]:
        """Which inputs require a gradient, if they are floating."""
        return [not getattr(make, "constant", False) for make in self.inputs]

    def arrays(self, dtype=np.float64) -> list:
        """The inputs; floating ones in `dtype` (whole and nonzero where that is an integer dtype)."""
        random = np.random.default_rng(zlib.crc32(self.name.encode()))
        arrays = [make(random) for make in self.inputs]
        return [_convert(a, np.dtype(dtype)) if a.dtype.kind == "f" else a for a in arrays]


def _convert(array, dtype):
    if dtype.kind == "b":
        return np.asarray(array > 0)
    if dtype.kind in "iu":
        whole = np.sign(array) * np.ceil(np.abs(array))
        return np.asarray(np.abs(whole) if dtype.kind == "u" else whole, dtype)
    return array.astype(dtype)


CASES: dict[str, Case] = {}


def case(
    name, call, *inputs, torch=None, grad=True, second=True, parity=True, other_dtypes=True, tolerance=1e-8
):
    """Add a case.

    torch         the call for PyTorch, if it is written differently
    grad          whether the result is differentiable
    second        compare derivatives with finite differences, and second ones with PyTorch: not at kinks
                  (a tie, a padding index), where the derivative is a convention
    parity        compare with PyTorch (not for random results)
    other_dtypes  also call it on integers, bools and float16 and compare dtype and values with PyTorch's
    """
    key, n = name, 2
    while key in CASES:
        key, n = f"{name}-{n}", n + 1
    CASES[key] = Case(name, call, inputs, torch or call, grad, second, parity, other_dtypes, tolerance)


# makers of inputs


def sized(maker):
    """A maker knows its shape and can make the same in another: make.shape, make.sized(*shape)."""

    @functools.wraps(maker)
    def make_maker(*shape, **options):
        make = maker(*shape, **options)
        make.shape, make.sized = shape, lambda *other: make_maker(*other, **options)
        return make

    return make_maker


@sized
def U(*shape, low=-3, high=3):
    """Numbers between `low` and `high`, at least 0.1 from every multiple of a half."""

    def make(random):
        halves = random.integers(2 * low, 2 * high, shape) / 2
        return np.asarray(halves + random.uniform(0.1, 0.4, shape))

    return make


@sized
def P(*shape):
    """Positive numbers."""
    return U(*shape, low=0, high=2)


@sized
def V(*shape):
    """Probabilities."""
    return lambda random: np.asarray(random.uniform(0.1, 0.9, shape))


@sized
def D(*shape):
    """Distinct numbers, at least 0.1 apart."""

    def make(random):
        n = int(np.prod(shape))
        return np.asarray((random.permutation(n) - n // 2) * 0.3 + random.uniform(0.05, 0.2, n)).reshape(
            shape
        )

    return make


@sized
def N(*shape, low=0, high=3):
    """Whole numbers low..high-1."""
    return lambda random: np.asarray(random.integers(low, high, shape))


@sized
def B(*shape):
    """Bools, both true and false."""
    return lambda random: np.asarray(np.resize(random.permutation([True, False, True, False, True]), shape))


def C(values, dtype=None):
    """Exactly these numbers; they may lie at a kink or a bound."""

    def make(random):
        return np.array(values, dtype)

    make.exact = True
    return make


def constant(make):
    """An input that does not require a gradient: class weights, running statistics, a target."""

    def make_constant(random):
        return make(random)

    make_constant.constant, make_constant.exact = True, getattr(make, "exact", False)
    if hasattr(make, "sized"):
        make_constant.shape = make.shape
        make_constant.sized = lambda *shape: constant(make.sized(*shape))
    return make_constant


# options that many cases share

FIXED = dict(grad=False, other_dtypes=False)
RANDOM = dict(grad=False, parity=False, other_dtypes=False)
LAYER = dict(other_dtypes=False)
IMAGE = U(2, 3, 6, 5)
PAIRS = [
    (U(3, 4), U(3, 4)), (U(3, 4), U(4)), (U(3, 1, 2), U(1, 5, 1)), (U(2, 3), U()), (U(), U()),
    (U(1), U(7)), (U(0, 3), U(3)), (U(2, 3), U(1, 1)),
]  # fmt: skip
