"""The ladder of attention on a GPU (`attention.cu`): float32; q (…, L, D), k (…, T, D), v (…, T, E), broadcast over ….

Arrays whose axes are swapped or broadcast are used in place, for example heads split from rows of H D numbers; other
non-contiguous arrays are copied.
"""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.attention.reference import attention, attention_grad
from tinygen.kernels.runtime.cuda_source import CudaSource, float32_only
from tinygen.kernels.runtime.dispatch import array_module, for_readers
from tinygen.kernels.runtime.numba_cuda import flattened, leading, require
from tinygen.kernels.runtime.rounding import ceil_div

source = CudaSource("attention/attention.cu")
THREADS = 64  # in a block of the naive kernels
WIDEST = 128  # most columns of q and v that the tiled kernels are compiled for


def placed(x, lead: tuple, rows: int, columns: int, apart: bool = False) -> tuple:
    """x (…, rows, columns), broadcast: an array in memory order, and the distances between images, heads and rows.

    Columns are adjacent; with `apart` they need not be, and their distance comes last.
    """
    xp = array_module(x)
    wide = flattened(xp.broadcast_to(x, (*x.shape[:-2], rows, columns)), lead, kept=2)
    once = wide[
        tuple(slice(None if step else 1) for step in wide.strides)
    ]  # without the repeats of broadcasting
    order = sorted(range(4), key=lambda axis: -once.strides[axis])
    lies, steps = once.transpose(order), [0] * 4
    for place, axis in enumerate(order):
        if once.shape[axis] > 1:
            steps[axis] = math.prod(lies.shape[place + 1 :])
    together = apart or columns == 1 or steps[3] == 1
    if wide.size and not (together and lies.flags.c_contiguous):
        return placed(xp.array(x, order="C"), lead, rows, columns, apart)
    return lies, *steps[: 4 if apart else 3]


def _prepared(name: str, q, k, v, bias, scale, causal) -> tuple:
    """The leading dimensions, and the arguments that every kernel shares with the forward."""
    given = {name: x for name, x in (("q", q), ("k", k), ("v", v), ("bias", bias)) if x is not None}
    float32_only(name, **given)
    fits = min(q.ndim, k.ndim, v.ndim) >= 2 and q.shape[-1] == k.shape[-1] and k.shape[-2] == v.shape[-2]
    require(name, fits, "q (…, L, D), k (…, T, D), v (…, T, E)", **given)
    lead = leading(q, k, v)
    (L, D), (T, E) = q.shape[-2:], v.shape[-2:]
    arrays = [*placed(q, lead, L, D), *placed(k, lead, T, D), *placed(v, lead, T, E)]
    arrays += [None, 0, 0, 0, 0] if bias is None else placed(bias, lead, L, T, apart=True)
    heads = lead[-1] if lead else 1
    return lead, (*arrays, heads, L, T, D, E, float(scale), int(causal))


def _width(q, v) -> int:
    return max(q.shape[-1], v.shape[-1])


def _kernel(name: str, q, v) -> str:
    """The kernel that the columns fit into: attention_tiled_64 for 33 to 64 columns."""
    width = _width(q, v)
    require("attention", width <= WIDEST, f"at most {WIDEST} columns", q=q, v=v)
    return f"{name}_{next(columns for columns in (32, 64, WIDEST) if width <= columns)}"


def _forward(kernel: str, rows: int, threads: int, q, k, v, bias, scale, causal):
    """y and lse: a block of `threads` threads for every `rows` rows of each head."""
    lead, arguments = _prepared("attention", q, k, v, bias, scale, causal)
    xp, L, E = array_module(q), q.shape[-2], v.shape[-1]
    y, lse = xp.empty((*lead, L, E), q.dtype), xp.empty((*lead, L), q.dtype)
    source.launch(kernel, (ceil_div(L, rows) * math.prod(lead),), (threads,), *arguments, y, lse)
    return y, lse


def _backward(
    queries: str, keys: str, rows: int, threads: int, g, q, k, v, bias, y, lse, scale, causal, wanted
):
    """gq, gk, gv and, if wanted, gs: by a kernel whose blocks own queries, and one whose blocks own keys."""
    lead, arguments = _prepared("attention_grad", q, k, v, bias, scale, causal)
    float32_only("attention_grad", g=g, y=y, lse=lse)
    xp, heads = array_module(q), math.prod(lead)
    (L, D), (T, E) = q.shape[-2:], v.shape[-2:]
    gq, gk, gv = (xp.empty((*lead, *shape), q.dtype) for shape in ((L, D), (T, D), (T, E)))
    gs = xp.zeros((*lead, L, T), q.dtype) if wanted else None  # stays 0 where the kernel does not look
    y = xp.ascontiguousarray(y)
    lse = xp.ascontiguousarray(xp.broadcast_to(lse, (*lead, L)))
    mean, g = xp.empty((*lead, L), q.dtype), placed(g, lead, L, E)
    last = (lead[-1] if lead else 1, L, E, heads * L)
    source.launch("attention_grad_mean", (ceil_div(heads * L, 4),), (128,), *g, y, mean, *last)
    arguments = (*g, *arguments, lse, mean)
    source.launch(queries, (ceil_div(L, rows) * heads,), (threads,), *arguments, gq, gs)
    source.launch(keys, (ceil_div(T, rows) * heads,), (threads,), *arguments, gk, gv)
    return gq, gk, gv, gs


@attention.variant("naive", devices=("cuda",), usable=for_readers, on="host")
def attention_naive_cuda(q, k, v, bias, *, scale, causal):
    """A thread computes one row of y over all keys, with a running maximum and sum; it accumulates in y itself."""
    return _forward("attention_naive", THREADS, THREADS, q, k, v, bias, scale, causal)


@attention_grad.variant("naive", devices=("cuda",), usable=for_readers, on="host")
def attention_grad_naive_cuda(g, q, k, v, bias, y, lse, *, scale, causal, needs_bias=True):
    """A thread computes one row of gq; in a second kernel, one of gk and gv.  Both recompute the weights from lse."""
    names = "attention_grad_naive_queries", "attention_grad_naive_keys"
    return _backward(*names, THREADS, THREADS, g, q, k, v, bias, y, lse, scale, causal, needs_bias)


def _float32(*arrays) -> bool:
    q, v = arrays[0], arrays[2]
    return all(x is None or x.dtype == np.float32 for x in arrays) and _width(q, v) <= WIDEST


@attention.variant("tiled", devices=("cuda",), usable=lambda *args, **_: _float32(*args), on="host")
def attention_tiled_cuda(q, k, v, bias, *, scale, causal):
    """A block computes 64 rows of y, 32 keys at a time; a thread has 4 x 4 scores, then 4 x 4 sums per 32 columns."""
    return _forward(_kernel("attention_tiled", q, v), 64, 128, q, k, v, bias, scale, causal)


@attention_grad.variant("tiled", devices=("cuda",), usable=lambda g, *args, **_: _float32(*args), on="host")
def attention_grad_tiled_cuda(g, q, k, v, bias, y, lse, *, scale, causal, needs_bias=True):
    """Blocks of 64 queries walk over the keys and sum gq; blocks of 64 keys walk over the queries and sum gk and gv.

    The weights are computed twice, but no sum has two owners: no atomics.  Blocks have 32 rows above 64 columns.
    """
    names = [_kernel(name, q, v) for name in ("attention_grad_queries", "attention_grad_keys")]
    rows = 32 if names[0].endswith("_128") else 64
    return _backward(*names, rows, 2 * rows, g, q, k, v, bias, y, lse, scale, causal, needs_bias)
