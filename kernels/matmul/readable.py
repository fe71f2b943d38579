"""Matrix products in compiled loops, for readers: BLAS is faster."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.matmul.reference import matmul
from tinygen.kernels.runtime.dispatch import for_readers


def _compiled(loop: str, x, w):
    from tinygen.kernels.matmul import loops

    if x.ndim != 2 or w.ndim != 2 or x.shape[1] != w.shape[0] or x.dtype != w.dtype:
        raise ValueError(f"matmul: expected (M, K) and (K, N) of one dtype; x {x.shape}, w {w.shape}")
    out = np.zeros((x.shape[0], w.shape[1]), x.dtype)
    getattr(loops, loop)(np.ascontiguousarray(x), np.ascontiguousarray(w), out)
    return out


@matmul.variant("naive", usable=for_readers)
def matmul_naive(x, w):
    """Three loops, one sum after another; w is read across memory (`tinygen bench matmul` times all variants)."""
    return _compiled("naive", x, w)


@matmul.variant("tiled", usable=for_readers)
def matmul_tiled(x, w):
    """The loops reordered so that the innermost runs along memory, over tiles that stay in cache.

    What BLAS does on top: it keeps a block of sums in registers and packs tiles in the order in which they are read.
    """
    return _compiled("tiled", x, w)
