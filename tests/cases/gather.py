"""Picking and adding at an index along one dimension."""

from cases.table import N, U, case

case("gather", lambda T, F, x, i: T.gather(x, 1, i), U(3, 4), N(3, 5))
case("gather", lambda T, F, x, i: x.gather(0, i), U(3, 4), N(2, 3))
case("gather", lambda T, F, x, i: x.gather(-1, i), U(3, 2, 4), N(2, 1, 6, high=4))
case("gather", lambda T, F, x, i: x.gather(0, i), U(5), N(0))
