"""Sorting, distinct values, counts."""

import numpy as np

from cases.table import C, D, N, U, case

TIES = C([[2.0, 1.0, 2.0, 1.0], [3.0, 3.0, 3.0, -1.0], [0.0, 1.0, 0.0, 1.0]])
NANS = C([2.0, np.nan, -np.inf, np.nan, np.inf, 0.0])
for at in ({}, {"dim": 0}, {"dim": -2, "descending": True}, {"descending": True}, {"stable": True, "dim": 1}):
    case("sort", lambda T, F, x, at=at: tuple(T.sort(x, **at)), D(3, 4))
    case("argsort", lambda T, F, x, at=at: (T.argsort(x, **at), x.argsort(**at)), D(3, 4), grad=False)
    stable = {**at, "stable": True}
    case("sort", lambda T, F, x, at=stable: tuple(x.sort(**at)), TIES, second=False)
    case("argsort", lambda T, F, x, at=stable: T.argsort(x, **at), TIES, grad=False)
case("sort", lambda T, F, x: (x.sort().values * 2, x.sort(0, True).indices), D(3, 4))
case("sort", lambda T, F, x: (*T.sort(input=x), *x.sort(0, descending=True)), U())
case("sort", lambda T, F, x: (*x.sort(0), *x.sort(1)), U(0, 3))
case("sort", lambda T, F, x: (*x.sort(0), *x.sort(1)), U(1, 3))
case(
    "sort",
    lambda T, F, x: (*x.sort(), *x.sort(descending=True, stable=True)),
    NANS,
    grad=False,
    other_dtypes=False,
)
for at in (
    {"k": 2},
    {"k": 1, "dim": 0},
    {"k": 3, "largest": False},
    {"k": 0},
    {"k": 4, "dim": 1},
    {"k": 2, "dim": -2},
):
    case("topk", lambda T, F, x, at=at: tuple(T.topk(x, **at)), D(3, 4), other_dtypes=False)
case("topk", lambda T, F, x: (*x.topk(2, -1, False, True), *T.topk(input=x, k=1)), D(5), other_dtypes=False)
case(
    "topk",
    lambda T, F, x: (x.topk(3).values, x.topk(2, largest=False).values),
    NANS,
    grad=False,
    other_dtypes=False,
)
case("topk", lambda T, F, x: (x.topk(3).values, x.topk(2, 0, largest=False).values), TIES, grad=False)
case("topk", lambda T, F, x: (*x.topk(1), x.topk(1).values * 2), U())
case("topk", lambda T, F, x: (*x.topk(0), *x.topk(2, 1)), U(0, 3))
for at in (
    {},
    {"return_inverse": True},
    {"return_counts": True},
    {"return_inverse": True, "return_counts": True},
):
    case("unique", lambda T, F, x, at=at: T.unique(x, **at), TIES, grad=False)
    case("unique", lambda T, F, x, at=at: x.unique(dim=1, **at), TIES, grad=False)
    case(
        "unique", lambda T, F, x, at=at: x.unique(True, dim=-2, **at), C([[1, 2], [0, 5], [1, 2]]), grad=False
    )
    case("unique", lambda T, F, x, at=at: T.unique(x, **at), U(), grad=False)
    case("unique", lambda T, F, x, at=at: T.unique(x, **at), U(0, 3), grad=False)
case("unique", lambda T, F, x: T.unique(x, return_counts=True), NANS, grad=False, other_dtypes=False)
case(
    "bincount",
    lambda T, F, x: (T.bincount(x), x.bincount(minlength=5), T.bincount(x, None, 2)),
    N(6),
    grad=False,
)
case("bincount", lambda T, F, x, w: T.bincount(x, w), N(6), U(6), grad=False)
case("bincount", lambda T, F, x: (T.bincount(input=x), x.bincount(minlength=3)), N(0), grad=False)
LONG = C(np.arange(600).reshape(2, 300) % 7.0)  # NumPy's unstable sort keeps ties in order for few elements
for at in ({}, {"descending": True}):
    case("argsort", lambda T, F, x, at=at: T.argsort(x, stable=True, **at), LONG, grad=False)
