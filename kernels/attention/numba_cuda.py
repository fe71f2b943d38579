"""Attention's forward with numba.cuda: q (N, H, L, D), k (N, H, T, D), v (N, H, T, E) -> y (N, H, L, E), lse (N, H, L).

Of all the scores of a query, both variants keep only the highest so far and Σ exp(score - highest).  When a higher one
comes, the earlier sums are scaled down (Milakov & Gimelshein 2018, arXiv 1805.02867, algorithm 3), so no array of L T
scores exists.

numba_naive   a thread takes one query through all keys.
numba_tiled   a block takes TILE queries; tiles of q, k and v in shared memory serve all of them
              (Dao et al. 2022, arXiv 2205.14135, algorithm 1).
"""

from __future__ import annotations

import math

from tinygen.kernels.attention.reference import attention
from tinygen.kernels.runtime.dispatch import array_module
from tinygen.kernels.runtime.numba_cuda import cuda, flattened, leading, require, rung, same_float
from tinygen.kernels.runtime.rounding import ceil_div

TILE = 16  # queries and keys of a tile; side of a block of threads
THREADS = 64  # queries in a block of the naive variant
LARGEST_E = 128  # columns of v: each thread keeps its sums in an array of fixed size
SUMS = LARGEST_E // TILE


@cuda.jit
def naive(q, k, v, bias, scale, causal, y, lse):
    """One query through all keys"""
    query, h, n = cuda.grid(3)
    L, T, D, E = q.shape[2], k.shape[2], q.shape[3], v.shape[3]
    if query >= L:
        return
    zero, nothing = y.dtype.type(0), y.dtype.type(-math.inf)
    sums = cuda.local.array(LARGEST_E, y.dtype)  # Σ exp(score - highest) v
    for e in range(E):
        sums[e] = zero
    highest, total = nothing, zero
    for key in range(min(T, query + 1) if causal else T):
        score = zero
        for d in range(D):
            score += q[n, h, query, d] * k[n, h, key, d]
        score = score * scale + bias[n, h, query, key]
        if score == nothing:
            continue  # a key this query may not see
        before, highest = highest, max(highest, score)
        shrink, weight = math.exp(before - highest), math.exp(score - highest)
        total = total * shrink + weight
        for e in range(E):
            sums[e] = sums[e] * shrink + weight * v[n, h, key, e]
    for e in range(E):
        y[n, h, query, e] = zero if total == zero else sums[e] / total
    lse[n, h, query] = nothing if total == zero else highest + math.log(total)


@cuda.jit
def tiled(q, k, v, bias, scale, causal, y, lse):
    """TILE queries through tiles of keys.  Thread (i, j): score of query i and key j, then columns j, j + TILE, …

    One long function, because its steps share the tiles and the barriers between them.
    """
    q_tile = cuda.shared.array((TILE, TILE), q.dtype)
    k_tile = cuda.shared.array((TILE, TILE), q.dtype)
    v_tile = cuda.shared.array((TILE, TILE), q.dtype)
    weights = cuda.shared.array((TILE, TILE), q.dtype)  # first the scores
    sums = cuda.local.array(SUMS, q.dtype)
    i, j = cuda.threadIdx.y, cuda.threadIdx.x
    query, h, n = cuda.blockIdx.x * TILE + i, cuda.blockIdx.y, cuda.blockIdx.z
    L, T, D, E = q.shape[2], k.shape[2], q.shape[3], v.shape[3]
    zero, nothing = y.dtype.type(0), y.dtype.type(-math.inf)
    columns = (E + TILE - 1) // TILE  # of y that each thread computes
    for e in range(SUMS):
        sums[e] = zero
    highest, total = nothing, zero
    for start in range(0, min(T, (cuda.blockIdx.x + 1) * TILE) if causal else T, TILE):
        score = zero
        for d in range(0, D, TILE):
            q_tile[i, j] = q[n, h, query, d + j] if query < L and d + j < D else zero
            k_tile[j, i] = k[n, h, start + i, d + j] if start + i < T and d + j < D else zero  # transposed
            cuda.syncthreads()
            for x in range(TILE):
                score += q_tile[i, x] * k_tile[x, j]
            cuda.syncthreads()
        key = start + j
        if query < L and key < T and not (causal and key > query):
            score = score * scale + bias[n, h, query, key]
        else:
            score = nothing
        weights[i, j] = score
        cuda.syncthreads()
        before = highest
        for x in range(TILE):
            highest = max(highest, weights[i, x])
        shift = highest if highest > nothing else zero  # if the query has seen no key yet
        shrink = math.exp(before - shift)
        cuda.syncthreads()  # all threads have read the scores
        weights[i, j] = math.exp(score - shift)
        cuda.syncthreads()
        total = total * shrink
        for x in range(TILE):
            total += weights[i, x]
        for e in range(columns):
            column = e * TILE + j
            v_tile[i, j] = v[n, h, start + i, column] if start + i < T and column < E else zero
            cuda.syncthreads()
            part = sums[e] * shrink
            for x in range(TILE):
                part += weights[i, x] * v_tile[x, j]
            sums[e] = part
            cuda.syncthreads()
    if query < L:
        for e in range(columns):
            column = e * TILE + j
            if column < E:
                y[n, h, query, column] = zero if total == zero else sums[e] / total
        if j == 0:
            lse[n, h, query] = nothing if total == zero else highest + math.log(total)


def _launch(function, queries: int, block: tuple, q, k, v, bias, scale, causal):
    """A block for every `queries` queries of each head of each image."""
    fits = min(q.ndim, k.ndim, v.ndim) >= 2 and q.shape[-1] == k.shape[-1] and k.shape[-2] == v.shape[-2]
    expected = f"q (…, L, D), k (…, T, D), v (…, T, E), all float32 or all float64, E at most {LARGEST_E}"
    fits = fits and v.shape[-1] <= LARGEST_E and same_float(q, k, v, bias)
    require("attention", fits, expected, q=q, k=k, v=v, bias=bias)
    xp, lead, kind = array_module(q), leading(q, k, v), q.dtype.type
    L, T, E = q.shape[-2], k.shape[-2], v.shape[-1]
    bias = xp.zeros((1, 1), q.dtype) if bias is None else bias  # one zero, broadcast to every score
    bias = flattened(xp.broadcast_to(bias, (*lead, L, T)), lead, kept=2)
    q, k, v = (flattened(a, lead, kept=2) for a in (q, k, v))
    N, H = q.shape[:2]
    y, lse = xp.empty((N, H, L, E), q.dtype), xp.empty((N, H, L), q.dtype)
    function[(ceil_div(L, queries), H, N), block](q, k, v, bias, kind(scale), bool(causal), y, lse)
    return y.reshape(*lead, L, E), lse.reshape(*lead, L)


@rung(attention, "numba_naive")
def attention_numba_naive(q, k, v, bias, *, scale, causal):
    """A thread computes one row of y and its lse: reads T (D + E) numbers, all of k and v, for each query.

    Writes only y and lse, where the reference writes all L T scores and reads them several times.  The sums of E
    columns do not fit into registers: they are in the thread's local memory, at best in the nearest cache.
    """
    return _launch(naive, THREADS, (THREADS, 1, 1), q, k, v, bias, scale, causal)


@rung(attention, "numba_tiled")
def attention_numba_tiled(q, k, v, bias, *, scale, causal):
    """A block computes TILE rows of y; for each tile of keys a thread computes one score, then its columns of y.

    k and v are read once per TILE queries rather than once per query.  Every thread of a row finds the row's maximum
    and sum from shared memory, with TILE reads instead of a warp shuffle.
    """
    return _launch(tiled, TILE, (TILE, TILE, 1), q, k, v, bias, scale, causal)
