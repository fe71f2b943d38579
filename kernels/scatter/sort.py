"""Orders: what sorting, counting and drawing by weight are made of."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.runtime.dispatch import array_module


def argsort(x, dim: int, descending: bool = False):
    """The indices that sort x along dim, ties in the order they had; nan counts as the largest."""
    xp = array_module(x)
    if not descending:
        return xp.argsort(x, axis=dim, kind="stable")
    # ascending from the other end is descending with the ties turned around
    return x.shape[dim] - 1 - xp.flip(xp.argsort(xp.flip(x, dim), axis=dim, kind="stable"), dim)


def topk(x, k: int, dim: int, largest: bool = True):
    """The indices of the k largest (or smallest) along dim, in order; ties in the order they had, nan the largest.

    Partitioned first, so that only k elements are sorted; which of several equal ones is the k-th is not defined."""
    xp, n = array_module(x), x.shape[dim]
    if 0 < k < n:
        parts = xp.argpartition(x, n - k if largest else k - 1, axis=dim)
        picked = xp.sort(xp.take(parts, range(n - k, n) if largest else range(k), axis=dim), axis=dim)
    else:
        picked = xp.argsort(xp.zeros_like(x), axis=dim, kind="stable")[(slice(None),) * dim + (slice(k),)]
    order = argsort(xp.take_along_axis(x, picked, dim), dim, largest)
    return xp.take_along_axis(picked, order, dim)


def multinomial(weights, uniform):
    """Indices drawn with replacement: the first whose running sum of weights is above uniform times the total.

    weights (N, C), uniform (N, S) in [0, 1) -> (N, S); an index of weight zero is never drawn"""
    xp = array_module(weights)
    sums = weights.cumsum(1)
    sums[:, -1:] = np.inf  # a product that rounds up to the total still lies in the last interval
    last = weights.shape[1] - 1 - xp.argmax((weights > 0)[:, ::-1], axis=1)
    drawn = [
        xp.searchsorted(row, u * total, side="right") for row, u, total in zip(sums, uniform, weights.sum(1))
    ]
    return xp.minimum(xp.stack(drawn), last[:, None])


def nonzero(x) -> tuple:
    """Where x is not zero, an index for each dimension; of one number, as of a row of one"""
    return x.nonzero() if x.ndim else x.reshape(1).nonzero()
