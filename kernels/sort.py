"""Orders: what sorting, counting and drawing by weight are made of."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.dispatch import array_module


def argsort(x, dim: int, descending: bool = False):
    """The indices that sort x along dim, ties in the order they had; nan counts as the largest."""
    xp = array_module(x)
    if not descending:
        return xp.argsort(x, axis=dim, kind="stable")
    # ascending from the other end is descending with the ties turned around
    return x.shape[dim] - 1 - xp.flip(xp.argsort(xp.flip(x, dim), axis=dim, kind="stable"), dim)


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
