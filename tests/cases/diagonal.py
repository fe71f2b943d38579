"""Triangles and diagonals."""

from cases.table import U, case

for diagonal in (0, 1, -2):
    case("tril", lambda T, F, x, d=diagonal: T.tril(x, d), U(3, 4))
    case("triu", lambda T, F, x, d=diagonal: T.triu(x, diagonal=d), U(2, 4, 3))
for at in (
    {},
    {"offset": 1},
    {"offset": -2},
    {"offset": 9},
    {"dim1": -1, "dim2": 0},
    {"offset": 1, "dim1": 2},
):
    case("diagonal", lambda T, F, x, at=at: (T.diagonal(x, **at), x.diagonal(**at)), U(3, 4, 2))
    if "dim1" not in at and at.get("offset") != 9:
        case("diag_embed", lambda T, F, x, at=at: (T.diag_embed(x, **at), x.diag_embed(**at)), U(3, 2))
case("diag_embed", lambda T, F, x: (T.diag_embed(x, 1, 0, 2), x.diag_embed(dim1=1, dim2=0)), U(3, 2))
case("diagonal", lambda T, F, x: (T.diagonal(input=x), x.diagonal(1, 1, 0)), U(0, 3))
case("diag", lambda T, F, x: (T.diag(x), x.diag(1), T.diag(x, diagonal=-2)), U(3))
case("diag", lambda T, F, x: (T.diag(x), x.diag(1), T.diag(input=x, diagonal=-1)), U(3, 4))
case("diag", lambda T, F, x: (T.diag(x), x.diag(1)), U(0))
case("trace", lambda T, F, x: (T.trace(x), x.trace()), U(3, 4))
case("trace", lambda T, F, x: T.trace(input=x), U(0, 3))
