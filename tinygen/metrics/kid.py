"""Kernel distance: the unbiased squared maximum mean discrepancy  (Bińkowski et al. 2018, arXiv 1801.01401)."""

from __future__ import annotations

import numpy as np

from tinygen.run.progress import progress

ROWS = 500  # in a block of the kernel matrix


def kernel_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Mean k(x, x') + mean k(y, y') - 2 mean k(x, y) over all pairs of different images, k(a, b) = (a·b / F + 1)³.

    x (N, F), y (M, F) -> a number whose expectation does not depend on N and M: 0 for equal distributions, for which
    it may be negative.  Gretton et al. 2012, eq. 3.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    within_x = (_kernel_sum(x, x) - _kernel(x, x).sum()) / (len(x) * (len(x) - 1))
    within_y = (_kernel_sum(y, y) - _kernel(y, y).sum()) / (len(y) * (len(y) - 1))
    return float(within_x + within_y - 2 * _kernel_sum(x, y) / (len(x) * len(y)))


def _kernel(a, b):
    """k of each row of a and the same row of b.  (N, F), (N, F) -> (N,)"""
    return ((a * b).sum(axis=1) / a.shape[1] + 1) ** 3


def _kernel_sum(x, y) -> float:
    """The sum of k over all pairs, in blocks of rows."""
    total = 0.0
    for start in progress(range(0, len(x), ROWS), "kid"):
        block = x[start : start + ROWS] @ y.T
        block /= x.shape[1]
        block += 1
        total += float((block * block * block).sum())
    return total
