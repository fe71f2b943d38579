"""Triangles and diagonals."""

from cases.table import U, case

for diagonal in (0, 1, -2):
    case("tril", lambda T, F, x, d=diagonal: T.tril(x, d), U(3, 4))
    case("triu", lambda T, F, x, d=diagonal: T.triu(x, diagonal=d), U(2, 4, 3))
