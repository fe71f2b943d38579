"""Indexing (test_indexing.py has the rest), and operations written as attributes."""

from cases.table import LAYER, B, C, N, U, case

case("index_select", lambda T, F, x, i: (T.index_select(x, 0, i), x.index_select(-1, i)), U(3, 4), N(5))
case("index_select", lambda T, F, x, i: T.index_select(x, 0, i), U(3, 4), N(0))
case("index_select", lambda T, F, x, i: (x.index_select(0, i), x.index_select(1, i)), U(3, 4), N())
case("nonzero", lambda T, F, x: (T.nonzero(x > 0), *x.nonzero(as_tuple=True)), U(3, 4), grad=False)
case("nonzero", lambda T, F, x: (x.nonzero(), (x * 0).nonzero(), (x > 9).nonzero()), U(), grad=False)
case("masked_select", lambda T, F, x, m: T.masked_select(x, m), U(3, 4), B(3, 4))
case("masked_select", lambda T, F, x, m: x.masked_select(m), U(3, 4), B(4))
case("masked_select", lambda T, F, x, m: (T.masked_select(input=x, mask=m), x.masked_select(m > m)), U(), B())
case("masked_select", lambda T, F, x, m: T.masked_select(x, m), U(3), B(2, 1))
case("index_select", lambda T, F, x, i: T.index_select(input=x, dim=0, index=i), U(), C([0]))
case("index_select", lambda T, F, x, i: x.index_select(1, i), U(3, 4), C([3, 0], "int32"))

# embedding

case("F.embedding", lambda T, F, i, w: F.embedding(i, w), N(2, 3, high=4), U(4, 3), **LAYER)
case("F.embedding", lambda T, F, i, w: F.embedding(i, w, 1), N(5, high=4), U(4, 3), second=False, **LAYER)
case("F.embedding", lambda T, F, i, w: F.embedding(i, w), N(0, high=4), U(4, 3), parity=False, **LAYER)
