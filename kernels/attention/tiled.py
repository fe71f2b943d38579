"""Attention in blocks of scores that stay in cache: no array of L T scores exists."""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.attention.reference import attention, attention_grad
from tinygen.kernels.runtime.threads import threads_for

SMALL = 8192  # scores; with fewer, NumPy is done before numba is imported
SHARES = 4  # of a thread: the blocks of a causal attention differ in length
PARALLEL = 1 << 23  # multiply-adds; with fewer, starting threads costs more than it saves


def _lead(q, k, v) -> tuple:
    """The dimensions before the last two, broadcast"""
    lead = q.shape[:-2]
    if k.shape[:-2] == lead == v.shape[:-2]:
        return lead
    return np.broadcast_shapes(lead, k.shape[:-2], v.shape[:-2])


def _many_scores(q, k, v, bias) -> bool:
    """Whether the compiled loops apply and pay."""
    if q.dtype not in (np.float32, np.float64) or not q.dtype == k.dtype == v.dtype:
        return False
    lead = _lead(q, k, v)
    scores = math.prod(lead) * q.shape[-2] * k.shape[-2]
    return scores > SMALL and (bias is None or bias.dtype == q.dtype)


def _four_dimensional(lead, *arrays, rows=True):
    """The arrays broadcast to the leading dimensions `lead`, as (N, H, L, D), with `rows` contiguous along D: views
    where their strides allow it."""
    flat = (1,) * (2 - len(lead)) + lead if len(lead) <= 2 else (math.prod(lead[:-1]), lead[-1])
    out = []
    for x in arrays:
        if x.ndim != 4 or x.shape[:2] != flat:
            x = np.broadcast_to(x, lead + x.shape[-2:]).reshape(flat + x.shape[-2:])
        size = x.itemsize
        whole = x.flags.aligned and not any(stride % size for stride in x.strides)
        whole = whole and (x.strides[3] == size or not rows)
        out.append(x if whole and x.dtype.isnative else np.array(x, x.dtype.newbyteorder("="), order="C"))
    return out


def _heads_beside(N, H, L, D, dtype):
    """An empty array (N, H, L, D) with the heads of a token side by side in memory, which is how projections take them
    and give them: no transposition copies"""
    return np.empty((N, L, H, D), dtype).transpose(0, 2, 1, 3)


def _prepared(q, k, v, bias, *rest):
    """The leading dimensions, and all arrays in four dimensions; without a bias, an empty array."""
    lead = _lead(q, k, v)
    q, k, v, *rest = _four_dimensional(lead, q, k, v, *rest)
    if bias is None:
        bias = np.empty((0, 0, 0, 0), q.dtype)
    else:
        bias = np.broadcast_to(bias, (*lead, q.shape[-2], k.shape[-2]))
        (bias,) = _four_dimensional(lead, bias, rows=False)
    return lead, q, k, v, bias, *rest


@attention.variant("tiled", usable=lambda q, k, v, bias, **_: _many_scores(q, k, v, bias))
def attention_tiled(q, k, v, bias, *, scale, causal):
    """Blocks of scores that stay in the L2 cache, with a running maximum and sum: memory linear in T.

    (Milakov & Gimelshein 2018, arXiv 1805.02867, alg. 3; Dao et al. 2022, arXiv 2205.14135, alg. 1.)  Each iteration
    takes a block of queries of one head through all keys.  Reads q once, k and v once per block of queries; writes y
    and lse.  The reference also writes and reads all L T scores several times.
    """
    from tinygen.kernels.attention.tiled_loops import compiled

    lead, q, k, v, bias = _prepared(q, k, v, bias)
    (N, H, L, D), (T, E) = q.shape, v.shape[2:]
    y, lse = _heads_beside(N, H, L, E, q.dtype), np.empty((N, H, L), q.dtype)
    loop = compiled("forward", q.dtype)
    parts = SHARES * threads_for(N * H * L * T * (D + E), PARALLEL)
    loop(q, k, v, bias, q.dtype.type(scale), causal, y, lse, parts)
    return y.reshape(*lead, L, E), lse.reshape(*lead, L)


@attention_grad.variant(
    "tiled",
    usable=lambda g, q, k, v, bias, *_, needs_bias=True, **__: not needs_bias and _many_scores(q, k, v, bias),
)
def attention_grad_tiled(g, q, k, v, bias, y, lse, *, scale, causal, needs_bias=False):
    """The same blocks, with their weights recomputed from lse (Dao et al. 2022, alg. 4); no gradient for the bias.

    Each iteration takes one head: blocks of queries through all keys.  Reads q, g and y once; reads k and v and adds to
    gk and gv once per block of queries.  The same 5 products as the reference, without its 3 arrays of L T scores.
    """
    from tinygen.kernels.attention.tiled_loops import compiled, whole_tiles

    lead, q, k, v, bias, g, y = _prepared(q, k, v, bias, g, y)
    (lse,) = _four_dimensional(lead, lse[..., None], rows=False)
    (N, H, L, D), (T, E) = q.shape, v.shape[2:]
    gq, gk, gv = (_heads_beside(N, H, *shape, q.dtype) for shape in ((L, D), (T, D), (T, E)))
    loop = compiled("backward", q.dtype)
    parts = min(threads_for(N * H * L * T * (3 * D + 2 * E), PARALLEL), N * H)
    sums = [np.empty((parts, T, whole_tiles(size, q.itemsize)), q.dtype) for size in (D, E)]
    loop(g, q, k, v, bias, y, lse[..., 0], q.dtype.type(scale), causal, gq, gk, gv, *sums, parts)
    return *(x.reshape(*lead, *x.shape[2:]) for x in (gq, gk, gv)), None
