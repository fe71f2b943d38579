"""Choosing and comparing."""

import numpy as np

from cases.table import PAIRS, B, C, N, U, case, constant

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
