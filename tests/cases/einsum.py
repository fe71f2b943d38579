"""Sums of products over named dimensions."""

from cases.table import LAYER, U, case

ONE = {  # equation: shape
    "ij->ji": (3, 4), "ij": (3, 4), "ji": (3, 4), "ii": (3, 3), "ii->i": (3, 3), "ij->": (3, 4), "ij->j": (0, 4),
    "...ij->...ji": (2, 3, 4), "i...->...": (2, 3, 4), "...": (2, 3), "...->": (2, 3), "iij->ji": (3, 3, 2),
    "iii->i": (2, 2, 2), "bA": (3, 4), "": (), " i j -> j i ": (3, 1), "i...i": (3, 2, 3), "ijij->j": (2, 3, 2, 3),
}  # fmt: skip
TWO = {  # equation: shapes
    "ij,jk->ik": ((3, 4), (4, 2)), "ij,jk": ((3, 4), (4, 2)), "i,i": ((4,), (4,)), "i,j->ij": ((3,), (4,)),
    "i,j->": ((3,), (4,)), "bij,bjk->bik": ((2, 3, 4), (2, 4, 2)), "bij,bij->b": ((2, 3, 4), (2, 3, 4)),
    "ij,ij->ij": ((3, 4), (3, 4)), "ij,kj->ki": ((3, 4), (2, 4)), "...ij,...jk->...ik": ((2, 3, 4), (4, 2)),
    "...i,...i": ((5, 1, 4), (2, 4)), "bhqd,bhkd->bhqk": ((2, 2, 3, 4), (2, 2, 5, 4)), "ij,j->i": ((3, 0), (0,)),
    "ij,jk->ki": ((3, 1), (4, 2)), "ij,ij->i": ((1, 4), (3, 1)), "ii,ij->j": ((3, 3), (3, 2)), ",ij->ij": ((), (3, 2)),
    "a...b,b...->...a": ((2, 3, 4), (4, 3)), "i,i->i": ((0,), (0,)), "ik,jk->j": ((3, 4), (2, 4)),
    "ab,cd->dbca": ((2, 3), (2, 4)), "ij,kl->ik": ((2, 3), (4, 2)),
}  # fmt: skip
MORE = {
    "ij,jk,kl->il": ((2, 3), (3, 4), (4, 2)), "i,i,i": ((3,), (3,), (3,)), "ij,ij,ij->j": ((2, 3), (2, 1), (1, 3)),
    "bn,anm,bm->ba": ((2, 3), (2, 3, 4), (2, 4)), "i,j,k->kji": ((2,), (3,), (2,)),
}  # fmt: skip
for equation, a in ONE.items():
    case("einsum", lambda T, F, x, e=equation: T.einsum(e, x), U(*a), **LAYER)
for equation, (a, b) in TWO.items():
    case("einsum", lambda T, F, x, y, e=equation: T.einsum(e, x, y), U(*a), U(*b), **LAYER)
for equation, (a, b, c) in MORE.items():
    case("einsum", lambda T, F, x, y, z, e=equation: T.einsum(e, x, y, z), U(*a), U(*b), U(*c), **LAYER)
case("einsum", lambda T, F, x, y: (T.einsum(x, [0, 1], y, [1, 2], [2, 0]), T.einsum("ij,jk", [x, y])), U(2, 3), U(3, 4),
     **LAYER)  # fmt: skip
case(
    "einsum",
    lambda T, F, x, y: T.einsum(x, [..., 1, 30], y, [30, 2], [2, ..., 1]),
    U(2, 2, 3),
    U(3, 4),
    **LAYER,
)
case("einsum", lambda T, F, x, y: T.einsum("ij,jk", x, y), U(2, 3), U(3, 4))

case("tensordot", lambda T, F, x, y: (T.tensordot(x, y), T.tensordot(x, y, 2)), U(2, 3, 4), U(3, 4, 2))
case("tensordot", lambda T, F, x, y: T.tensordot(x, y, 0), U(2, 3), U(4))
case(
    "tensordot",
    lambda T, F, x, y: T.tensordot(a=x, b=y, dims=([1, 0], [0, -1])),
    U(2, 3, 4),
    U(3, 5, 2),
    **LAYER,
)
case("tensordot", lambda T, F, x, y: T.tensordot(x, y, dims=1), U(0, 3), U(3, 2), **LAYER)
case("tensordot", lambda T, F, x, y: T.tensordot(x, y, dims=1), U(2, 0), U(0, 2), **LAYER)
