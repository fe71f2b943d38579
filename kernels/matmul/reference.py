"""Matrix products.  Shapes: x (..., M, K), w (..., K, N) -> (..., M, N)."""

from __future__ import annotations

import itertools

import numpy as np

from tinygen.kernels.reduce.accumulation import FLOAT16, in_float32
from tinygen.kernels.reduce.reference import sum
from tinygen.kernels.runtime.dispatch import Kernel, array_module, for_readers

matmul = Kernel("matmul")


@matmul.reference
def matmul_reference(x, w):
    """out[i, j] = sum over k of x[i, k] w[k, j].  BLAS on the CPU, cuBLAS through cupy on the GPU."""
    return array_module(x).matmul(x, w)


@matmul.variant("widened", usable=lambda x, w: x.dtype == FLOAT16)
@in_float32()
def matmul_widened(x, w):
    """float16 in float32: by BLAS, which has no float16, and NumPy would add one after the other."""
    return matmul(x, w)


def _column_times_row(x, w) -> bool:
    return x.ndim == w.ndim == 2 and x.shape[1] == 1 < min(x.shape[0], w.shape[1]) and x.dtype.char in "fd"


@matmul.variant("rank_one", usable=_column_times_row)
def matmul_rank_one(x, w):
    """out[i, j] = x[i, 0] w[0, j]: a batch of one's weight gradient, (M, 1) and (1, N), written once by BLAS.

    NumPy's `matmul` does not give sums of one term to BLAS, `dot` does.  Of products with a 1 x 1 matrix `dot` makes
    an axpy, which skips zeros: 0 * inf would be 0.
    """
    return np.dot(x, w)


PIECE = 128  # terms


def _few_long_sums(x, w) -> bool:
    return x.shape[-1] >= 8 * PIECE and x.shape[-2] * w.shape[-1] <= 4096 and x.dtype.char in "fd"


@matmul.variant("pieces", usable=_few_long_sums)
def matmul_pieces(x, w):
    """Few sums of many terms, PIECE of them at a time, and then the sums of the pieces.

    BLAS adds hundreds of terms one after the other, and all of them where a vector is multiplied.
    """
    pieces = x.shape[-1] // PIECE
    whole = pieces * PIECE
    left = x[..., :whole].reshape(*x.shape[:-1], pieces, PIECE).swapaxes(-2, -3)
    right = w[..., :whole, :].reshape(*w.shape[:-2], pieces, PIECE, w.shape[-1])
    parts = np.matmul(left, right)  # (..., pieces, M, N)
    total = sum(parts, (parts.ndim - 3,))
    total += np.matmul(x[..., whole:], w[..., whole:, :])
    return total


MOST = 4  # blocks


def _column_blocks(x, w) -> int:
    """Into how many blocks of columns, each narrower than the result is high, a product is cut; 1: better not."""
    if x.ndim != 2 or w.ndim != 2 or type(x) is not np.ndarray or x.dtype not in (np.float32, np.float64):
        return 1
    M, N = x.shape[0], w.shape[1]
    blocks = N // M + 1 if M else 1
    pays = blocks <= MOST and N // blocks >= 48 and M * N * x.shape[1] >= 1 << 22
    return blocks if pays and (M >= 256 or (M >= 96 and blocks == 2)) else 1


@matmul.variant("column_blocks", usable=lambda x, w: _column_blocks(x, w) > 1)
def matmul_column_blocks(x, w):
    """Blocks of columns, one product after the other, each narrower than high.

    On two threads OpenBLAS is slower where a result is at least as wide as it is high; as narrower blocks it is not
    (`tinygen bench matmul` shows both where they differ).
    """
    blocks, N = max(_column_blocks(x, w), 2), w.shape[1]
    out = np.empty((x.shape[0], N), x.dtype)
    stops = [N * i // (16 * blocks) * 16 for i in range(blocks)] + [N]
    for start, stop in itertools.pairwise(stops):
        np.matmul(x, w[:, start:stop], out=out[:, start:stop])
    return out


def _compiled(loop: str, x, w):
    from tinygen.kernels.matmul import loops

    if x.ndim != 2 or w.ndim != 2 or x.shape[1] != w.shape[0] or x.dtype != w.dtype:
        raise ValueError(f"matmul: expected (M, K) and (K, N) of one dtype; x {x.shape}, w {w.shape}")
    out = np.zeros((x.shape[0], w.shape[1]), x.dtype)
    getattr(loops, loop)(np.ascontiguousarray(x), np.ascontiguousarray(w), out)
    return out


@matmul.variant("naive", usable=for_readers)
def matmul_naive(x, w):
    """Three loops, one sum after the other, w read across memory (`tinygen bench matmul` times the rungs)."""
    return _compiled("naive", x, w)


@matmul.variant("tiled", usable=for_readers)
def matmul_tiled(x, w):
    """The loops turned, so that the innermost runs along memory, over tiles that stay in the cache.

    What BLAS adds: a block of sums held in registers, and tiles packed in the order in which they are read.
    """
    return _compiled("tiled", x, w)
