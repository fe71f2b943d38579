"""Padding."""

from cases.table import U, case

case(
    "F.pad",
    lambda T, F, x: (F.pad(x, (1, 2)), F.pad(x, (0, 1, 2, 0), value=1.5)),
    U(3, 4),
    other_dtypes=False,
)
case("F.pad", lambda T, F, x: (F.pad(x, (-1, 1)), F.pad(x, (0, -2, -1, 0))), U(3, 4))
