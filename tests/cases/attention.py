"""Scaled dot-product attention: both kinds of masks, queries that see no key, broadcasting, empty lengths."""

import numpy as np

from cases.table import LAYER, B, C, U, case, constant


def sdpa(F, *inputs, **options):
    return F.scaled_dot_product_attention(*inputs, **options)


NAME = "F.scaled_dot_product_attention"
Q, K, V = U(2, 2, 3, 4, high=1, low=-1), U(2, 2, 5, 4, high=1, low=-1), U(2, 2, 5, 6)
case(NAME, lambda T, F, q, k, v: sdpa(F, q, k, v), Q, K, V, **LAYER)
case(NAME, lambda T, F, q, k, v: sdpa(F, q, k, v, scale=0.3), Q, K, V, **LAYER)
case(NAME, lambda T, F, q, k, v: sdpa(F, q, k, v, is_causal=True), Q, K, V, **LAYER)
case(
    NAME, lambda T, F, q, k, v: sdpa(F, k, q, v, is_causal=True), Q, K, U(2, 2, 3, 6), **LAYER
)  # more queries than keys
case(NAME, lambda T, F, x: sdpa(F, x, x, x, is_causal=True), U(3, 4), **LAYER)
for shape in ((3, 5), (2, 1, 3, 5), (2, 2, 1, 5), (1, 5)):
    case(NAME, lambda T, F, q, k, v, m: sdpa(F, q, k, v, m), Q, K, V, B(*shape), **LAYER)
    case(NAME, lambda T, F, q, k, v, m: sdpa(F, q, k, v, m), Q, K, V, U(*shape), **LAYER)
BLIND = C([[True, False, True, True, False], [False] * 5, [True] * 5])
case(NAME, lambda T, F, q, k, v, m: sdpa(F, q, k, v, m), Q, K, V, BLIND, **LAYER)
case(NAME, lambda T, F, q, k, v, m: sdpa(F, q, k, v, T.where(m, 0.5, T.tensor(-np.inf, dtype=q.dtype))),
     Q, K, V, BLIND, **LAYER)  # fmt: skip
case(NAME, lambda T, F, q, k, v: sdpa(F, q * 500, k, v), Q, K, V, tolerance=1e-7, second=False, **LAYER)
case(NAME, lambda T, F, q, k, v: sdpa(F, q, k, v), U(3, 4), U(2, 5, 4), U(1, 5, 2), **LAYER)
case(NAME, lambda T, F, q, k, v: sdpa(F, q, k, v), U(1, 1), U(1, 1), U(1, 1), **LAYER)
case(NAME, lambda T, F, q, k, v: sdpa(F, q, k, v), U(2, 0, 4), U(2, 5, 4), U(2, 5, 3), **LAYER)
case(NAME, lambda T, F, q, k, v: sdpa(F, q, k, v), U(2, 3, 4), U(2, 0, 4), U(2, 0, 3), **LAYER)
case(NAME, lambda T, F, q, k, v: sdpa(F, q, k, v, dropout_p=1.0), Q, K, V, **LAYER)
case(NAME, lambda T, F, q, k, v, m: (T.manual_seed(0), sdpa(F, q, k, v, m, 0.4))[1], Q, K, V, constant(U(3, 5)),
     parity=False, **LAYER)  # fmt: skip
