"""The case table: one line per way of calling an operation.  It drives parity, gradcheck and the dtype rule.

    case("softmax", lambda T, F, x: T.softmax(x, -1), U(3, 4))

name     the public name that the line covers: `add` for tinygen.add (and Tensor.add, the same function), `F.relu`,
         `Tensor.view`
call     takes a namespace with PyTorch's names (tinygen, or torch), its nn.functional, and the inputs
inputs   makers of arrays: a shape and a range, kept off the kinks that lie at multiples of a half

A new operation is covered by adding its line; a public name without one fails test_ops.py::test_every_name_has_a_case.
"""

from __future__ import annotations

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
        """Which inputs ask for a gradient, if they are floating."""
        return [not getattr(make, "constant", False) for make in self.inputs]

    def arrays(self, dtype=np.float64) -> list:
        """The inputs; floating ones in `dtype` (whole and nonzero where that is an integer dtype)."""
        random = np.random.default_rng(zlib.crc32(self.name.encode()))
        arrays = [make(random) for make in self.inputs]
        return [_convert(a, np.dtype(dtype)) if a.dtype.kind == "f" else a for a in arrays]


def _convert(array, dtype):
    if dtype.kind == "b":
        return array > 0
    if dtype.kind in "iu":
        whole = np.sign(array) * np.ceil(np.abs(array))
        return (np.abs(whole) if dtype.kind == "u" else whole).astype(dtype)
    return array.astype(dtype)


CASES: dict[str, Case] = {}


def case(
    name, call, *inputs, torch=None, grad=True, second=True, parity=True, other_dtypes=True, tolerance=1e-8
):
    """Add a case.

    torch         another call for PyTorch, where its spelling differs
    grad          whether the result is differentiable
    second        check the derivatives against finite differences, and the second ones against PyTorch: not at kinks
                  (a tie, a padding index), where the derivative is a convention
    parity        compare with PyTorch (not for what is random)
    other_dtypes  also call it on integers, bools and float16 and compare dtype and values with PyTorch's
    """
    key, n = name, 2
    while key in CASES:
        key, n = f"{name}-{n}", n + 1
    CASES[key] = Case(name, call, inputs, torch or call, grad, second, parity, other_dtypes, tolerance)


# makers of inputs


def U(*shape, low=-3, high=3):
    """Numbers between `low` and `high`, at least 0.1 from every multiple of a half."""

    def make(random):
        halves = random.integers(2 * low, 2 * high, shape) / 2
        return np.asarray(halves + random.uniform(0.1, 0.4, shape))

    return make


def P(*shape):
    """Positive numbers."""
    return U(*shape, low=0, high=2)


def V(*shape):
    """Probabilities."""
    return lambda random: np.asarray(random.uniform(0.1, 0.9, shape))


def D(*shape):
    """Distinct numbers, at least 0.1 apart."""

    def make(random):
        n = int(np.prod(shape))
        return np.asarray((random.permutation(n) - n // 2) * 0.3 + random.uniform(0.05, 0.2, n)).reshape(
            shape
        )

    return make


def N(*shape, low=0, high=3):
    """Whole numbers low..high-1."""
    return lambda random: np.asarray(random.integers(low, high, shape))


def B(*shape):
    """Bools, both kinds."""
    return lambda random: np.asarray(np.resize(random.permutation([True, False, True, False, True]), shape))


def C(values, dtype=None):
    """These numbers."""
    return lambda random: np.array(values, dtype)


def constant(make):
    """An input that asks for no gradient: class weights, running statistics, a target."""

    def make_constant(random):
        return make(random)

    make_constant.constant = True
    return make_constant


# creation: values and dtypes only

FIXED = dict(grad=False, other_dtypes=False)
case("zeros", lambda T, F: (T.zeros(2, 3), T.zeros((2,)), T.zeros(()), T.zeros(0, 2, dtype=T.int64)), **FIXED)
case("ones", lambda T, F: (T.ones(2, 3), T.ones([2]), T.ones(1, dtype=T.float64)), **FIXED)
case("empty", lambda T, F: (T.empty(2, 3) * 0, T.empty(0)), **FIXED)
case("full", lambda T, F: (T.full((2, 3), 7), T.full((2,), 7.5), T.full((), True)), **FIXED)
case("full", lambda T, F: (T.full((2,), 7, dtype=T.float64), T.full([0], 1.0)), **FIXED)
case("eye", lambda T, F: (T.eye(3), T.eye(2, 3), T.eye(0), T.eye(2, dtype=T.int64)), **FIXED)
case("arange", lambda T, F: (T.arange(5), T.arange(2, 7), T.arange(7, 2, -2), T.arange(0)), **FIXED)
case("arange", lambda T, F: (T.arange(0.0, 1, 0.1), T.arange(1, 2.5, 0.5), T.arange(3.0)), **FIXED)
case("arange", lambda T, F: (T.arange(3, dtype=T.float64), T.arange(2, dtype=T.int32)), **FIXED)
case("linspace", lambda T, F: (T.linspace(0, 1, 7), T.linspace(3, -3, 4), T.linspace(2, 5, 1)), **FIXED)
case("linspace", lambda T, F: T.linspace(-1, 1, 33, dtype=T.float64), **FIXED)
case("zeros_like", lambda T, F, x: (T.zeros_like(x), T.zeros_like(x, dtype=T.int64)), U(2, 3), grad=False)
case("ones_like", lambda T, F, x: (T.ones_like(x), T.ones_like(x, dtype=T.float64)), U(2, 3), grad=False)
case("empty_like", lambda T, F, x: T.zeros_like(T.empty_like(x)), U(2, 3), grad=False)
case("full_like", lambda T, F, x: (T.full_like(x, 3), T.full_like(x, 1, dtype=T.int64)), U(2), grad=False)
RANDOM = dict(grad=False, parity=False, other_dtypes=False)
case("rand", lambda T, F: T.rand(2, 3), **RANDOM)
case("randn", lambda T, F: T.randn(2, 3), **RANDOM)
case("randint", lambda T, F: T.randint(3, (2, 3)), **RANDOM)
case("randperm", lambda T, F: T.randperm(5), **RANDOM)
case("bernoulli", lambda T, F, x: T.bernoulli(x), V(2, 3), **RANDOM)
case("rand_like", lambda T, F, x: T.rand_like(x), U(2, 3), **RANDOM)
case("randn_like", lambda T, F, x: T.randn_like(x), U(2, 3), **RANDOM)
case("one_hot", lambda T, F, x: T.one_hot(x, 4), N(3, 2), torch=lambda T, F, x: F.one_hot(x, 4), grad=False)
case("one_hot", lambda T, F, x: T.one_hot(x), N(5), torch=lambda T, F, x: F.one_hot(x), grad=False)

# elementwise, two operands: equal shapes, broadcasting, 0-d, size one, empty

PAIRS = [
    (U(3, 4), U(3, 4)), (U(3, 4), U(4)), (U(3, 1, 2), U(1, 5, 1)), (U(2, 3), U()), (U(), U()),
    (U(1), U(7)), (U(0, 3), U(3)), (U(2, 3), U(1, 1)),
]  # fmt: skip
for a, b in PAIRS:
    case("add", lambda T, F, x, y: T.add(x, y), a, b)
    case("sub", lambda T, F, x, y: T.sub(x, y), a, b)
    case("mul", lambda T, F, x, y: T.mul(x, y), a, b)
    case("div", lambda T, F, x, y: T.div(x, y), a, b)
    case("maximum", lambda T, F, x, y: T.maximum(x, y * 1.3), a, b)
    case("minimum", lambda T, F, x, y: T.minimum(x, y * 1.3), a, b)
    case("logaddexp", lambda T, F, x, y: T.logaddexp(x, y), a, b, other_dtypes=False)
case("add", lambda T, F, x, y: T.add(x, y, alpha=3), U(2, 3), U(3), other_dtypes=False)
case("sub", lambda T, F, x, y: T.sub(x, y, alpha=0.5), U(2, 3), U(3), other_dtypes=False)
case("add", lambda T, F, x: x + x + (2 + x) + (x + 0.1), U(2, 3))
case("sub", lambda T, F, x: (2.7 - x) * (x - 3), U(2, 3), other_dtypes=False)
case("mul", lambda T, F, x: (0.1 * x) * (x * 0.3), U(2, 3))
case("div", lambda T, F, x: x / 0.3 + 0.7 / x, U(2, 3), other_dtypes=False)
case("div", lambda T, F, x, y: T.div(x, y, rounding_mode="floor"), U(2, 3), U(3), grad=False)
case("div", lambda T, F, x, y: T.div(x, y, rounding_mode="trunc"), U(2, 3), U(3), grad=False)
case("maximum", lambda T, F, x, y: T.maximum(x, y), C([1.0, 2.0]), C([1.0, 3.0]), second=False)
case("minimum", lambda T, F, x, y: T.minimum(x, y), C([1.0, 2.0]), C([1.0, 3.0]), second=False)
case(
    "logaddexp",
    lambda T, F, x, y: T.logaddexp(x, y),
    C([800.0, -900.0]),
    C([799.0, -900.5]),
    other_dtypes=False,
)
case("floor_divide", lambda T, F, x, y: T.floor_divide(x, y), U(3, 4), U(4), grad=False)
case("floor_divide", lambda T, F, x: (x // 0.7, x // -2, 5 // x), U(3, 4), grad=False, other_dtypes=False)
case("remainder", lambda T, F, x, y: T.remainder(x, y * 1.1), U(3, 4), U(4))
case("remainder", lambda T, F, x: (x % 0.7, x % -1.1), U(3, 4))
for exponent in (0, 1, 2, 3, -1, 0.5, 2.5, -1.5, 2.0, 1.0, 0.0):
    case("pow", lambda T, F, x, n=exponent: T.pow(x, n), P(3, 2), other_dtypes=exponent in (2, 3))
case("pow", lambda T, F, x: (x**2, x**3, x**0, x**1), C([0.0, -1.5, 2.0]))
case("pow", lambda T, F, x: (2**x, 0.5**x), U(3, 2), other_dtypes=False)
case("pow", lambda T, F, x, y: T.pow(x, y), P(3, 4), U(4), other_dtypes=False)
case("pow", lambda T, F, x, y: x**y, P(2, 1), P(1, 3))
case("pow", lambda T, F, x, y: x**y, P(), P())

# elementwise, one operand

for name in "neg exp expm1 square sin cos tanh sigmoid abs erf".split():
    for shape in ((3, 4), (), (1,), (0, 2)):
        case(name, lambda T, F, x, f=name: getattr(T, f)(x), U(*shape))
for name in "log log1p sqrt rsqrt reciprocal".split():
    for shape in ((3, 4), (), (0, 2)):
        case(name, lambda T, F, x, f=name: getattr(T, f)(x), P(*shape))
for name in "sign floor ceil round trunc".split():
    for shape in ((3, 4), ()):
        case(name, lambda T, F, x, f=name: getattr(T, f)(x), U(*shape))
case("round", lambda T, F, x: T.round(x), C([0.5, 1.5, 2.5, -0.5, -1.5]), grad=False)
case("sigmoid", lambda T, F, x: T.sigmoid(x), C([-800.0, -40.0, 0.0, 40.0, 800.0]), other_dtypes=False)
case("abs", lambda T, F, x: (abs(x), -x, +x), U(2, 3), other_dtypes=False)
case("abs", lambda T, F, x: x.abs(), C([0.0, -0.0]), grad=False)
case("log", lambda T, F, x: T.log(x), C([0.0, 1e-300, np.inf]), grad=False, other_dtypes=False)
case("clone", lambda T, F, x: T.clone(x), U(2, 3))

# activations

for shape in ((3, 4), (), (0,)):
    case("relu", lambda T, F, x: T.relu(x), U(*shape))
    case("F.relu", lambda T, F, x: F.relu(x), U(*shape))
    case("F.leaky_relu", lambda T, F, x: F.leaky_relu(x, 0.2), U(*shape), other_dtypes=False)
    case("F.elu", lambda T, F, x: F.elu(x, 0.7), U(*shape), other_dtypes=False)
    case("F.silu", lambda T, F, x: F.silu(x), U(*shape), other_dtypes=False)
    case("F.softplus", lambda T, F, x: F.softplus(x, 1.5, 3), U(*shape), other_dtypes=False)
    case("F.logsigmoid", lambda T, F, x: F.logsigmoid(x), U(*shape), other_dtypes=False)
    case("F.gelu", lambda T, F, x: F.gelu(x), U(*shape), other_dtypes=False)
    case("F.gelu", lambda T, F, x: F.gelu(x, approximate="tanh"), U(*shape), other_dtypes=False)
case("relu", lambda T, F, x: (T.relu(x), F.leaky_relu(x), F.elu(x)), C([0.0, -0.0]), grad=False)
case("F.elu", lambda T, F, x: F.elu(x), C([-900.0, 900.0, 1e-3]), other_dtypes=False)
case("F.softplus", lambda T, F, x: F.softplus(x), C([-900.0, 900.0, 19.0, 21.0]), other_dtypes=False)
case("F.logsigmoid", lambda T, F, x: F.logsigmoid(x), C([-900.0, 900.0]), other_dtypes=False)
case("F.tanh", lambda T, F, x: F.tanh(x), U(2, 3))
case("F.sigmoid", lambda T, F, x: F.sigmoid(x), U(2, 3))
case("F.prelu", lambda T, F, x, w: F.prelu(x, w), U(2, 3, 2), P(3), other_dtypes=False)
case("F.prelu", lambda T, F, x, w: F.prelu(x, w), U(4, 2), P(1), other_dtypes=False)

# choosing and comparing

case("clamp", lambda T, F, x: T.clamp(x, -1, 1), U(3, 4), other_dtypes=False)
case("clamp", lambda T, F, x: (T.clamp(x, min=0.5), T.clamp(x, max=1)), U(3, 4), other_dtypes=False)
case("clamp", lambda T, F, x: T.clamp(x, -1, 1), C([-1.0, 1.0, 0.0, -2.0]), second=False, other_dtypes=False)
case("clamp", lambda T, F, x: (T.clamp(x, 1, 2), x.clamp(max=1.5), x.clamp(min=2)), U(3, 4))
case("clamp", lambda T, F, x: T.clamp(x, 1, -1), U(3), other_dtypes=False)
case("clamp", lambda T, F, x, a, b: T.clamp(x, a, b), U(3, 4), U(4, low=-2, high=-1), U(4, low=1, high=2))
case("where", lambda T, F, c, x, y: T.where(c, x, y), B(3, 4), U(3, 4), U(4))
case("where", lambda T, F, c, x, y: T.where(c, x, y), B(3, 1), U(4), U())
case("where", lambda T, F, c, x: (T.where(c, x, 0.0), T.where(c, 2, x)), B(4), U(4))
case("where", lambda T, F, c: T.where(c), B(3, 4), grad=False)
case("where", lambda T, F, c: (T.where(c, 1.0, 0.0), T.where(c, 1, 0)), B(4), grad=False)
case("where", lambda T, F, x: T.where(x > 0, x * x, x), U(3, 4), other_dtypes=False)
case("masked_fill", lambda T, F, x, m: T.masked_fill(x, m, 5.0), U(3, 4), B(3, 4), other_dtypes=False)
case("masked_fill", lambda T, F, x, m: x.masked_fill(m, 2), U(3, 4), B(4))
case("masked_fill", lambda T, F, x, m, v: x.masked_fill(m, v), U(3, 4), B(3, 4), U(), other_dtypes=False)
case("masked_fill", lambda T, F, x, m: x.masked_fill(m, float("-inf")).exp(), U(3), B(3), other_dtypes=False)
for name in "eq ne lt le gt ge".split():
    for a, b in (*PAIRS[:5], (C([1.0, 2.0, 3.0]), C([1.0, 3.0, 2.0]))):
        case(name, lambda T, F, x, y, f=name: getattr(T, f)(x, y), a, b, grad=False)
case(
    "eq", lambda T, F, x: (x == 1, x != 0.5, x < 1, x <= -0.5, x > 0, x >= 2), C([0.5, 1.0, 2.0]), grad=False
)
for name in "logical_and logical_or logical_xor".split():
    case(name, lambda T, F, x, y, f=name: getattr(T, f)(x, y), B(3, 4), B(4), grad=False)
    case(name, lambda T, F, x, y, f=name: getattr(T, f)(x, y), C([0.0, 1.0, -2.0]), C(1.0), grad=False)
for name in "bitwise_and bitwise_or bitwise_xor".split():
    case(name, lambda T, F, x, y, f=name: getattr(T, f)(x, y), B(3, 4), B(4), grad=False)
    case(name, lambda T, F, x, y, f=name: getattr(T, f)(x, y), N(3, 4, high=9), N(4, high=9), grad=False)
case("bitwise_and", lambda T, F, x, y: (x & y, x | y, x ^ y, ~x), B(3, 4), B(4), grad=False)
case("bitwise_not", lambda T, F, x: T.bitwise_not(x), N(3), grad=False)
case("bitwise_not", lambda T, F, x: T.bitwise_not(x), B(3), grad=False)
case("logical_not", lambda T, F, x: T.logical_not(x), C([0.0, 1.5]), grad=False)
SPECIAL = C([0.0, np.inf, -np.inf, np.nan, 1.0])
for name in "isnan isinf isfinite".split():
    case(name, lambda T, F, x, f=name: getattr(T, f)(x), SPECIAL, grad=False, other_dtypes=False)
    case(name, lambda T, F, x, f=name: getattr(T, f)(x), U(3), grad=False)
NEAR = constant(C([0.0, np.inf, np.inf, np.nan, 1.001]))
for at in ({}, {"rtol": 0.01}, {"equal_nan": True}):
    case(
        "isclose", lambda T, F, x, y, at=at: x.isclose(y, **at), SPECIAL, NEAR, grad=False, other_dtypes=False
    )
for name in "allclose equal".split():
    case(name, lambda T, F, x, y, f=name: T.tensor([getattr(T, f)(x, y), getattr(x, f)(x), getattr(T, f)(x, x + 1)]),
         U(3), U(3), grad=False, other_dtypes=False)  # fmt: skip
case("equal", lambda T, F, x: T.tensor(T.equal(x, x[:2])), U(3), grad=False)

# reductions: everything, one dimension, several, kept or not; 0-d, size one, empty

DIMS = [None, 0, -1, (0, 2), (1,)]
for keepdim in (False, True):
    for dim in DIMS:
        at = {} if dim is None and not keepdim else {"dim": dim, "keepdim": keepdim}
        case("sum", lambda T, F, x, at=at: T.sum(x, **at), U(3, 4, 2))
        case("mean", lambda T, F, x, at=at: T.mean(x, **at), U(3, 4, 2))
        case("var", lambda T, F, x, at=at: T.var(x, **at), U(3, 4, 2))
        case("std", lambda T, F, x, at=at: T.std(x, **at), U(3, 4, 2))
        if dim is not None:
            case("logsumexp", lambda T, F, x, at=at: T.logsumexp(x, **at), U(3, 4, 2))
            case("amax", lambda T, F, x, at=at: T.amax(x, **at), D(3, 4, 2))
            case("amin", lambda T, F, x, at=at: T.amin(x, **at), D(3, 4, 2))
            case("norm", lambda T, F, x, at=at: T.norm(x, **at), U(3, 4, 2), other_dtypes=False)
    for dim in (0, 1, -1):
        at = {"dim": dim, "keepdim": keepdim}
        case("max", lambda T, F, x, at=at: tuple(T.max(x, **at)), D(3, 4, 2))
        case("min", lambda T, F, x, at=at: tuple(T.min(x, **at)), D(3, 4, 2))
        case("argmax", lambda T, F, x, at=at: T.argmax(x, **at), D(3, 4, 2), grad=False)
        case("argmin", lambda T, F, x, at=at: T.argmin(x, **at), D(3, 4, 2), grad=False)
        case("any", lambda T, F, x, at=at: T.any(x > 2, **at), U(3, 4, 2), grad=False)
        case("all", lambda T, F, x, at=at: T.all(x > 1, **at), U(3, 4, 2), grad=False)
        case("prod", lambda T, F, x, at=at: T.prod(x, **at), U(3, 4, 2))
for name in "sum mean max min amax amin prod any all argmax argmin norm".split():
    case(name, lambda T, F, x, f=name: getattr(T, f)(x), D(3, 4), grad=name not in "any all argmax argmin".split(),
         other_dtypes=name != "norm")  # fmt: skip
    case(name, lambda T, F, x, f=name: getattr(T, f)(x), D(), grad=name not in "any all argmax argmin".split(),
         other_dtypes=name != "norm")  # fmt: skip
case("sum", lambda T, F, x: (T.sum(x), x.sum(0), x.sum(1), x.sum(-1, keepdim=True)), U(0, 3))
case("sum", lambda T, F, x: (x.sum(dtype=T.float64), x.sum(0, dtype=T.float32)), U(3, 4))
case("sum", lambda T, F, x: (x.sum(0), x.sum(-1), x.sum(())), U(), other_dtypes=False)
case("mean", lambda T, F, x: (T.mean(x), x.mean(0)), U(0, 3), grad=False, other_dtypes=False)
case("mean", lambda T, F, x: (x.mean(0, True), x.mean((0, 1)), x.mean(dtype=T.float64)), U(3, 1))
case("var", lambda T, F, x: (T.var(x, 0, False), T.var(x, 1, True, True), x.var(unbiased=False)), U(3, 4))
case("var", lambda T, F, x: (T.var(x, dim=0, correction=0), x.var((0, 1), correction=2)), U(3, 4))
case("std", lambda T, F, x: (T.std(x, 0, False), x.std(unbiased=False), x.std(1, keepdim=True)), U(3, 4))
case("std", lambda T, F, x: x.std(0, unbiased=False), C([[1.0, 2.0], [1.0, 3.0]]), second=False)
case("amax", lambda T, F, x: (x.amax(), x.amin(0), x.max()), C([[1.0, 3.0], [3.0, 1.0]]), second=False)
case("max", lambda T, F, x, y: (T.max(x, y), T.min(x, y)), D(3, 4), C(0.33))
case("max", lambda T, F, x: (x.max(0).values, x.min(-1).values, x.max(0).indices), D(3, 4))
case("max", lambda T, F, x: tuple(T.max(x, 0)), D())
case(
    "argmax", lambda T, F, x: (x.argmax(), x.argmax(0), x.argmin(1)), C([[1.0, 1.0], [0.0, 1.0]]), grad=False
)
case("any", lambda T, F, x: (T.any(x), T.all(x), x.any(0), x.all(0)), B(0, 3), grad=False)
case("any", lambda T, F, x: (T.any(x), T.all(x), x.any(0), x.all(1)), B(2, 3), grad=False)
case("logsumexp", lambda T, F, x: T.logsumexp(x, 0), C([900.0, 899.0, -900.0]), other_dtypes=False)
case("logsumexp", lambda T, F, x: T.logsumexp(x, 1), C([[-np.inf, 0.5], [1.0, -np.inf]]), second=False,
     grad=False, other_dtypes=False)  # fmt: skip
case("logsumexp", lambda T, F, x: T.logsumexp(x, 0), C([-np.inf, -np.inf]), grad=False, other_dtypes=False)
case("logsumexp", lambda T, F, x: T.logsumexp(x, (0, 1)), U(3, 4))
case("logsumexp", lambda T, F, x: T.logsumexp(x, 0), U())
for p in (0, 1, 2, 3, 2.5, float("inf"), -float("inf")):
    case("norm", lambda T, F, x, p=p: (T.norm(x, p), x.norm(p, 1), x.norm(p, (0, 1), keepdim=True)), D(3, 4),
         other_dtypes=False)  # fmt: skip
case("norm", lambda T, F, x: x.norm("fro"), U(3, 4), other_dtypes=False)
case("norm", lambda T, F, x: x.norm(dim=1), C([[0.0, 0.0], [3.0, 4.0]]), second=False, other_dtypes=False)
case("cumsum", lambda T, F, x: (T.cumsum(x, 0), x.cumsum(-1)), U(3, 4))
case("cumsum", lambda T, F, x: T.cumsum(x, 0), U())
case("cumsum", lambda T, F, x: T.cumsum(x, 1), U(2, 0))
case("cumprod", lambda T, F, x: (T.cumprod(x, 0), x.cumprod(-1)), U(3, 4))
case("cumprod", lambda T, F, x: T.cumprod(x, 0), C([2.0, 0.0, 3.0, 0.0, 4.0]))
case("cumprod", lambda T, F, x: (T.cumprod(x, 0), T.cumprod(x, 1)), U(0, 2))
case("prod", lambda T, F, x: T.prod(x, 0), C([[2.0, 0.0, 0.0], [3.0, 5.0, 0.0]]))
case("prod", lambda T, F, x: (T.prod(x), x.prod(0), x.prod(1)), U(0, 2))

# shapes

case(
    "reshape",
    lambda T, F, x: (T.reshape(x, (4, 3)), x.reshape(2, -1), x.reshape(-1), x.reshape([3, 2, 2])),
    U(3, 4),
)
case("reshape", lambda T, F, x: (x.reshape(0), x.reshape(-1), x.reshape(3, 0), x.reshape(5, 0, 1)), U(0, 3))
case("reshape", lambda T, F, x: (x.reshape(()), x.reshape(1), x.reshape(1, 1)), U(1, 1))
case("Tensor.view", lambda T, F, x: (x.contiguous().view(4, 3), x.contiguous().view(-1)), U(3, 4))
case("Tensor.contiguous", lambda T, F, x: x.contiguous().view(-1), U(3, 4))
case("Tensor.contiguous", lambda T, F, x: x.transpose(0, 1).contiguous() * 2, U(3, 4))
case("flatten", lambda T, F, x: (T.flatten(x), x.flatten(1), x.flatten(0, 1), x.flatten(1, 2)), U(2, 3, 2, 1))
case("flatten", lambda T, F, x: T.flatten(x), U())
case("flatten", lambda T, F, x: x.flatten(1), U(0, 2, 3))
case("unflatten", lambda T, F, x: (T.unflatten(x, 1, (2, -1)), x.unflatten(0, (1, 3))), U(3, 4))
case("squeeze", lambda T, F, x: (T.squeeze(x), x.squeeze(0), x.squeeze(1), x.squeeze((0, 2))), U(1, 3, 1))
case("squeeze", lambda T, F, x: (x.squeeze(), x.squeeze(0), x.squeeze(-1)), U())
case("unsqueeze", lambda T, F, x: (T.unsqueeze(x, 0), x.unsqueeze(1), x.unsqueeze(-1)), U(3, 4))
case("unsqueeze", lambda T, F, x: x.unsqueeze(0), U())
case(
    "permute", lambda T, F, x: (T.permute(x, (2, 0, 1)), x.permute(1, 2, 0), x.permute(-1, 0, 1)), U(3, 4, 2)
)
case("permute", lambda T, F, x: x.permute(()), U())
case("transpose", lambda T, F, x: (T.transpose(x, 0, 2), x.transpose(-1, -2), x.mT), U(3, 4, 2))
case("t", lambda T, F, x: (T.t(x), x.t(), x.T), U(3, 4))
case("t", lambda T, F, x: T.t(x), U(3))
case("broadcast_to", lambda T, F, x: (T.broadcast_to(x, (2, 3, 4)), x.broadcast_to((3, 4))), U(3, 1))
case("Tensor.expand", lambda T, F, x: (x.expand(2, 3, 4), x.expand(-1, 4), x.expand((3, 1))), U(3, 1))
case("Tensor.expand", lambda T, F, x: (x.expand(2, 3), x.expand(0)), U())
case("Tensor.expand", lambda T, F, x: x.expand(4, 0, 3), U(0, 3))
case("Tensor.expand_as", lambda T, F, x, y: x.expand_as(y) * y, U(3, 1), U(2, 3, 4))
case("Tensor.repeat", lambda T, F, x: (x.repeat(2, 3), x.repeat(2, 1, 1), x.repeat(0, 1)), U(3, 2))
case("Tensor.repeat", lambda T, F, x: (x.repeat(3), x.repeat(2, 2), x.repeat(1, 1)), U())
case("Tensor.view_as", lambda T, F, x, y: x.view_as(y) * y, U(3, 4), U(2, 6))
case("flip", lambda T, F, x: (T.flip(x, (0,)), x.flip([0, 1]), x.flip((-1,))), U(3, 4))
case("cat", lambda T, F, x, y: (T.cat([x, y]), T.cat((x, y, x), dim=0), T.cat([y], -1)), U(3, 4), U(2, 4))
case("cat", lambda T, F, x, y: T.cat([x, y], 1), U(3, 0), U(3, 2))
case("cat", lambda T, F, x, y: T.cat([x, y], 1), U(0), U(3, 2))
case(
    "stack",
    lambda T, F, x, y: (T.stack([x, y]), T.stack((x, y), 1), T.stack([x, y, x], -1)),
    U(3, 4),
    U(3, 4),
)
case("stack", lambda T, F, x, y: T.stack([x, y]), U(), U())
case("narrow", lambda T, F, x: (T.narrow(x, 0, 1, 2), x.narrow(-1, 0, 3), x.narrow(1, 2, 0)), U(3, 4))
case("narrow", lambda T, F, x: x.narrow(0, -2, 2), U(3, 4))
case("split", lambda T, F, x: (*T.split(x, 2), *x.split([1, 3], 1), *x.split(5)), U(3, 4))
case("split", lambda T, F, x: x.split(2), U(0, 2))
case("chunk", lambda T, F, x: (*T.chunk(x, 2), *x.chunk(3, 1), *x.chunk(7)), U(3, 4))
case("chunk", lambda T, F, x: x.chunk(3, 1), U(2, 0))
case("unbind", lambda T, F, x: (*T.unbind(x), *x.unbind(1)), U(3, 2))
for diagonal in (0, 1, -2):
    case("tril", lambda T, F, x, d=diagonal: T.tril(x, d), U(3, 4))
    case("triu", lambda T, F, x, d=diagonal: T.triu(x, diagonal=d), U(2, 4, 3))
case("gather", lambda T, F, x, i: T.gather(x, 1, i), U(3, 4), N(3, 5))
case("gather", lambda T, F, x, i: x.gather(0, i), U(3, 4), N(2, 3))
case("gather", lambda T, F, x, i: x.gather(-1, i), U(3, 2, 4), N(2, 1, 6, high=4))
case("gather", lambda T, F, x, i: x.gather(0, i), U(5), N(0))
case("index_select", lambda T, F, x, i: (T.index_select(x, 0, i), x.index_select(-1, i)), U(3, 4), N(5))
case("index_select", lambda T, F, x, i: T.index_select(x, 0, i), U(3, 4), N(0))
case("index_select", lambda T, F, x, i: (x.index_select(0, i), x.index_select(1, i)), U(3, 4), N())
case("nonzero", lambda T, F, x: (T.nonzero(x > 0), *x.nonzero(as_tuple=True)), U(3, 4), grad=False)
case("nonzero", lambda T, F, x: (x.nonzero(), (x * 0).nonzero(), (x > 9).nonzero()), U(), grad=False)
case("masked_select", lambda T, F, x, m: T.masked_select(x, m), U(3, 4), B(3, 4))
case("masked_select", lambda T, F, x, m: x.masked_select(m), U(3, 4), B(4))
case(
    "F.pad",
    lambda T, F, x: (F.pad(x, (1, 2)), F.pad(x, (0, 1, 2, 0), value=1.5)),
    U(3, 4),
    other_dtypes=False,
)
case("F.pad", lambda T, F, x: (F.pad(x, (-1, 1)), F.pad(x, (0, -2, -1, 0))), U(3, 4))

# products

case("matmul", lambda T, F, x, y: T.matmul(x, y), U(3, 4), U(4, 2))
for a, b in [
    ((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 2)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (4,)), ((4,), (2, 4, 3)),
    ((2, 3, 4), (2, 4, 2)), ((3, 4), (2, 4, 5)), ((5, 1, 3, 4), (2, 4, 2)), ((1, 1), (1, 1)), ((0, 3), (3, 2)),
    ((2, 0), (0, 3)), ((0, 2, 3), (3, 4)), ((2, 1, 3), (1, 3, 2)), ((2, 2, 3, 1), (1, 1, 1, 2)),
    ((0,), (0,)), ((2, 3, 0), (0, 4)), ((1, 7, 13), (13, 5)),
]:  # fmt: skip
    case("matmul", lambda T, F, x, y: x @ y, U(*a), U(*b))
case("mm", lambda T, F, x, y: T.mm(x, y), U(3, 4), U(4, 2))
case("bmm", lambda T, F, x, y: T.bmm(x, y), U(2, 3, 4), U(2, 4, 1))
case("dot", lambda T, F, x, y: T.dot(x, y), U(4), U(4))
case("outer", lambda T, F, x, y: T.outer(x, y), U(3), U(4))
LAYER = dict(other_dtypes=False)
case("F.linear", lambda T, F, x, w, b: F.linear(x, w, b), U(3, 4), U(2, 4), U(2), **LAYER)
case("F.linear", lambda T, F, x, w: F.linear(x, w), U(2, 3, 4), U(5, 4), **LAYER)
case("F.linear", lambda T, F, x, w, b: F.linear(x, w, b), U(4), U(2, 4), U(2), **LAYER)
case("F.linear", lambda T, F, x, w, b: F.linear(x, w, b), U(0, 4), U(2, 4), U(2), **LAYER)

# indexing (test_indexing.py has the rest) and what is spelled as an attribute

case("Tensor.__getitem__", lambda T, F, x: (x[1], x[1:, ::2], x[..., None, 0], x[-1, -1]), U(3, 4))
case("Tensor.__getitem__", lambda T, F, x, i: (x[i], x[:, i], x[i, i], x[i] * x[0]), U(3, 4), N(5))
case("Tensor.to", lambda T, F, x: (x.to(T.float64) * 2, x.double(), x.type_as(x)), U(3, 4))
case("Tensor.__iter__", lambda T, F, x: tuple(row * 2 for row in x), U(3, 2))

# embedding

case("F.embedding", lambda T, F, i, w: F.embedding(i, w), N(2, 3, high=4), U(4, 3), **LAYER)
case("F.embedding", lambda T, F, i, w: F.embedding(i, w, 1), N(5, high=4), U(4, 3), second=False, **LAYER)
case("F.embedding", lambda T, F, i, w: F.embedding(i, w), N(0, high=4), U(4, 3), parity=False, **LAYER)

# convolution: stride, padding, dilation, groups, no batch, sizes that do not divide

IMAGE, FILTER = U(2, 3, 6, 5), U(4, 3, 3, 2)
case("conv2d", lambda T, F, x, w: T.conv2d(x, w), IMAGE, FILTER, **LAYER)
case("conv2d", lambda T, F, x, w, b: T.conv2d(x, w, b, 2, 1), IMAGE, FILTER, U(4), **LAYER)
case("conv2d", lambda T, F, x, w, b: T.conv2d(x, w, b, (1, 2), (2, 0), (2, 1)), IMAGE, FILTER, U(4), **LAYER)
case("conv2d", lambda T, F, x, w: T.conv2d(x, w, padding="same"), IMAGE, FILTER, **LAYER)
case("conv2d", lambda T, F, x, w: T.conv2d(x, w, padding="valid", dilation=2), IMAGE, U(1, 3, 2, 2), **LAYER)
case("conv2d", lambda T, F, x, w, b: T.conv2d(x, w, b, groups=2), U(2, 4, 5, 5), U(6, 2, 3, 3), U(6), **LAYER)
case("conv2d", lambda T, F, x, w: T.conv2d(x, w, groups=4, padding=1), U(1, 4, 5, 4), U(4, 1, 3, 3), **LAYER)
case("conv2d", lambda T, F, x, w, b: T.conv2d(x, w, b, padding=1), U(3, 6, 5), FILTER, U(4), **LAYER)
case("conv2d", lambda T, F, x, w: T.conv2d(x, w, stride=3), U(1, 1, 7, 7), U(1, 1, 1, 1), **LAYER)
case("conv2d", lambda T, F, x, w: T.conv2d(x, w), U(1, 2, 3, 2), U(3, 2, 3, 2), **LAYER)
case("F.conv2d", lambda T, F, x, w: F.conv2d(x, w, None, 2), IMAGE, FILTER, **LAYER)
UP = U(3, 4, 3, 2)
case("conv_transpose2d", lambda T, F, x, w: T.conv_transpose2d(x, w), IMAGE, UP, **LAYER)
case("conv_transpose2d", lambda T, F, x, w, b: T.conv_transpose2d(x, w, b, 2, 1), IMAGE, UP, U(4), **LAYER)
case("conv_transpose2d", lambda T, F, x, w: T.conv_transpose2d(x, w, None, 2, 1, 1), IMAGE, UP, **LAYER)
case("conv_transpose2d", lambda T, F, x, w: T.conv_transpose2d(x, w, stride=(3, 2), output_padding=(2, 1)),
     IMAGE, UP, **LAYER)  # fmt: skip
case("conv_transpose2d", lambda T, F, x, w: T.conv_transpose2d(x, w, dilation=(1, 2)), IMAGE, UP, **LAYER)
case(
    "conv_transpose2d",
    lambda T, F, x, w: T.conv_transpose2d(x, w, groups=2),
    U(1, 4, 3, 3),
    U(4, 2, 2, 2),
    **LAYER,
)
case("conv_transpose2d", lambda T, F, x, w: T.conv_transpose2d(x, w, padding=1), U(3, 4, 4), UP, **LAYER)

# pooling, resizing

DISTINCT = D(2, 3, 6, 5)
case("max_pool2d", lambda T, F, x: T.max_pool2d(x, 2), DISTINCT, **LAYER)
case("max_pool2d", lambda T, F, x: T.max_pool2d(x, (3, 2), 2, 1), DISTINCT, **LAYER)
case("max_pool2d", lambda T, F, x: T.max_pool2d(x, 3, (1, 2), (1, 0), 2), D(1, 2, 7, 7), **LAYER)
case("max_pool2d", lambda T, F, x: T.max_pool2d(x, 2, ceil_mode=True), D(3, 5, 5), **LAYER)
case("max_pool2d", lambda T, F, x: F.max_pool2d(x, 3, 2, 1, return_indices=True), DISTINCT, **LAYER)
case("max_pool2d", lambda T, F, x: T.max_pool2d(x, 2), C([[[[1.0, 1.0], [1.0, 0.0]]]]), second=False, **LAYER)
case("F.avg_pool2d", lambda T, F, x: F.avg_pool2d(x, 2), IMAGE, **LAYER)
case("F.avg_pool2d", lambda T, F, x: F.avg_pool2d(x, (3, 2), 2, 1), IMAGE, **LAYER)
case("F.avg_pool2d", lambda T, F, x: F.avg_pool2d(x, 3, 2, 1, True, False), IMAGE, **LAYER)
case("F.avg_pool2d", lambda T, F, x: F.avg_pool2d(x, 2, divisor_override=3), U(3, 5, 4), **LAYER)
for size in (1, 2, (3, 5), (None, 4)):
    case("F.adaptive_avg_pool2d", lambda T, F, x, n=size: F.adaptive_avg_pool2d(x, n), IMAGE, **LAYER)
for at in ({"scale_factor": 2}, {"size": (9, 4)}, {"size": 3}, {"scale_factor": (1.5, 0.5)}):
    case("F.interpolate", lambda T, F, x, at=at: F.interpolate(x, **at), IMAGE, **LAYER)
case("F.interpolate", lambda T, F, x: F.interpolate(x, scale_factor=2.6), U(2, 3, 5), **LAYER)
case("pixel_shuffle", lambda T, F, x: T.pixel_shuffle(x, 2), U(2, 8, 2, 3), **LAYER)
case("pixel_shuffle", lambda T, F, x: T.pixel_shuffle(x, 1), U(3, 2, 3), **LAYER)
case("pixel_unshuffle", lambda T, F, x: T.pixel_unshuffle(x, 2), U(2, 2, 4, 6), **LAYER)

# normalisation, softmax, dropout

for shape, dim in (((3, 4), -1), ((3, 4), 0), ((2, 3, 4), 1), ((), 0), ((0, 3), 1), ((2, 1), 1)):
    case("softmax", lambda T, F, x, d=dim: T.softmax(x, d), U(*shape), **LAYER)
    case("log_softmax", lambda T, F, x, d=dim: T.log_softmax(x, dim=d), U(*shape), **LAYER)
case("softmax", lambda T, F, x: (F.softmax(x, 0), x.softmax(0), x.log_softmax(0)), U(3, 4), **LAYER)
case("softmax", lambda T, F, x: T.softmax(x, 0), C([900.0, 899.0, -900.0]), **LAYER)
case("softmax", lambda T, F, x: T.softmax(x, 0), C([0.5, -np.inf, 1.0]), second=False, **LAYER)
case("log_softmax", lambda T, F, x: T.log_softmax(x, 0), C([900.0, 899.0, -900.0]), **LAYER)
case("layer_norm", lambda T, F, x, w, b: F.layer_norm(x, (4,), w, b), U(3, 4), U(4), U(4), **LAYER)
case("layer_norm", lambda T, F, x: F.layer_norm(x, (3, 4), eps=0.1), U(2, 3, 4), **LAYER)
case("group_norm", lambda T, F, x, w, b: F.group_norm(x, 2, w, b), U(2, 4, 3), U(4), U(4), **LAYER)
case("group_norm", lambda T, F, x: F.group_norm(x, 3, eps=0.1), U(2, 3, 2, 2), **LAYER)
RUNNING = (constant(C([0.1, -0.2, 0.3])), constant(C([0.5, 1.5, 2.0])))

case("batch_norm", lambda T, F, x, m, v, w, b: F.batch_norm(x, m.clone(), v.clone(), w, b, True),
     U(4, 3, 2, 2), *RUNNING, U(3), U(3), **LAYER)  # fmt: skip
case("batch_norm", lambda T, F, x, m, v, w, b: F.batch_norm(x, m, v, w, b),
     U(4, 3), *RUNNING, U(3), U(3), **LAYER)  # fmt: skip
case("batch_norm", lambda T, F, x: F.batch_norm(x, None, None, training=True, eps=0.1), U(5, 3), **LAYER)
case(
    "instance_norm",
    lambda T, F, x, w, b: F.instance_norm(x, None, None, w, b),
    U(2, 3, 5),
    U(3),
    U(3),
    **LAYER,
)
case(
    "dropout",
    lambda T, F, x: (F.dropout(x, 0.5, False), F.dropout(x, 0.0), F.dropout(x, 1.0)),
    U(3, 4),
    **LAYER,
)
case("dropout", lambda T, F, x: (T.manual_seed(0), F.dropout(x, 0.4))[1], U(3, 4), parity=False, **LAYER)
case("F.dropout2d", lambda T, F, x: (F.dropout2d(x, 0.5, False), F.dropout2d(x, 1.0)), U(2, 3, 2, 2), **LAYER)
case("F.dropout2d", lambda T, F, x: (T.manual_seed(0), F.dropout2d(x))[1], U(2, 3, 2), parity=False, **LAYER)
case(
    "F.normalize",
    lambda T, F, x: (F.normalize(x), F.normalize(x, 1, 0), F.normalize(x, dim=-1)),
    U(3, 4),
    **LAYER,
)

# losses

for reduction in ("mean", "sum", "none"):
    case("F.mse_loss", lambda T, F, x, y, r=reduction: F.mse_loss(x, y, reduction=r), U(3, 4), U(3, 4))
    case(
        "F.l1_loss",
        lambda T, F, x, y, r=reduction: F.l1_loss(x, y * 1.3, reduction=r),
        U(3, 4),
        U(3, 4),
        **LAYER,
    )
    case("F.smooth_l1_loss", lambda T, F, x, y, r=reduction: F.smooth_l1_loss(x, y * 1.3, reduction=r, beta=0.7),
         U(3, 4), U(3, 4), **LAYER)  # fmt: skip
    case("F.gaussian_nll_loss", lambda T, F, x, y, v, r=reduction: F.gaussian_nll_loss(x, y, v, True, 1e-6, r),
         U(3, 4), U(3, 4), P(3, 4), **LAYER)  # fmt: skip
    case("F.binary_cross_entropy", lambda T, F, x, y, r=reduction: F.binary_cross_entropy(x, y, reduction=r),
         V(3, 4), V(3, 4), **LAYER)  # fmt: skip
    case("F.binary_cross_entropy_with_logits",
         lambda T, F, x, y, r=reduction: F.binary_cross_entropy_with_logits(x, y, reduction=r),
         U(3, 4), V(3, 4), **LAYER)  # fmt: skip
    case(
        "F.cross_entropy",
        lambda T, F, x, y, r=reduction: F.cross_entropy(x, y, reduction=r),
        U(5, 3),
        N(5),
        **LAYER,
    )
    case("F.cross_entropy", lambda T, F, x, y, w, r=reduction: F.cross_entropy(
        x, y, w, ignore_index=1, reduction=r, label_smoothing=0.1),
        U(5, 3, 2), N(5, 2), constant(P(3)), **LAYER)  # fmt: skip
    case("F.cross_entropy", lambda T, F, x, y, r=reduction: F.cross_entropy(x, y, reduction=r, label_smoothing=0.2),
         U(5, 3), V(5, 3), **LAYER)  # fmt: skip
    case("F.nll_loss", lambda T, F, x, y, w, r=reduction: F.nll_loss(x, y, w, reduction=r),
         U(5, 3), N(5), constant(P(3)), **LAYER)  # fmt: skip
    case("F.kl_div", lambda T, F, x, y, r=reduction: F.kl_div(x, y, reduction=r), U(3, 4), V(3, 4), **LAYER)
    case("F.kl_div", lambda T, F, x, y, r=reduction: F.kl_div(x, y, reduction=r, log_target=True),
         U(3, 4), U(3, 4), **LAYER)  # fmt: skip
case("F.mse_loss", lambda T, F, x, y: F.mse_loss(x, y), U(0, 2), U(0, 2), grad=False, **LAYER)
case("F.kl_div", lambda T, F, x, y: F.kl_div(x, y, reduction="batchmean"),
     U(3, 4), constant(C([[0.0, 0.2, 0.3, 0.5]] * 3)), **LAYER)  # fmt: skip
case("F.cross_entropy", lambda T, F, x: F.cross_entropy(x, T.tensor(1)), U(3), **LAYER)
case(
    "F.cross_entropy", lambda T, F, x, y: F.cross_entropy(x * 300, y), U(4, 3), N(4), tolerance=1e-7, **LAYER
)
case(
    "F.nll_loss",
    lambda T, F, x, y: F.nll_loss(x, y, ignore_index=2, reduction="sum"),
    U(4, 3, 2),
    N(4, 2),
    **LAYER,
)
case("F.binary_cross_entropy", lambda T, F, x, y, w: F.binary_cross_entropy(x, y, w),
     V(3, 4), V(3, 4), constant(P(4)), **LAYER)  # fmt: skip
case("F.binary_cross_entropy", lambda T, F, x, y: F.binary_cross_entropy(x, y),
     C([0.0, 1.0, 1e-30, 0.5]), constant(C([0.0, 1.0, 1.0, 1.0])), second=False, **LAYER)  # fmt: skip
case("F.binary_cross_entropy_with_logits", lambda T, F, x, y, p: F.binary_cross_entropy_with_logits(
    x, y, pos_weight=p), U(3, 4), V(3, 4), constant(P(4)), **LAYER)  # fmt: skip
case("F.binary_cross_entropy_with_logits", lambda T, F, x, y, w: F.binary_cross_entropy_with_logits(
    x, y, w, reduction="sum"), C([-900.0, 900.0, 0.0]), C([0.0, 1.0, 0.5]), constant(P(3)), **LAYER)  # fmt: skip

# losses of single numbers: what has no dimensions is where NumPy 1.26 slips to float64

for name in "mse_loss l1_loss smooth_l1_loss".split():
    case(f"F.{name}", lambda T, F, x, y, f=name: getattr(F, f)(x, y * 1.3), U(), U(), **LAYER)
for name in "binary_cross_entropy kl_div".split():
    case(f"F.{name}", lambda T, F, x, y, f=name: getattr(F, f)(x, y), V(), V(), **LAYER)
case(
    "F.binary_cross_entropy_with_logits",
    lambda T, F, x, y: F.binary_cross_entropy_with_logits(x, y),
    U(),
    V(),
    **LAYER,
)
