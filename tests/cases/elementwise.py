"""Elementwise, two operands: equal shapes, broadcasting, 0-d, size one, empty."""

import numpy as np

from cases.table import PAIRS, C, P, U, V, case

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

# less common functions

for name in "tan atan sinh cosh exp2".split():
    for shape in ((3, 4), (), (0, 2)):
        case(name, lambda T, F, x, f=name: getattr(T, f)(x), U(*shape))
for name in "log2 log10".split():
    for shape in ((3, 4), (), (0, 2)):
        case(name, lambda T, F, x, f=name: getattr(T, f)(x), P(*shape))
for name in "asin acos".split():
    for shape in ((3, 4), (), (0, 2)):
        case(name, lambda T, F, x, f=name: getattr(T, f)(x), V(*shape))
for a, b in PAIRS:
    case("atan2", lambda T, F, x, y: T.atan2(x, y), a, b)
    case("fmod", lambda T, F, x, y: T.fmod(x, y * 1.1), a, b)
case("fmod", lambda T, F, x: (T.fmod(x, 0.7), x.fmod(-1.1)), U(3, 4))
case("lerp", lambda T, F, x, y: (T.lerp(x, y, 0.3), x.lerp(y, 0.8), T.lerp(x, y, 1.7)), U(3, 4), U(4))
case("lerp", lambda T, F, x, y, w: T.lerp(x, y, w), U(3, 4), U(3, 4), U(4))
case("lerp", lambda T, F, x, y, w: T.lerp(x, y, w), U(), U(2), V())
case("addcmul", lambda T, F, x, y, z: T.addcmul(x, y, z), U(3, 4), U(3, 4), U(4))
case("addcmul", lambda T, F, x, y, z: x.addcmul(y, z, value=3), U(), U(2, 1), U(3))
case(
    "addcdiv", lambda T, F, x, y, z: (T.addcdiv(x, y, z), x.addcdiv(y, z, value=0.5)), U(3, 4), U(3, 4), P(4)
)
case("nan_to_num", lambda T, F, x: (T.nan_to_num(x), x.nan_to_num(2.0, 3.0, -4.0)), U(3, 4))
case(
    "nan_to_num",
    lambda T, F, x: T.nan_to_num(x, posinf=5.0),
    C([np.nan, np.inf, -np.inf, 1.0]),
    second=False,
    other_dtypes=False,
)

# derivatives that are a convention: at nan, at a tie, at a bound

KINK = dict(second=False, other_dtypes=False)
AT_NAN = C([np.nan, 1.0, 2.0, -2.0, np.inf, -np.inf, 0.0])
OTHER = C([1.0, np.nan, 2.0, 3.0, np.inf, 1.0, -0.0])
for name in "abs sign relu square nan_to_num".split():
    case(name, lambda T, F, x, f=name: getattr(T, f)(x), AT_NAN, **KINK)
for name in "maximum minimum".split():
    case(name, lambda T, F, x, y, f=name: getattr(T, f)(x, y), AT_NAN, OTHER, **KINK)
case(
    "clamp",
    lambda T, F, x: (x.clamp(0, 2), x.clamp(min=1), x.clamp(max=-2), x.clamp(2, 1)),
    AT_NAN,
    **KINK,
)
case("clamp", lambda T, F, x, y: (x.clamp(y), x.clamp(max=y), x.clamp(y, y + 1)), AT_NAN, OTHER, **KINK)
case("clamp", lambda T, F, x, y: T.clamp(x, y, y - 1), AT_NAN, OTHER, **KINK)
case("clamp", lambda T, F, x, a, b: T.clamp(x, a, b), U(3, 4), U(4), U(), other_dtypes=False)
case(
    "clamp",  # PyTorch does not accept a number beside a Tensor
    lambda T, F, x, y: (x.clamp(-1, y), x.clamp(y, 1.5), x.clamp(max=1, min=y), T.clamp(x, y, -2)),
    U(3, 4),
    U(4),
    torch=lambda T, F, x, y: (
        *(x.clamp(T.full_like(y, -1), y), x.clamp(y, T.full_like(y, 1.5))),
        *(x.clamp(y, T.full_like(y, 1)), x.clamp(y, T.full_like(y, -2))),
    ),
    other_dtypes=False,
)
case(
    "relu", lambda T, F, x: T.sqrt(T.relu(x)), C([-1.0, 0.0, 4.0]), **KINK
)  # an infinite gradient reaches a flat function
case("pow", lambda T, F, x, y: T.pow(x, y), C([0.0, 0.0, 2.0, 0.0]), C([0.0, 2.0, 0.0, -1.0]), **KINK)
case("pow", lambda T, F, x: (x**0.5, x**-0.5), C([4.0, np.inf]), **KINK)
