"""Scaled dot-product attention and its gradients.

Shapes: q (…, L, D), k (…, T, D), v (…, T, E), bias (L, T) or more, all broadcast over …; y (…, L, E), lse (…, L): the
logarithm of Σ exp(scores) of every query, all that the backward needs to find the weights again.
"""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.matmul.reference import matmul
from tinygen.kernels.reduce.accumulation import in_float32
from tinygen.kernels.reduce.reference import largest
from tinygen.kernels.runtime.dispatch import Kernel, array_module
from tinygen.kernels.runtime.threads import threads_for

attention = Kernel("attention")
attention_grad = Kernel("attention_grad")


def _scores(q, k, bias, scale: float, causal: bool):
    """scale q kᵀ + bias; -inf where, if causal, the key comes after the query.  -> (…, L, T)"""
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
    """y = softmax(scale q kᵀ + bias) v, and lse.  A query that may see no key gets 0, and lse -inf."""
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
    """gq, gk, gv and the gradient of the scores, which is the bias's; None in its place if it is not needed.

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


SMALL = 8192  # scores; below this NumPy has answered before numba would have been imported
PARALLEL = 1 << 23  # multiply-adds; below this starting a thread costs more than it saves


def _many_scores(q, k, v, bias) -> bool:
    """Whether the compiled loops pay and apply."""
    if q.dtype not in (np.float32, np.float64) or not q.dtype == k.dtype == v.dtype:
        return False
    lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    scores = math.prod(lead) * q.shape[-2] * k.shape[-2]
    return scores > SMALL and (bias is None or bias.dtype == q.dtype)


def _four_dimensional(lead, *arrays):
    """The arrays as views (N, H, L, D) where their strides allow it, all with the leading dimensions `lead`."""
    flat = (1,) * (2 - len(lead)) + lead if len(lead) <= 2 else (math.prod(lead[:-1]), lead[-1])
    out = []
    for x in arrays:
        x = np.broadcast_to(x, lead + x.shape[-2:]).reshape(flat + x.shape[-2:])
        whole = x.flags.aligned and not any(stride % x.itemsize for stride in x.strides)
        out.append(x if whole and x.dtype.isnative else np.array(x, x.dtype.newbyteorder("=")))
    return out


def _prepared(q, k, v, bias, *rest):
    """Leading dimensions, and all arrays four-dimensional; no bias is an empty one."""
    lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    q, k, v, *rest = _four_dimensional(lead, q, k, v, *rest)
    if bias is None:
        bias = np.empty((0, 0, 0, 0), q.dtype)
    else:
        bias = np.broadcast_to(bias, (*lead, q.shape[-2], k.shape[-2]))
        (bias,) = _four_dimensional(lead, bias)
    return lead, q, k, v, bias, *rest


@attention.variant("tiled", usable=lambda q, k, v, bias, **_: _many_scores(q, k, v, bias))
def attention_tiled(q, k, v, bias, *, scale, causal):
    """Blocks of scores that stay in the L2 cache, with a running maximum and sum: memory linear in T.

    (Milakov & Gimelshein 2018, arXiv 1805.02867, alg. 3; Dao et al. 2022, arXiv 2205.14135, alg. 1.)  One loop takes a
    block of queries of one head through all keys.  Reads q once, k and v once per block of queries; writes y and lse.
    The reference also writes and reads all L T scores several times.
    """
    from tinygen.kernels.attention.loops import compiled

    lead, q, k, v, bias = _prepared(q, k, v, bias)
    (N, H, L, D), (T, E) = q.shape, v.shape[2:]
    y, lse = np.empty((N, H, L, E), q.dtype), np.empty((N, H, L), q.dtype)
    loop = compiled("forward", q.dtype)
    parts = threads_for(N * H * L * T * (D + E), PARALLEL)
    loop(q, k, v, bias, q.dtype.type(scale), causal, y, lse, parts)
    return y.reshape(*lead, L, E), lse.reshape(*lead, L)


@attention_grad.variant(
    "tiled",
    usable=lambda g, q, k, v, bias, *_, needs_bias=True, **__: not needs_bias and _many_scores(q, k, v, bias),
)
def attention_grad_tiled(g, q, k, v, bias, y, lse, *, scale, causal, needs_bias=False):
    """The same blocks, their weights found again from lse (Dao et al. 2022, alg. 4); no gradient of bias.

    One loop takes one head: blocks of queries through all keys.  Reads q, g and y once and k and v once per block of
    queries, adds to gk and gv as often.  The same 5 products as the reference, without its 3 arrays of L T scores.
    """
    from tinygen.kernels.attention.loops import compiled, whole_tiles

    lead, q, k, v, bias, g, y, lse = _prepared(q, k, v, bias, g, y, lse[..., None])
    (N, H, L, D), (T, E) = q.shape, v.shape[2:]
    gq, gk, gv = (np.empty((N, H, *shape), q.dtype) for shape in ((L, D), (T, D), (T, E)))
    loop = compiled("backward", q.dtype)
    parts = min(threads_for(N * H * L * T * (3 * D + 2 * E), PARALLEL), N * H)
    sums = [np.empty((parts, T, whole_tiles(size, q.itemsize)), q.dtype) for size in (D, E)]
    loop(g, q, k, v, bias, y, lse[..., 0], q.dtype.type(scale), causal, gq, gk, gv, *sums, parts)
    return *(x.reshape(*lead, *x.shape[2:]) for x in (gq, gk, gv)), None
