"""Reading and adding at an index along one dimension."""

import numpy as np

from cases.table import B, C, N, U, case, constant

case("gather", lambda T, F, x, i: T.gather(x, 1, i), U(3, 4), N(3, 5))
case("gather", lambda T, F, x, i: x.gather(0, i), U(3, 4), N(2, 3))
case("gather", lambda T, F, x, i: x.gather(-1, i), U(3, 2, 4), N(2, 1, 6, high=4))
case("gather", lambda T, F, x, i: x.gather(0, i), U(5), N(0))
case("gather", lambda T, F, x, i: (T.gather(input=x, dim=0, index=i), x.gather(-1, i)), U(), N(high=1))
case("gather", lambda T, F, x, i: x.gather(1, i), U(3, 4), C(np.array([[1, 3]]), "int32"))
case("gather", lambda T, F, x, i: x.gather(1, i), U(3, 4), N(0, 5))

PLACES, ROWS, ONE = N(2, 5), C([2, 0, 2]), C([[2, 0, 1, 1], [0, 1, 2, 0]])
case("scatter_add", lambda T, F, x, i, s: T.scatter_add(x, 0, i, s), U(3, 6), PLACES, U(2, 5))
case("scatter_add", lambda T, F, x, i, s: x.scatter_add(-1, i, s), U(2, 3), PLACES, U(4, 5), parity=False)
case("scatter_add", lambda T, F, x, i, s: T.scatter_add(input=x, dim=0, index=i, src=s), U(3), N(0), U(0))
case("scatter_add", lambda T, F, x, i, s: x.scatter_add(0, i, s), U(), N(high=1), U())
case("scatter_add", lambda T, F, x, i, s: x.scatter_add(1, i, s), U(2, 1, 3), N(2, 4, 3, high=1), U(2, 4, 3))
case("scatter", lambda T, F, x, i, s: T.scatter(x, 0, i, s), U(3, 6), ONE, U(2, 5), parity=False)
case("scatter", lambda T, F, x, i, s: T.scatter(x, 0, i, s), U(3, 6), ONE, constant(U(2, 5)))
case("scatter_add", lambda T, F, x, i, s: T.scatter_add(x, 0, i, s), U(3, 6), ONE, constant(U(3, 5)))
case("scatter", lambda T, F, x, i, s: x.scatter(1, i, s), U(3, 3), C([[2, 0], [1, 2]]), U(2, 2))
case(
    "scatter",
    lambda T, F, x, i: (T.scatter(x, 0, i, 2), x.scatter(0, i, value=1), x.scatter(1, i, 3)),
    U(3, 4),
    ONE,
)
case(
    "scatter",
    lambda T, F, x, i, s: (T.scatter(input=x, dim=0, index=i, src=s), x.scatter(0, i, 2)),
    U(),
    N(high=1),
    U(),
)
case("scatter", lambda T, F, x, i, s: (x.scatter(0, i, s), x.scatter(1, i, 1)), U(3, 4), N(0, 4), U(0, 4))
case("index_add", lambda T, F, x, i, s: T.index_add(x, 0, i, s), U(3, 4), ROWS, U(3, 4))
case("index_add", lambda T, F, x, i, s: x.index_add(-1, i, s, alpha=2), U(2, 3), ROWS, U(2, 3))
case("index_add", lambda T, F, x, i, s: x.index_add(1, i, s), U(2, 3, 2), C([1, 1], "int32"), U(2, 2, 2))
case(
    "index_add", lambda T, F, x, i, s: T.index_add(input=x, dim=0, index=i, source=s), U(3, 4), N(0), U(0, 4)
)
case("index_add", lambda T, F, x, i, s: x.index_add(0, i, s), U(), N(1, high=1), U())
case(
    "index_copy",
    lambda T, F, x, i, s: (T.index_copy(x, 0, i, s), x.index_copy(1, i, s.T)),
    U(3, 3),
    C([2, 0]),
    U(2, 3),
)
case("index_fill", lambda T, F, x, i: (T.index_fill(x, 0, i, 2), x.index_fill(-1, i, value=1)), U(3, 4), ROWS)
case("index_fill", lambda T, F, x, i, v: x.index_fill(1, i, v), U(3, 4), ROWS, U())
case("index_put", lambda T, F, x, i, v: T.index_put(x, (i,), v), U(3, 4), C([2, -3]), U(2, 4))
case("index_put", lambda T, F, x, i, v: x.index_put((i, i), v), U(3, 4), C([2, 0]), U())
case(
    "index_put", lambda T, F, x, i, j, v: x.index_put([i, j], v), U(3, 4), C([[2], [0]]), C([0, 3, -2]), U(3)
)
case("index_put", lambda T, F, x, i, v: x.index_put((i,), v, True), U(3, 4), ROWS, U(4))
case("index_put", lambda T, F, x, i, v: x.index_put((i, i), v, accumulate=True), U(3, 4, 2), ROWS, U(3, 1))
case("index_put", lambda T, F, x, m, v: T.index_put(input=x, indices=(m,), values=v), U(3, 4), B(3, 4), U())
case("index_put", lambda T, F, x, m, v: x.index_put((m,), v, accumulate=True), U(3, 4), B(3), U(4))
case(
    "index_put",
    lambda T, F, x, m, i, v: x.index_put((m, i), v),
    U(3, 4),
    C([True, False, True]),
    C([1, 2]),
    U(2),
)
case(
    "index_put", lambda T, F, x, i, v: (x.index_put((i,), v), x.index_put((i,), v, True)), U(3, 4), N(0), U()
)
case("repeat_interleave", lambda T, F, x: (T.repeat_interleave(x, 2), x.repeat_interleave(3, 1)),
     U(3, 4))  # fmt: skip
case("repeat_interleave", lambda T, F, x, r: (x.repeat_interleave(r, dim=0), x.repeat_interleave(r, 0, output_size=3)),
     U(3, 4), C([2, 0, 1]))  # fmt: skip
case("repeat_interleave", lambda T, F, x, r: (T.repeat_interleave(input=x, repeats=r, dim=-1), x.repeat_interleave(r)),
     U(2, 3), C([2]))  # fmt: skip
case("repeat_interleave", lambda T, F, x: x.repeat_interleave(3), U())
case("repeat_interleave", lambda T, F, x: (x.repeat_interleave(3, 1), x.repeat_interleave(2, 0)), U(0, 3))
case("repeat_interleave", lambda T, F, r: T.repeat_interleave(r), C([2, 0, 3]), grad=False)

case("Tensor.scatter_", lambda T, F, x, i, s: (x.clone().scatter_(1, i, s), x.clone().scatter_(1, i, 2)), U(3, 4),
     C([[2, 0], [1, 3]]), U(2, 2))  # fmt: skip
case("Tensor.scatter_", lambda T, F, i: T.zeros(3, 4).scatter_(1, i.unsqueeze(1), 1.0), N(3), grad=False)
case("Tensor.scatter_add_", lambda T, F, x, i, s: x.clone().scatter_add_(0, i, s), U(3, 6), PLACES, U(2, 5))
case(
    "Tensor.index_add_", lambda T, F, x, i, s: x.clone().index_add_(0, i, s, alpha=2), U(3, 4), ROWS, U(3, 4)
)
case("Tensor.index_copy_", lambda T, F, x, i, s: x.clone().index_copy_(0, i, s), U(3, 4), C([2, 0]), U(2, 4))
case("Tensor.index_fill_", lambda T, F, x, i: x.clone().index_fill_(0, i, 3), U(3, 4), ROWS)
case("Tensor.index_put_", lambda T, F, x, i, v: x.clone().index_put_((i,), v), U(3, 4), C([2, 0]), U(2, 4))
