"""Padding."""

from cases.table import U, case

case(
    "F.pad",
    lambda T, F, x: (F.pad(x, (1, 2)), F.pad(x, (0, 1, 2, 0), value=1.5)),
    U(3, 4),
    other_dtypes=False,
)
case("F.pad", lambda T, F, x: (F.pad(x, (-1, 1)), F.pad(x, (0, -2, -1, 0))), U(3, 4))
for mode in ("reflect", "replicate", "circular"):
    case(
        "F.pad",
        lambda T, F, x, m=mode: (F.pad(x, (1, 2), m), F.pad(x, (0, 1), mode=m)),
        U(3, 4),
        other_dtypes=False,
    )
    case(
        "F.pad",
        lambda T, F, x, m=mode: (F.pad(x, (3, 3), m), F.pad(x, (1, 0), m)),
        U(2, 3, 4),
        other_dtypes=False,
    )
    case("F.pad", lambda T, F, x, m=mode: (F.pad(x, (1, 2, 2, 0), m), F.pad(x, (0, 0, 1, 1), m)), U(2, 3, 4),
         other_dtypes=False)  # fmt: skip
    case("F.pad", lambda T, F, x, m=mode: F.pad(x, (1, 2, 2, 1), m), U(1, 2, 3, 4), other_dtypes=False)
    case("F.pad", lambda T, F, x, m=mode: F.pad(x, (1, 2, 2, 1, 0, 1), m), U(2, 2, 3, 3), other_dtypes=False)
    case(
        "F.pad", lambda T, F, x, m=mode: F.pad(x, (1, 0, 0, 1, 1, 1), m), U(1, 2, 2, 2, 2), other_dtypes=False
    )
    case("F.pad", lambda T, F, x, m=mode: (F.pad(x, (-1, 1), m), F.pad(x, (1, -2), m), F.pad(x, (-1, -1), m)), U(3, 4),
         other_dtypes=False)  # fmt: skip
    case("F.pad", lambda T, F, x, m=mode: F.pad(x, (1, 1), m), U(0, 3, 4), other_dtypes=False)
case(
    "F.pad",
    lambda T, F, x: (F.pad(x, (5, 7), "replicate"), F.pad(x, (4, 0), "circular")),
    U(2, 4),
    other_dtypes=False,
)
case("F.pad", lambda T, F, x: (F.pad(x, (1, -1)), F.pad(x, (-2, 3), value=2.0)), U(3, 4), other_dtypes=False)
