"""Products that BLAS does slowly, inaccurately or not at all, cut so that it does them well."""

from __future__ import annotations

import itertools

import numpy as np

from tinygen.kernels.matmul.reference import matmul
from tinygen.kernels.reduce.accumulation import FLOAT16, in_float32
from tinygen.kernels.reduce.reference import sum

PIECE = 128  # terms
MOST_BLOCKS = 4  # of columns


@matmul.variant("widened", usable=lambda x, w: x.dtype == FLOAT16)
@in_float32()
def matmul_widened(x, w):
    """float16 in float32: BLAS has no float16, and NumPy's own loop would add terms one after another."""
    return matmul(x, w)


def _column_times_row(x, w) -> bool:
    return x.ndim == w.ndim == 2 and x.shape[1] == 1 < min(x.shape[0], w.shape[1]) and x.dtype.char in "fd"


@matmul.variant("rank_one", usable=_column_times_row)
def matmul_rank_one(x, w):
    """out[i, j] = x[i, 0] w[0, j]: the weight gradient for a batch of one, (M, 1) and (1, N), written once by BLAS.

    NumPy's `matmul` does not hand sums of a single term to BLAS; `dot` does.  For a 1 x 1 matrix, though, `dot` calls
    axpy, which skips zeros: 0 * inf would be 0.
    """
    return np.dot(x, w)


def _few_long_sums(x, w) -> bool:
    return x.shape[-1] >= 8 * PIECE and x.shape[-2] * w.shape[-1] <= 4096 and x.dtype.char in "fd"


@matmul.variant("pieces", usable=_few_long_sums)
def matmul_pieces(x, w):
    """Few sums of many terms: PIECE terms at a time, then the sum of the pieces.

    BLAS adds hundreds of terms one after another, and all of them when one operand is a vector.
    """
    pieces = x.shape[-1] // PIECE
    whole = pieces * PIECE
    left = x[..., :whole].reshape(*x.shape[:-1], pieces, PIECE).swapaxes(-2, -3)
    right = w[..., :whole, :].reshape(*w.shape[:-2], pieces, PIECE, w.shape[-1])
    parts = np.matmul(left, right)  # (..., pieces, M, N)
    total = sum(parts, (parts.ndim - 3,))
    total += np.matmul(x[..., whole:], w[..., whole:, :])
    return total


def column_block_count(x, w) -> int:
    """How many column blocks a product is cut into, each narrower than it is high; 1 if cutting does not pay."""
    if x.ndim != 2 or w.ndim != 2 or type(x) is not np.ndarray or x.dtype not in (np.float32, np.float64):
        return 1
    M, N = x.shape[0], w.shape[1]
    blocks = N // M + 1 if M else 1
    pays = blocks <= MOST_BLOCKS and N // blocks >= 48 and M * N * x.shape[1] >= 1 << 22
    return blocks if pays and (M >= 256 or (M >= 96 and blocks == 2)) else 1


@matmul.variant("column_blocks", usable=lambda x, w: column_block_count(x, w) > 1)
def matmul_column_blocks(x, w):
    """Blocks of columns, one product after another, each narrower than it is high.

    On two threads OpenBLAS is slower when a result is at least as wide as it is high, but not for such narrow blocks
    (`tinygen bench matmul` shows both where they differ).
    """
    blocks, N = max(column_block_count(x, w), 2), w.shape[1]
    out = np.empty((x.shape[0], N), x.dtype)
    stops = [N * i // (16 * blocks) * 16 for i in range(blocks)] + [N]
    for start, stop in itertools.pairwise(stops):
        np.matmul(x, w[:, start:stop], out=out[:, start:stop])
    return out
