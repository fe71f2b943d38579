"""The compiled loops of `tiled.py`.  Importing this file imports numba (0.5 s).

A block holds KEYS x QUERIES scores with the queries side by side, so that maximum, exponential and sum over the keys
work on whole vectors; it stays in the L2 cache.  A call does share `part` out of `parts` of the work,
which are neighbors: heads of one token lie side by side, and two threads would write to the same cache lines.
"""

import functools

import numpy as np

from tinygen.kernels.elementwise.loops import decay
from tinygen.kernels.matmul.tile_loops import TILE_BYTES, add_product
from tinygen.kernels.reduce.loops import SUMS
from tinygen.kernels.runtime.njit import njit
from tinygen.kernels.runtime.with_numba import (
    cgutils,
    from_dtype,
    intrinsic,
    ir,
    populate_array,
    prange,
    types,
)

QUERIES, KEYS = 128, 128
_options = dict(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


@intrinsic
def row(typing, x, n, h, l):
    """x[n, h, l] as a contiguous array, which numba cannot know from strides.  The last one must be an element."""
    result = types.Array(x.dtype, 1, "C")

    def codegen(context, builder, signature, args):
        array = context.make_array(x)(context, builder, args[0])
        strides = cgutils.unpack_tuple(builder, array.strides)
        place = builder.bitcast(array.data, ir.IntType(8).as_pointer())
        for index, stride in zip(args[1:], strides):
            place = builder.gep(place, [builder.mul(index, stride)])
        out = context.make_array(result)(context, builder)
        populate_array(
            out,
            data=builder.bitcast(place, array.data.type),
            shape=[cgutils.unpack_tuple(builder, array.shape)[3]],
            strides=[strides[3]],
            itemsize=array.itemsize,
            meminfo=None,
        )
        return out._getvalue()

    return result(x, types.intp, types.intp, types.intp), codegen


@njit(**_options)
def whole_tiles(n, itemsize):
    """The number of columns n, rounded up to whole tiles"""
    tile = TILE_BYTES // itemsize
    return (n + tile - 1) // tile * tile


@njit(**_options)
def _turn(x, n, h, start, stop, factor, out):
    """out[d, l - start] = factor x[n, h, l, d], and 0 past the end"""
    out[:, stop - start :] = 0
    for i in range(stop - start):
        from_row = row(x, n, h, start + i)
        for d in range(from_row.size):
            out[d, i] = from_row[d] * factor


@njit(**_options)
def _scores(s, turned, k, bias, n, h, i0, i1, t0, t1, causal):
    """s[t - t0, i - i0] = Σ_d k[t, d] turned[d, i - i0] + bias[i, t], or -inf for keys that query i may not see"""
    size, width = k.itemsize, s.shape[1]
    if bias.size:
        for t in range(t0, t1):
            s[t - t0] = 0
            for i in range(i0, i1):
                s[t - t0, i - i0] = bias[n, h, i, t]
    else:
        s[: t1 - t0] = 0
    _, _, k_row, k_column = k.strides
    first = (n * k.strides[0] + h * k.strides[1] + t0 * k_row) // size
    add_product(
        s.ravel(), 0, width, k, first, k_row // size, k_column // size,
        turned.ravel(), 0, width, t1 - t0, width, k.shape[3],
    )  # fmt: skip
    if causal:
        for t in range(max(t0, i0), t1):
            s[t - t0, : min(t - i0, width)] = -np.inf


@njit(**_options)
def _add_turned_product(out, x, n, h, t0, t1, s):
    """out[e, i] += Σ_t x[n, h, t, e] s[t - t0, i]"""
    size, width = x.itemsize, s.shape[1]
    first = (n * x.strides[0] + h * x.strides[1] + t0 * x.strides[2]) // size
    add_product(
        out.ravel(), 0, width, x, first, x.strides[3] // size, x.strides[2] // size,
        s.ravel(), 0, width, x.shape[3], width, t1 - t0,
    )  # fmt: skip


@njit(**_options)
def _soften(s, keys, top, shift, fade, block, total):
    """Turn a block's scores into weights, update the maximum m and the sum l, and find the factor that scales the past:

    m' = max(m, max_t s),  s <- exp(s - m'),  fade = exp(m - m'),  block = Σ_t s,  l <- l fade + block
    """
    width = s.shape[1]
    fade[:] = top
    for t in range(keys):
        for i in range(width):
            top[i] = s[t, i] if s[t, i] > top[i] else top[i]
    for i in range(width):
        shift[i] = top[i] if top[i] > -np.inf else 0
        fade[i] = decay(fade[i] - shift[i])
        block[i] = 0
    for t in range(keys):
        for i in range(width):
            weight = decay(s[t, i] - shift[i])
            s[t, i] = weight
            block[i] += weight
    for i in range(width):
        total[i] = total[i] * fade[i] + block[i]


@njit(**_options)
def _pack(x, n, h, start, stop, factor, out):
    """out[l - start, d] = factor x[n, h, l, d], and 0 past the end; the rows are whole tiles"""
    out[stop - start :] = 0
    out[:, x.shape[3] :] = 0
    for i in range(stop - start):
        _multiply(row(x, n, h, start + i), factor, out[i])


@njit(**_options)
def _multiply(x, factor, out):
    for i in range(x.size):
        out[i] = x[i] * factor


@njit(**_options)
def _copy(x, out):
    """out = as many of the first elements of x"""
    for i in range(out.size):
        out[i] = x[i]


@njit(**_options)
def _divide(sums, rows, total):
    """Each row by the totals (not times 1 / total: the mean of equal values is to be that value).  0 divides nothing"""
    one = total.dtype.type(1)
    for e in range(rows):
        for i in range(total.size):
            sums[e, i] = sums[e, i] / (total[i] if total[i] != 0 else one)


@njit(**_options)
def _turn_back(turned, factor, x, n, h, start, stop):
    """x[n, h, l, d] = turned[d, l - start] factor[l - start]"""
    for i in range(stop - start):
        out = row(x, n, h, start + i)
        for d in range(out.size):
            out[d] = turned[d, i] * factor[i]


@njit(**_options)
def _weights_and_scores_grad(p, gs, keys, lse, mean):
    """p <- exp(p - lse),  gs <- p (gs - mean)"""
    for t in range(keys):
        for i in range(p.shape[1]):
            weight = decay(p[t, i] - lse[i])
            p[t, i] = weight
            gs[t, i] = weight * (gs[t, i] - mean[i])


@njit(**_options)
def _query_sums(g, y, lse, n, h, i0, i1, log_total, mean):
    """For each query: the logarithm of its total (0 if it sees no key), and Σ_e g y"""
    log_total[i1 - i0 :], mean[i1 - i0 :] = 0, 0
    for i in range(i1 - i0):
        log_total[i] = lse[n, h, i0 + i] if lse[n, h, i0 + i] > -np.inf else 0
        mean[i] = _product(row(g, n, h, i0 + i), row(y, n, h, i0 + i))


@njit(**_options | dict(fastmath=SUMS))
def _product(x, y):
    total = x.dtype.type(0)
    for i in range(x.size):
        total += x[i] * y[i]
    return total


@njit(**_options)
def _add_to_keys(out, p, x, t0, t1, queries):
    """out[t, d] += Σ_i p[t - t0, i] x[i, d]"""
    width, columns = p.shape[1], x.shape[1]
    add_product(
        out.ravel(), t0 * columns, columns, p.ravel(), 0, width, 1,
        x.ravel(), 0, columns, t1 - t0, columns, queries,
    )  # fmt: skip


@njit(**_options)
def _forward(q, k, v, bias, scale, causal, y, lse, part, parts):
    """One iteration: take a block of queries of one head through all keys, keeping Σ p v, Σ p and the maximum."""
    batch, heads, L, D = q.shape
    T, E = v.shape[2:]
    width, keys = min(QUERIES, whole_tiles(L, q.itemsize)), min(KEYS, T)
    turned, s = np.empty((D, width), q.dtype), np.empty((keys, width), q.dtype)
    sums = np.empty((E, width), q.dtype)
    top, shift = np.empty(width, q.dtype), np.empty(width, q.dtype)
    fade, total, added = np.empty(width, q.dtype), np.empty(width, q.dtype), np.empty(width, q.dtype)
    blocks, one = (L + width - 1) // width, q.dtype.type(1)
    items = batch * heads * blocks
    for item in range(items * part // parts, items * (part + 1) // parts):
        head, block = divmod(item, blocks)
        n, h = divmod(head, heads)
        i0, i1 = block * width, min(block * width + width, L)
        _turn(q, n, h, i0, i1, scale, turned)
        sums[:], top[:], total[:] = 0, -np.inf, 0
        for t0 in range(0, min(T, i1) if causal else T, keys):
            t1 = min(t0 + keys, T)
            _scores(s, turned, k, bias, n, h, i0, i1, t0, t1, causal)
            _soften(s, t1 - t0, top, shift, fade, added, total)
            sums *= fade
            _add_turned_product(sums, v, n, h, t0, t1, s)
        for i in range(i1 - i0):
            lse[n, h, i0 + i] = shift[i] + np.log(total[i])
        _divide(sums, E, total)
        fade[:] = one
        _turn_back(sums, fade, y, n, h, i0, i1)


@njit(**_options)
def _backward(g, q, k, v, bias, y, lse, scale, causal, gq, gk, gv, sums_k, sums_v, part, parts):
    """One iteration: take each block of queries of one head through all keys, recompute the weights from lse, finish
    the queries' gradient and add to those of the keys and values, which sums_k and sums_v collect over the head."""
    batch, heads, L, D = q.shape
    T, E = v.shape[2:]
    size, dtype = q.itemsize, q.dtype
    width, keys = min(QUERIES, whole_tiles(L, size)), min(KEYS, T)
    turned_q, turned_gq, turned_g = (
        np.empty((D, width), dtype),
        np.empty((D, width), dtype),
        np.empty((E, width), dtype),
    )
    sum_k, sum_v = sums_k[part], sums_v[part]
    packed_q, packed_g = np.empty((width, sum_k.shape[1]), dtype), np.empty((width, sum_v.shape[1]), dtype)
    p, gs = np.empty((keys, width), dtype), np.empty((keys, width), dtype)
    log_total, mean = np.empty(width, dtype), np.empty(width, dtype)
    none, scales = bias[:0], np.full(width, scale)
    for head in range(batch * heads * part // parts, batch * heads * (part + 1) // parts):
        n, h = divmod(head, heads)
        sum_k[:], sum_v[:] = 0, 0
        for i0 in range(0, L, width):
            i1 = min(i0 + width, L)
            _turn(q, n, h, i0, i1, scale, turned_q)
            _turn(g, n, h, i0, i1, 1, turned_g)
            _pack(q, n, h, i0, i1, scale, packed_q)
            _pack(g, n, h, i0, i1, 1, packed_g)
            _query_sums(g, y, lse, n, h, i0, i1, log_total, mean)
            turned_gq[:] = 0
            for t0 in range(0, min(T, i1) if causal else T, keys):
                t1 = min(t0 + keys, T)
                _scores(p, turned_q, k, bias, n, h, i0, i1, t0, t1, causal)
                _scores(gs, turned_g, v, none, n, h, i0, i1, t0, t1, False)
                _weights_and_scores_grad(p, gs, t1 - t0, log_total, mean)
                _add_to_keys(sum_v, p, packed_g, t0, t1, i1 - i0)
                _add_to_keys(sum_k, gs, packed_q, t0, t1, i1 - i0)
                _add_turned_product(turned_gq, k, n, h, t0, t1, gs)
            _turn_back(turned_gq, scales, gq, n, h, i0, i1)
        for t in range(T):
            _copy(sum_k[t], row(gk, n, h, t))
            _copy(sum_v[t], row(gv, n, h, t))


# In numba's threads, as all other loops: next to threads of Python's own, those would spin on the same cores.
def _forward_in_parts(q, k, v, bias, scale, causal, y, lse, parts):
    for part in prange(parts):
        _forward(q, k, v, bias, scale, causal, y, lse, part, parts)


def _backward_in_parts(g, q, k, v, bias, y, lse, scale, causal, gq, gk, gv, sums_k, sums_v, parts):
    for part in prange(parts):
        _backward(g, q, k, v, bias, y, lse, scale, causal, gq, gk, gv, sums_k, sums_v, part, parts)


@functools.cache
def compiled(loop, dtype):
    """`loop`, "forward" or "backward", compiled for arrays of `dtype` with contiguous rows; one thread per part."""
    number = from_dtype(np.dtype(dtype))
    read, written = types.Array(number, 4, "A", readonly=True), types.Array(number, 4, "A")
    read_lse, written3 = types.Array(number, 3, "A", readonly=True), types.Array(number, 3, "C")
    options = (number, types.boolean)
    if loop == "forward":
        function, signature = _forward_in_parts, (*[read] * 4, *options, written, written3, types.intp)
    else:
        outputs = (written, written, written, written3, written3)
        function = _backward_in_parts
        signature = (*[read] * 6, read_lse, *options, *outputs, types.intp)
    loop = njit(**_options, parallel=True)(function)
    loop.compile(signature)
    loop.disable_compile()  # contiguous arrays use the version for any strides, too
    return loop
