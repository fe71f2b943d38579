"""Arguments on which every CUDA variant of a kernel is checked against its reference.  A new kernel adds a function.

A function is named as the kernel, takes `a`, which makes arrays, and yields (args, attrs) for each call; sizes are
irregular: 1, primes, no multiple of a tile, zero.  `TOLERANCE` holds the exceptions.
"""

from __future__ import annotations

import math

import numpy as np


class Arrays:
    """Makes random arrays of numpy or cupy, in memory as asked.  The same values each time."""

    def __init__(self, xp=np, seed: int = 0) -> None:
        self.xp, self.rng = xp, np.random.default_rng(seed)

    def __call__(self, *shape: int, dtype=np.float32):
        """standard normal values, contiguous"""
        return self.xp.asarray(self.rng.standard_normal(shape).astype(dtype))

    def turned(self, *shape: int):
        """The last two axes swapped in memory."""
        return self(*shape[:-2], shape[-1], shape[-2]).swapaxes(-1, -2)

    def stepped(self, *shape: int):
        """Every second element along the last axis, from the second on, backwards along the first."""
        return self(*shape[:-1], 2 * shape[-1] + 1)[::-1, ..., 1::2]

    def shifted(self, *shape: int):
        """Contiguous, but on no 16-byte boundary."""
        return self(math.prod(shape) + 1)[1:].reshape(shape)


# The largest error, as a part of the largest magnitude of the reference's result in float64.
TOLERANCE: dict[str, float] = {}


def matmul(a: Arrays):
    for m, k, n in (
        (1, 1, 1),
        (3, 5, 7),
        (33, 31, 65),
        (129, 67, 130),
        (128, 24, 256),
        (64, 8, 64),
        (1, 257, 2),
    ):
        yield (a(m, k), a(k, n)), {}
        yield (a(m, k), a.turned(k, n)), {}
        yield (a.turned(m, k), a(k, n)), {}
        yield (a.turned(m, k), a.turned(k, n)), {}
        yield (a.stepped(m, k), a.stepped(k, n)), {}
        yield (a.shifted(m, k), a.shifted(k, n)), {}
    yield (a(260, 12), a(12, 132)), {}  # several tiles of 128, all of float4
    for m, k, n in (0, 3, 2), (3, 0, 2), (3, 2, 0), (0, 0, 0):
        yield (a(m, k), a(k, n)), {}
    for x, w in (
        ((3, 5, 7), (7, 4)),
        ((5, 7), (3, 7, 4)),
        ((2, 1, 5, 7), (3, 7, 4)),
        ((2, 3, 5, 8), (2, 3, 8, 4)),
        ((1, 5, 7), (1, 7, 4)),
        ((4, 1, 7), (1, 7, 1)),
        ((2, 0, 3), (3, 2)),
        ((0, 2, 3), (3, 2)),
    ):
        yield (a(*x), a(*w)), {}
        yield (a.turned(*x), a.turned(*w)), {}
        yield (a.stepped(*x), a.stepped(*w)), {}
    yield (a(7), a(7)), {}
    yield (a(7), a(2, 7, 3)), {}
    yield (a(2, 3, 7), a(7)), {}
    yield (a(0), a(0, 3)), {}


# Kernels that write into their arguments: which of them.
WRITTEN = {"adam": (0, 2, 3)}


def adam(a: Arrays):
    rate = dict(lr=1e-2, beta1=0.9, beta2=0.99, eps=1e-8)
    sizes = (1,), (17, 31), (0,), (4096,), (3, 4099), (5, 4096)
    for decay, decoupled in (0.0, False), (0.1, False), (0.1, True):
        for shifted in None, 0, 1, 2, 3:
            makes = [a.shifted if i == shifted else a for i in range(4)]
            p, g, m, v = ([make(*size) for size in sizes] for make in makes)
            for each in v:
                each *= each
                each += 0.01  # beside a v of 0 a large m makes a step whose digits are g's rounding
            yield (
                (p, g, m, v),
                {**rate, "weight_decay": decay, "decoupled": decoupled, "step": [3, 3, 3, 1, 3, 3]},
            )
    empty = [a(0)]
    yield (empty, empty, empty, empty), {**rate, "weight_decay": 0.0, "decoupled": False, "step": [1]}
