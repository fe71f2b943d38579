"""Indexing (test_indexing.py has the rest) and what is spelled as an attribute."""

from cases.table import LAYER, N, U, case

case("Tensor.__getitem__", lambda T, F, x: (x[1], x[1:, ::2], x[..., None, 0], x[-1, -1]), U(3, 4))
case("Tensor.__getitem__", lambda T, F, x, i: (x[i], x[:, i], x[i, i], x[i] * x[0]), U(3, 4), N(5))
case("Tensor.to", lambda T, F, x: (x.to(T.float64) * 2, x.double(), x.type_as(x)), U(3, 4))
case("Tensor.__iter__", lambda T, F, x: tuple(row * 2 for row in x), U(3, 2))

# embedding

case("F.embedding", lambda T, F, i, w: F.embedding(i, w), N(2, 3, high=4), U(4, 3), **LAYER)
case("F.embedding", lambda T, F, i, w: F.embedding(i, w, 1), N(5, high=4), U(4, 3), second=False, **LAYER)
case("F.embedding", lambda T, F, i, w: F.embedding(i, w), N(0, high=4), U(4, 3), parity=False, **LAYER)
