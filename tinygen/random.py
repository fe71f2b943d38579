"""Counter-based random numbers: each is a function of seed, purpose, step and its position in the stream.

    rng = Generator(seed).at("noise", step)      # a Stream
    rng.normal((8, 784))

Purposes and steps share no state: a resumed run needs only its step to draw the same numbers, and an extra draw in
one place changes none elsewhere.  The random words come from Philox (`kernels/philox/reference.py`).
"""

from __future__ import annotations

import math
import os
import threading
import zlib

import numpy as np

from tinygen.engine import devices
from tinygen.engine.errors import refusal
from tinygen.kernels.philox import streams as philox
from tinygen.kernels.runtime import capture


class Stream:
    """A stream of random numbers.  With a GPU as `device` they are generated there, as cupy arrays.

    Each call starts at a new block of four words, and its first n numbers do not depend on how many it draws in all.
    """

    def __init__(self, seed: int, purpose: str, step: int = 0, device=None) -> None:
        self._block, self._xp = 0, devices.module(device)
        if isinstance(step, capture.Counter):  # in a captured step it lies on the GPU
            if self._xp is np:
                raise capture.Refused(f"random numbers ({purpose}) are drawn on the host")
            step = step.array
        self._key, self._device = (seed, zlib.crc32(purpose.encode()), step), device
        self.purpose = purpose

    def __repr__(self) -> str:
        seed, _, step = self._key
        return f"Stream(seed={seed}, purpose={self.purpose!r}, step={step}, blocks drawn: {self._block})"

    def __getstate__(self) -> dict:
        return {name: value for name, value in vars(self).items() if name != "_xp"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__ |= state
        self._xp = devices.module(self._device)

    def uniform(self, shape=(), dtype=np.float32) -> np.ndarray:
        """Uniform in [0, 1): multiples of 2^-24 in float32, of 2^-53 in float64.  -> shape"""
        n = _size(shape)
        if _float(dtype) == np.float32:
            return philox.uniform32(*self._key, self._advance(n), n, self._xp).reshape(shape)
        return philox.uniform64(*self._key, self._advance(2 * n), n, self._xp).reshape(shape)

    def normal(self, shape=(), dtype=np.float32) -> np.ndarray:
        """Standard normal by Box-Muller in float64, rounded once; its magnitude is at most 6.66.  -> shape"""
        n, dtype = _size(shape), _float(dtype)
        return philox.normal(*self._key, self._advance(n), n, dtype, self._xp).reshape(shape)

    def bernoulli(self, p) -> np.ndarray:
        """1 with probability p (rounded to float32), else 0; p = 0 and p = 1 are exact.  p shape -> shape, float32"""
        p = self._xp.ascontiguousarray(p, np.float32)
        return philox.bernoulli32(*self._key, self._advance(p.size), p.reshape(-1)).reshape(p.shape)

    def integers(self, low: int, high: int, shape=()) -> np.ndarray:
        """Integers low <= i < high, with high - low at most 2^32.  -> shape, int64

        The upper 64 bits of (64-bit word) x (high - low).  Each probability is right to a factor of
        1 ± (high - low) 2^-64, which is at most 1 ± 2^-32."""
        if not (-(2**63) <= low < high <= 2**63 and high - low <= 2**32):
            raise refusal(
                "integers", ValueError, f"low {low}, high {high}; expected int64 with 0 < high - low <= 2^32"
            )
        words = self._words(2 * _size(shape)).astype(np.uint64)
        width, half = np.uint64(high - low), np.uint64(32)
        upper, lower = words[0::2], words[1::2]
        # exact: (2^32 - 1) 2^32 + 2^32 - 1 still fits in 64 bits
        offset = upper if high - low == 2**32 else (upper * width + ((lower * width) >> half)) >> half
        return (offset.astype(np.int64) + low).reshape(shape)

    def permutation(self, n: int) -> np.ndarray:
        """0..n-1 in random order.  -> (n,) int64

        A stable sort by 64-bit keys.  Two of the n keys are equal, and so not shuffled, with probability n^2 2^-65."""
        words = self._words(2 * n).astype(np.uint64)
        order = self._xp.argsort((words[0::2] << np.uint64(32)) | words[1::2], kind="stable")
        return order.astype(np.int64)

    def _words(self, n):
        return philox.words(*self._key, self._advance(n), n, self._xp)

    def _advance(self, words):
        with _drawing:
            first = self._block
            self._block += -(-words // 4)
        return first


class Generator:
    """A seed; `at(purpose, step)` is the beginning of the stream of that purpose at that step.

    A stream has the same numbers on a GPU (`device`): uniforms to the bit, normals within 4 units in the last place.
    """

    def __init__(self, seed: int = 0) -> None:
        if not isinstance(seed, (int, float, np.number)):
            raise refusal("Generator", TypeError, f"found seed {seed!r}, expected a whole number")
        if not -(2**63) <= seed < 2**64:
            raise ValueError(f"seed {seed} does not fit in 64 bits")
        self.seed = int(seed) % 2**64

    def __repr__(self) -> str:
        return f"Generator(seed={self.seed})"

    def at(self, purpose: str, step: int = 0, device=None) -> Stream:
        return Stream(self.seed, purpose, step, device)


_default = Generator(0)
_counter = 0
_drawing = threading.RLock()  # so that no two threads draw the same numbers


def _open_lock() -> None:
    """A forked child has no other thread that could release it."""
    global _drawing
    _drawing = threading.RLock()


os.register_at_fork(after_in_child=_open_lock)


def manual_seed(seed: int) -> None:
    """Seed the default generator.  Its initial seed is 0: unlike in PyTorch, unseeded programs are reproducible."""
    global _default, _counter
    generator = Generator(seed)
    with _drawing:
        _default, _counter = generator, 0


def default_stream(device=None) -> Stream:
    """A new stream of the default generator, different at every call."""
    capture.fixed("the seed of the default generator", lambda: _default.seed)
    with _drawing:
        generator, step = _default, capture.counter(_next)
    return generator.at("default", step, device)


def _next() -> int:
    """The number of the next stream of the default generator"""
    global _counter
    _counter += 1
    return _counter - 1


def get_state() -> dict[str, int]:
    """The state of the default generator, for a checkpoint."""
    with _drawing:
        return {"seed": _default.seed, "counter": _counter}


def set_state(state: dict[str, int]) -> None:
    """Continue from a state that `get_state` returned."""
    global _default, _counter
    seed, counter = int(state["seed"]), int(state["counter"])
    if counter < 0:
        raise refusal("set_state", ValueError, f"counter {counter}, expected 0 or more")
    generator = Generator(seed)
    with _drawing:
        _default, _counter = generator, counter


def between(a, b, u, dtype, closed: bool = False) -> np.ndarray:
    """a + (b - a) u, rounded to `dtype` and clipped to [a, b) (`closed`: [a, b]), which rounding alone may leave.

    u in [0, 1).  Numbers that rounding leaves inside have the bits of that formula in u's dtype."""
    wide = u.dtype.type
    if abs(b - a) <= float(np.finfo(wide).max):
        x = wide(a) + wide(b - a) * u
    else:  # b - a overflows
        x = wide(a) * (1 - u) + wide(b) * u
    return inside(a, b, x, dtype, closed)


def inside(a, b, x, dtype, closed: bool = False) -> np.ndarray:
    """x rounded to `dtype` and clipped to [a, b), or `closed` to [a, b], if numbers of `dtype` lie there."""
    return np.clip(x.astype(dtype, copy=False), *_limits(a, b, np.dtype(dtype).type, closed))


def _limits(a, b, kind, closed: bool) -> tuple:
    """The smallest number of `kind` that is at least a, and the largest below b (`closed`: at most b)."""
    low, high = kind(a), kind(b)
    if float(low) < a:
        low = np.nextafter(low, kind(np.inf))
    if float(high) > b or (float(high) == b and not closed):
        high = np.nextafter(high, kind(-np.inf))
    return (low, high) if low <= high else (kind(a), kind(a))


def _size(shape):
    return math.prod(shape) if isinstance(shape, (tuple, list)) else int(shape)


def _float(dtype):
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise refusal("random", ValueError, f"dtype {dtype}, expected float32 or float64")
    return dtype
