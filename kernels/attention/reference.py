"""Scaled dot-product attention and its gradients.

Shapes: q (…, L, D), k (…, T, D), v (…, T, E), bias (L, T) or more, all broadcast over …; y (…, L, E), lse (…, L).
lse is log Σ exp(scores) for each query: all that the backward pass needs to recompute the weights.
"""

from __future__ import annotations

import numpy as np

from tinygen.kernels.matmul.reference import matmul
from tinygen.kernels.reduce.accumulation import in_float32
from tinygen.kernels.reduce.reference import largest
from tinygen.kernels.runtime.dispatch import Kernel, array_module

attention = Kernel("attention")
attention_grad = Kernel("attention_grad")


def _scores(q, k, bias, scale: float, causal: bool):
    """scale q kᵀ + bias, and -inf for keys after the query if causal.  -> (…, L, T)"""
    xp = array_module(q)
    scores = matmul(q, k.swapaxes(-1, -2))
    scores *= q.dtype.type(scale)
    if bias is not None:
        scores = scores + bias
    if causal:
        later = xp.arange(k.shape[-2]) > xp.arange(q.shape[-2])[:, None]
        xp.copyto(scores, q.dtype.type(-np.inf), where=later)
    return scores


@attention.reference
@in_float32()
def attention_reference(q, k, v, bias, *, scale, causal):
    """y = softmax(scale q kᵀ + bias) v, and lse.  A query that may see no key gets y = 0 and lse = -inf."""
    xp = array_module(q)
    p = _scores(q, k, bias, scale, causal)
    m = largest(p, -1, keepdims=True)
    m = xp.where(m == -np.inf, p.dtype.type(0), m)
    p -= m
    xp.exp(p, out=p)
    total = p.sum(axis=-1, keepdims=True)
    lse = (m + xp.log(total))[..., 0]
    y = p @ v
    y /= xp.where(total == 0, p.dtype.type(1), total)
    return y, lse


@attention_grad.reference
@in_float32(results=4)
def attention_grad_reference(g, q, k, v, bias, y, lse, *, scale, causal, needs_bias=True):
    """gq, gk, gv and the gradient of the scores, which is that of the bias (None if it is not needed).

    With p the weights: gv = pᵀ g, and through the softmax gs = p (g vᵀ - Σ g y), since Σ_t p (g vᵀ) = Σ g y.  Then
    gq = scale gs k and gk = scale gsᵀ q.
    """
    xp = array_module(q)
    p = _scores(q, k, bias, scale, causal)
    p -= xp.where(lse == -np.inf, lse.dtype.type(0), lse)[..., None]
    xp.exp(p, out=p)
    gv = p.swapaxes(-1, -2) @ g
    gs = matmul(g, v.swapaxes(-1, -2))
    gs -= (g * y).sum(axis=-1, keepdims=True)
    gs *= p
    scaled = q.dtype.type(scale)
    return scaled * (gs @ k), scaled * (gs.swapaxes(-1, -2) @ q), gv, gs if needs_bias else None
