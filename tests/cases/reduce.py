"""Reductions over all dimensions, one or several, kept or not; 0-d, size one, empty."""

import numpy as np

from cases.table import B, C, D, U, case

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
case(
    "norm",
    lambda T, F, x: (T.norm(input=x, p=2, dim=0), x.norm(dtype=T.float64)),
    U(3, 4),
    other_dtypes=False,
)
case("sum", lambda T, F, x: T.sum(input=x, dim=0, keepdim=True, dtype=T.float64), U(3, 4))
case(
    "var",
    lambda T, F, x: (T.var(x, False), x.var(True), T.var(input=x, dim=0, correction=0, keepdim=True)),
    U(3, 4),
)
case("std", lambda T, F, x: (T.std(x, False), T.std(x, 0, True, True), x.std(dim=[0, 1])), U(3, 4))
case("var_mean", lambda T, F, x: (*T.var_mean(x), *T.var_mean(x, 0, correction=0, keepdim=True)), U(3, 4))
case("std_mean", lambda T, F, x: (*T.std_mean(x, dim=1), *T.std_mean(x, False)), U(3, 4))
case("max", lambda T, F, x, y: (T.max(x, other=y), T.min(input=x, other=y)), D(3, 4), C(0.33))
case("count_nonzero", lambda T, F, x: (T.count_nonzero(x > 1), x.count_nonzero(0), x.count_nonzero(dim=(0, 1))),
     U(3, 4), grad=False)  # fmt: skip
case(
    "count_nonzero",
    lambda T, F, x: T.count_nonzero(x),
    C([0.0, np.nan, -0.0, 2.0]),
    grad=False,
    other_dtypes=False,
)
case("count_nonzero", lambda T, F, x: (T.count_nonzero(x), x.count_nonzero(0)), U(0, 3), grad=False)
LARGE = C(np.linspace(300, 1000, 400).reshape(20, 20))  # the sum and the squares overflow float16
for name in "mean std norm".split():
    case(name, lambda T, F, x, f=name: getattr(T, f)(x), LARGE, other_dtypes=name != "norm", second=False)
case("var", lambda T, F, x: T.var(x, 0), C(np.linspace(300, 700, 400).reshape(20, 20)), second=False)
for p in (0.5, -1, -2, -0.5):  # nan or inf unless the derivative at 0 is treated separately
    case(
        "norm",
        lambda T, F, x, p=p: (T.norm(x, p), x.norm(p, 1), x.norm(p, (0, 1), True)),
        U(3, 4),
        other_dtypes=False,
    )
    case("norm", lambda T, F, x, p=p: (x.norm(p, 0), x.norm(p)), C([[0.0, 3.0, 0.0], [-4.0, 1.5, 0.0]]), second=False,
         other_dtypes=False)  # fmt: skip
