"""Sorting, the largest elements, drawing by weight, and what is not zero."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.runtime.dispatch import array_module


def argsort(x, dim: int, descending: bool = False):
    """The indices that sort x along dim; ties keep their order, and nan counts as the largest number."""
    xp = array_module(x)
    if not descending:
        return xp.argsort(x, axis=dim, kind="stable")
    # sorted ascending from the other end: descending, with ties in their original order
    return x.shape[dim] - 1 - xp.flip(xp.argsort(xp.flip(x, dim), axis=dim, kind="stable"), dim)


def topk(x, k: int, dim: int, largest: bool = True):
    """The indices of the k largest (or smallest) along dim, sorted; ties keep their order, nan counts as the largest.

    Partitioned first, so that only k elements are sorted; which of several equal elements is the k-th is undefined.
    """
    xp, n = array_module(x), x.shape[dim]
    if 0 < k < n:
        parts = xp.argpartition(x, n - k if largest else k - 1, axis=dim)
        picked = xp.sort(xp.take(parts, range(n - k, n) if largest else range(k), axis=dim), axis=dim)
    else:
        picked = xp.argsort(xp.zeros_like(x), axis=dim, kind="stable")[(slice(None),) * dim + (slice(k),)]
    order = argsort(xp.take_along_axis(x, picked, dim), dim, largest)
    return xp.take_along_axis(picked, order, dim)


def multinomial(weights, uniform):
    """Indices drawn with replacement: the first whose running sum of weights exceeds uniform times the total.

    weights (N, C), uniform (N, S) in [0, 1) -> (N, S); an index with weight zero is never drawn"""
    xp = array_module(weights)
    sums = weights.cumsum(1)
    sums[:, -1:] = np.inf  # a product that rounds up to the total is still in the last interval
    last = weights.shape[1] - 1 - xp.argmax((weights > 0)[:, ::-1], axis=1)
    drawn = [
        xp.searchsorted(row, u * total, side="right") for row, u, total in zip(sums, uniform, weights.sum(1))
    ]
    return xp.minimum(xp.stack(drawn), last[:, None])


def nonzero(x) -> tuple:
    """The indices where x is not zero, one array per dimension; a number is taken as a row of one"""
    return x.nonzero() if x.ndim else x.reshape(1).nonzero()
