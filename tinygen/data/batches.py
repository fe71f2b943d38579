"""Which images a step sees: functions of (seed, step), so that a resumed run sees the same ones."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from tinygen.data.data_error import DataError
from tinygen.random import Generator, Stream


@lru_cache(maxsize=4)
def epoch_order(n: int, seed: int, epoch: int) -> np.ndarray:
    """The order of n examples in an epoch; the latest few are cached.  -> (n,) int64, read-only"""
    order = Generator(seed).at("epoch-order", epoch).permutation(n)
    order.flags.writeable = False
    return order


def batch_indices(n: int, batch: int, seed: int, step: int) -> np.ndarray:
    """The examples of a step, counted from 0 over all epochs; each epoch leaves out n % batch of them.
    -> (batch,) int64, read-only"""
    if not 1 <= batch <= n:
        raise DataError(f"batch of {batch}, expected 1 to the {n} examples of the split")
    epoch, place = divmod(step, n // batch)
    return epoch_order(n, seed, epoch)[place * batch : (place + 1) * batch]


def binarize(images: np.ndarray, stream: Stream) -> np.ndarray:
    """Dynamic binarization: a pixel is 1 with probability grey / 255.  (...) uint8 -> (...) float32, 0 or 1

    Salakhutdinov & Murray 2008; a fixed stream gives a fixed test set.
    """
    return stream.bernoulli(np.divide(images, 255, dtype=np.float32))
