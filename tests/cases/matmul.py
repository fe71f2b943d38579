"""Products."""

from cases.table import LAYER, U, case

case("matmul", lambda T, F, x, y: T.matmul(x, y), U(3, 4), U(4, 2))
for a, b in [
    ((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 2)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (4,)), ((4,), (2, 4, 3)),
    ((2, 3, 4), (2, 4, 2)), ((3, 4), (2, 4, 5)), ((5, 1, 3, 4), (2, 4, 2)), ((1, 1), (1, 1)), ((0, 3), (3, 2)),
    ((2, 0), (0, 3)), ((0, 2, 3), (3, 4)), ((2, 1, 3), (1, 3, 2)), ((2, 2, 3, 1), (1, 1, 1, 2)),
    ((0,), (0,)), ((2, 3, 0), (0, 4)), ((1, 7, 13), (13, 5)),
]:  # fmt: skip
    case("matmul", lambda T, F, x, y: x @ y, U(*a), U(*b))
case("mm", lambda T, F, x, y: T.mm(x, y), U(3, 4), U(4, 2))
case("bmm", lambda T, F, x, y: T.bmm(x, y), U(2, 3, 4), U(2, 4, 1))
case("dot", lambda T, F, x, y: T.dot(x, y), U(4), U(4))
case("outer", lambda T, F, x, y: T.outer(x, y), U(3), U(4))
case("F.linear", lambda T, F, x, w, b: F.linear(x, w, b), U(3, 4), U(2, 4), U(2), **LAYER)
case("F.linear", lambda T, F, x, w: F.linear(x, w), U(2, 3, 4), U(5, 4), **LAYER)
case("F.linear", lambda T, F, x, w, b: F.linear(x, w, b), U(4), U(2, 4), U(2), **LAYER)
case("F.linear", lambda T, F, x, w, b: F.linear(x, w, b), U(0, 4), U(2, 4), U(2), **LAYER)
case("dot", lambda T, F, x, y: T.dot(input=x, tensor=y), U(4), U(4))
case("outer", lambda T, F, x, y: (T.ger(x, vec2=y), T.outer(input=x, vec2=y)), U(3), U(4))
case("mm", lambda T, F, x, y: T.mm(input=x, mat2=y), U(3, 4), U(4, 2))
case("mv", lambda T, F, x, y: (T.mv(x, y), x.mv(vec=y)), U(3, 4), U(4))
case(
    "addmm", lambda T, F, x, a, b: (T.addmm(x, a, b), x.addmm(a, b, beta=2, alpha=3)), U(2), U(3, 4), U(4, 2)
)
case("addmm", lambda T, F, x, a, b: T.addmm(input=x, mat1=a, mat2=b, beta=0), U(3, 2), U(3, 4), U(4, 2))
case("addmm", lambda T, F, x, a, b: T.addmm(x, a, b), U(), U(3, 0), U(0, 2))
case("baddbmm", lambda T, F, x, a, b: (T.baddbmm(x, a, b), x.baddbmm(a, b, alpha=2, beta=3)), U(2, 3, 2), U(2, 3, 4),
     U(2, 4, 2))  # fmt: skip
case(
    "baddbmm",
    lambda T, F, x, a, b: T.baddbmm(input=x, batch1=a, batch2=b, beta=0),
    U(2),
    U(2, 3, 4),
    U(2, 4, 2),
)
case("matmul", lambda T, F, x, y: T.matmul(input=x, other=y), U(3, 4), U(4, 2))
