"""Scaled dot-product attention and its gradients.

Shapes: q (…, L, D), k (…, T, D), v (…, T, E), bias (L, T) or more, all broadcast over …; y (…, L, E), lse (…, L): the
logarithm of Σ exp(scores) of every query, all that the backward needs to find the weights again.
"""

from __future__ import annotations

import numpy as np

from tinygen.kernels.dispatch import Kernel, array_module

attention = Kernel("attention")
attention_grad = Kernel("attention_grad")


def _scores(q, k, bias, scale: float, causal: bool):
    """scale q kᵀ + bias; -inf where, if causal, the key comes after the query.  -> (…, L, T)"""
    xp = array_module(q)
    scores = q @ k.swapaxes(-1, -2)
    scores *= q.dtype.type(scale)
    if bias is not None:
        scores = scores + bias
    if causal:
        later = xp.arange(k.shape[-2]) > xp.arange(q.shape[-2])[:, None]
        xp.copyto(scores, q.dtype.type(-np.inf), where=later)
    return scores


@attention.reference
def attention_reference(q, k, v, bias, *, scale, causal):
    """y = softmax(scale q kᵀ + bias) v, and lse.  A query that may see no key gets 0, and lse -inf."""
    xp = array_module(q)
    p = _scores(q, k, bias, scale, causal)
    m = p.max(axis=-1, keepdims=True, initial=-np.inf)
    m = xp.where(m == -np.inf, p.dtype.type(0), m)
    p -= m
    xp.exp(p, out=p)
    total = p.sum(axis=-1, keepdims=True)
    lse = (m + xp.log(total))[..., 0]
    y = p @ v
    y /= xp.where(total == 0, p.dtype.type(1), total)
    return y, lse


@attention_grad.reference
def attention_grad_reference(g, q, k, v, bias, y, lse, *, scale, causal):
    """gq, gk, gv and the gradient of the scores, which is the bias's.

    With p the weights: gv = pᵀ g, and through the softmax gs = p (g vᵀ - Σ g y), since Σ_t p (g vᵀ) = Σ g y.  Then
    gq = scale gs k and gk = scale gsᵀ q.
    """
    xp = array_module(q)
    p = _scores(q, k, bias, scale, causal)
    p -= xp.where(lse == -np.inf, lse.dtype.type(0), lse)[..., None]
    xp.exp(p, out=p)
    gv = p.swapaxes(-1, -2) @ g
    gs = g @ v.swapaxes(-1, -2)
    gs -= (g * y).sum(axis=-1, keepdims=True)
    gs *= p
    scaled = q.dtype.type(scale)
    return scaled * (gs @ k), scaled * (gs.swapaxes(-1, -2) @ q), gv, gs
