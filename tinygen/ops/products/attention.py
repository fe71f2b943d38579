"""Attention: a mean of values, weighted by how well each key matches a query."""

from __future__ import annotations

import math

import numpy as np

from tinygen import kernels
from tinygen.engine.dtypes import DtypeError, ShapeError
from tinygen.engine.errors import refusal
from tinygen.engine.primitive import primitive
from tinygen.engine.tensor import Tensor
from tinygen.ops.declaration import example, operation, real
from tinygen.ops.elementwise.choice import where
from tinygen.ops.elementwise.dropout import dropout
from tinygen.ops.products.matmul import matmul
from tinygen.ops.reduce import sum
from tinygen.ops.shape.reshape import transpose
from tinygen.ops.softmax import softmax
from tinygen.ops.tensor.device import beside
from tinygen.ops.wide import by_float32


@primitive(keeps=("lse",))
def _attention(q, k, v, bias=None, *, scale, causal):
    """y = p v, with weights p = softmax(s) and scores s = scale q kᵀ + bias"""
    return kernels.attention(q, k, v, bias, scale=scale, causal=causal)


def _weights(q, k, bias, scale: float, causal: bool):
    """softmax(scale q kᵀ + bias) over the keys; 0 for a query that sees none.  -> (…, L, T)"""
    scores = matmul(q, transpose(k, -1, -2)) * scale
    if bias is not None:
        scores = scores + bias
    if causal:
        later = np.arange(k.shape[-2]) > np.arange(q.shape[-2])[:, None]
        scores = where(beside(scores, later), -math.inf, scores)
    blind = (scores._data == -np.inf).all(axis=-1, keepdims=True)
    if not blind.any():
        return softmax(scores, -1)
    blind = Tensor._wrap(blind)
    return where(blind, 0.0, softmax(where(blind, 0.0, scores), -1))


def _scores_row(g, q, k, v, bias, scale, causal):
    """∂s: the softmax's Jacobian diag(p) - p pᵀ applied to ∂p = g vᵀ, which is p (∂p - Σ p ∂p)"""
    p, gp = _weights(q, k, bias, scale, causal), matmul(g, transpose(v, -1, -2))
    return p * (gp - sum(p * gp, -1, keepdim=True))


# s = scale q kᵀ + bias and y = p v are linear in q, k, bias and v: each row is the transpose of that map
_attention.vjp(
    lambda g, q, k, v, bias, **at: matmul(_scores_row(g, q, k, v, bias, **at), k) * at["scale"],
    lambda g, q, k, v, bias, **at: (
        matmul(transpose(_scores_row(g, q, k, v, bias, **at), -1, -2), q) * at["scale"]
    ),
    lambda g, q, k, bias, **at: matmul(transpose(_weights(q, k, bias, **at), -1, -2), g),
    lambda g, q, k, v, bias, **at: _scores_row(g, q, k, v, bias, **at),
)
_attention.fused(
    lambda g, q, k, v, bias, y, lse, scale, causal, needs: kernels.attention_grad(
        g, q, k, v, bias, y, lse, scale=scale, causal=causal, needs_bias=needs[3]
    )
)


def _check(query, key, value, attn_mask, is_causal: bool) -> None:
    name = "scaled_dot_product_attention"
    shapes = f"query {query.shape}, key {key.shape}, value {value.shape}"
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise refusal(name, ShapeError, f"expected (…, L, D), (…, T, D) and (…, T, E); {shapes}")
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise refusal(
            name,
            ShapeError,
            f"query and key must have one size D, key and value one length T; expected (…, L, D), "
            f"(…, T, D) and (…, T, E); {shapes}",
        )
    if not query.dtype == key.dtype == value.dtype or not query.is_floating_point():
        found = f"query {query.dtype}, key {key.dtype}, value {value.dtype}"
        raise refusal(name, DtypeError, f"expected one floating dtype; {found}")
    if attn_mask is None:
        return
    if is_causal:
        raise refusal(
            name, RuntimeError, "found both attn_mask and is_causal=True, expected at most one of them"
        )
    if attn_mask.dtype not in (np.bool_, query.dtype):
        raise refusal(
            name, DtypeError, f"found attn_mask {attn_mask.dtype}, expected bool or query's {query.dtype}"
        )
    try:
        lead = np.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
        full = (*lead, query.shape[-2], key.shape[-2])
        fits = np.broadcast_shapes(attn_mask.shape, full) == full
    except ValueError:
        fits = False
    if not fits:
        raise refusal(
            name, ShapeError, f"attn_mask {attn_mask.shape} does not broadcast to (…, L, T); {shapes}"
        )


@operation(
    example(
        "F.scaled_dot_product_attention(query, key, value)",
        query=real(2, 2),
        key=real(3, 2),
        value=real(3, 2),
    ),
    homes="F",
)
def scaled_dot_product_attention(
    query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False
):
    """softmax(scale · query keyᵀ + attn_mask) value  (Vaswani et al. 2017, arXiv 1706.03762, eq. 1).

    query (…, L, D), key (…, T, D), value (…, T, E) -> (…, L, E), where … broadcasts; scale is 1 / √D by default.
    attn_mask, broadcast to (…, L, T): bools that are true for the keys a query may see, or numbers added to the
    scores.  is_causal: query l sees keys 0 … l.  A query that sees no key gets 0.  dropout_p: the weights are
    dropped with this probability, by `tinygen.random`'s default generator.
    """
    if enable_gqa:
        raise refusal(
            "scaled_dot_product_attention",
            NotImplementedError,
            "enable_gqa is not supported; repeat the heads of key and value",
        )
    if not 0 <= dropout_p <= 1:
        raise refusal(
            "scaled_dot_product_attention",
            RuntimeError,
            f"found dropout_p {dropout_p}, expected a probability",
        )
    _check(query, key, value, attn_mask, is_causal)
    scale = 1 / math.sqrt(max(query.shape[-1], 1)) if scale is None else scale
    bias = attn_mask
    if attn_mask is not None and attn_mask.dtype == np.bool_:
        xp = kernels.array_module(attn_mask._data)
        bias = Tensor._wrap(xp.where(attn_mask._data, query.dtype.type(0), query.dtype.type(-np.inf)))
    at = dict(scale=float(scale), causal=bool(is_causal))
    if dropout_p:
        return by_float32(_dropped_attention, query, key, value, bias, p=dropout_p, **at)
    return by_float32(_attention, query, key, value, bias, **at)


def _dropped_attention(query, key, value, bias, *, p, scale, causal):
    return matmul(dropout(_weights(query, key, bias, scale, causal), p), value)
