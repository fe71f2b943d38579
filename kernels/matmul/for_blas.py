"""Products that BLAS does slowly, inaccurately or not at all, cut so that it does them well."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.matmul.reference import matmul
from tinygen.kernels.reduce.accumulation import FLOAT16, in_float32
from tinygen.kernels.reduce.reference import sum

PIECE = 128  # terms


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
