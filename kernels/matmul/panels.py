"""Products in panels: a product of our own where BLAS is weak, by measurements of each family of CPUs.

OpenBLAS packs both matrices before it multiplies.  That is right for large squares; a training step has products of a
batch of 64 with 512 x 784 weights, or gradients summed over 3136 tokens.  Here the larger matrix is read where it lies,
or packed while it is first multiplied.
"""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinygen.kernels.matmul.linear_layer import linear
from tinygen.kernels.matmul.reference import matmul
from tinygen.kernels.runtime import blas
from tinygen.kernels.runtime.rounding import ceil_div
from tinygen.kernels.runtime.threads import threads_for

CACHED = 1 << 19  # bytes of packed panels of one thread: half of a small L2
SMALL = 1 << 18  # multiply-adds; below, BLAS takes less time than starting our loops
LONGEST = (
    1 << 14
)  # terms; c collects the error of one addition for each 256 of them (`pieces` adds more in pairs)
PARALLEL = 1 << 21  # below, a second thread costs about as much as it saves
LINE = 64  # bytes
FEW = 128  # rows of x up to which it is packed instead of a larger matrix w
GAIN = 0.97  # of BLAS's time: what our product may take at most where it is chosen
MEASURED = Path(__file__).with_name("products.json")


class Plan(NamedTuple):
    block: int  # terms
    chunk: int  # columns whose panels are packed for a block of terms
    turned: bool  # whether cᵀ = wᵀ xᵀ is computed
    space: int  # elements that a thread needs for its panels
    down: int  # parts of the result
    across: int


@functools.lru_cache(maxsize=1024)
def plan(M: int, N: int, K: int, x_rows: bool, w_rows: bool, itemsize: int, threads: int) -> Plan:
    """How a product is cut.  x_rows, w_rows: whether the rows of x and w are dense, or else the columns"""
    from tinygen.kernels.matmul.panels_loops import PIECE, ROWS, TILE_BYTES

    width, line = TILE_BYTES // itemsize, LINE // itemsize
    high, wide, padded = ceil_div(M, ROWS), ceil_div(N, width), ceil_div(M, width) * width
    if x_rows and not w_rows and M <= min(N, FEW) and K * padded * itemsize <= CACHED:
        return Plan(1, 1, True, ceil_div((K + width) * padded, line) * line, 1, min(threads, wide))
    block = max(1, min(K, 4 * PIECE if x_rows else PIECE))
    chunk = max(1, min(wide, CACHED // (block * itemsize * width))) * width
    packing = 4 if w_rows else 10  # what an element of w costs more than a row of x

    def slowest(grid) -> int:
        return ceil_div(wide, grid[1]) * (ceil_div(high, grid[0]) * ROWS + packing)

    down, across = min(((d, threads // d) for d in range(1, threads + 1) if threads % d == 0), key=slowest)
    space = block * (chunk + ROWS) + (ROWS + 1) * width
    return Plan(block, chunk, False, ceil_div(space, line) * line, down, across)


def _flat(x):
    """x without its shape, and how far apart its rows and columns are"""
    if x.flags.c_contiguous:
        return x.reshape(-1), x.shape[1], 1
    return x.T.reshape(-1), 1, x.shape[0]


_NO_BIAS = {np.dtype(t): np.empty(0, t) for t in (np.float32, np.float64)}


@functools.cache
def _loop():
    from tinygen.kernels.matmul.panels_loops import multiply

    return multiply


def product(x, w, bias=None, threads: int | None = None):
    """x w + bias, by default on as many threads as pay"""
    multiply = _loop()
    (M, K), N, dtype = x.shape, w.shape[1], x.dtype
    (a, a_row, a_k), (b, b_k, b_n) = _flat(x), _flat(w)
    threads = threads or threads_for(M * N * K, PARALLEL)
    p = plan(M, N, K, a_k == 1, b_n == 1, dtype.itemsize, threads)
    out = np.empty((M, N), dtype)
    room = np.empty(p.space * p.down * p.across + LINE, dtype)
    room = room[-room.ctypes.data % LINE // dtype.itemsize :]
    bias = _NO_BIAS[dtype] if bias is None else bias
    multiply(
        *(out.reshape(-1), a, a_row, a_k, b, b_k, b_n, bias, M, N, K),
        *(p.block, p.chunk, p.turned, room, p.space, p.down, p.across),
    )
    return out


@functools.cache
def _shapes() -> tuple:
    """What was measured on this family of CPUs: (log2 of M, N, K, layout, time by BLAS's time); empty: BLAS is used."""
    return tuple(_measured()) if blas.maker() == "OpenBLAS" else ()


def _measured() -> list:
    rows = json.loads(MEASURED.read_text(encoding="utf-8")).get(blas.cpu_family(), {"shapes": ()})["shapes"]
    return [(*(math.log2(n) for n in row[:3]), row[3], row[4]) for row in rows]


@functools.lru_cache(maxsize=4096)
def pays(M: int, N: int, K: int, layout: str) -> bool:
    """Whether our product took less time than BLAS for the measured shape that is most like this one.

    layout: "nt" for x wᵀ, where the columns of the second matrix are dense, "nn", "tn" and "tt" likewise
    """
    if M * N * K < SMALL or K > LONGEST:
        return False
    here = math.log2(M), math.log2(N), math.log2(K)
    alike = [(math.dist(here, row[:3]), row[4]) for row in _shapes() if row[3] == layout]
    return bool(alike) and min(alike)[1] <= GAIN


def layout_of(x, w) -> str | None:
    """ "nn", "nt", "tn" or "tt"; None if these are no two dense matrices of one precision of BLAS's"""
    if type(x) is not np.ndarray or type(w) is not np.ndarray or not x.ndim == w.ndim == 2:
        return None
    if x.dtype != w.dtype or x.dtype.char not in "fd" or x.shape[1] != w.shape[0]:
        return None
    kinds = []
    for array in x, w:
        flags = array.flags
        if not (flags.writeable and flags.aligned and (flags.c_contiguous or flags.f_contiguous)):
            return None  # numba would compile the loops once more for arrays that are not writable
        kinds.append("n" if flags.c_contiguous else "t")
    return "".join(kinds)


def _usable(x, w) -> bool:
    layout = layout_of(x, w)
    return layout is not None and pays(x.shape[0], w.shape[1], x.shape[1], layout)


@matmul.variant("panels", usable=_usable)
def matmul_panels(x, w):
    """A tile of 8 (6) rows by two vectors at a time, its sums in registers, with w packed into panels as wide as it.

    Traffic: w is read once and its panels written once (L2), by the first rows of tiles that pass over it, so that
    packing costs no pass; x is read once for each chunk of panels, where it lies (L1, a strip of 8 rows); panels are
    read M / 8 times (L2); out is written once for each 1024 terms.  With few rows of x and wᵀ stored, as in a linear
    layer, the roles are exchanged: x is packed and each row of wᵀ read once, while it is multiplied.
    """
    if layout_of(x, w) is None:
        raise ValueError(
            f"matmul panels: expected two dense matrices, float32 or float64; x {x.shape}, w {w.shape}"
        )
    return product(x, w)


def _usable_layer(x, weight, bias=None) -> bool:
    fits = bias is None or (bias.dtype == x.dtype and bias.flags.c_contiguous and bias.flags.writeable)
    return fits and type(weight) is np.ndarray and _usable(x, weight.T)


@linear.variant("panels", usable=_usable_layer)
def linear_panels(x, weight, bias=None):
    """The same product, where a tile's sums are added to the bias instead of to zeros."""
    if layout_of(x, weight.T) is None:
        raise ValueError(
            f"linear panels: expected dense matrices, float32 or float64; x {x.shape}, weight {weight.shape}"
        )
    return product(x, weight.T, bias)
