"""The first n numbers of a stream from a block on.  The counter is (first_block, purpose, step), the key the seed.

The step may be an array () uint64 beside the numbers, which a captured step needs (runtime/capture.py).
"""

from __future__ import annotations

import numpy as np

from tinygen.kernels.philox.conversions import uniform64_from_words
from tinygen.kernels.philox.reference import philox_bernoullis, philox_normals, philox_uniforms, philox_words
from tinygen.kernels.runtime.dispatch import Kernel
from tinygen.kernels.runtime.rounding import ceil_div


def words(seed: int, purpose: int, step: int, first_block: int, n: int, xp=np):
    """n words.  -> (n,) uint32"""
    return _filled(philox_words, (seed, purpose, step, first_block), n, np.uint32, xp)


def uniform32(seed: int, purpose: int, step: int, first_block: int, n: int, xp=np):
    """n uniforms in [0, 1), one word each, multiples of 2^-24.  -> (n,) float32"""
    return _filled(philox_uniforms, (seed, purpose, step, first_block), n, np.float32, xp)


def uniform64(seed: int, purpose: int, step: int, first_block: int, n: int, xp=np):
    """n uniforms in [0, 1), two words each, multiples of 2^-53.  -> (n,) float64"""
    return uniform64_from_words(words(seed, purpose, step, first_block, 2 * n, xp))


def normal(seed: int, purpose: int, step: int, first_block: int, n: int, dtype, xp=np):
    """n standard normals, one word each.  -> (n,) of dtype"""
    return _filled(philox_normals, (seed, purpose, step, first_block), n, dtype, xp)


def bernoulli32(seed: int, purpose: int, step: int, first_block: int, p):
    """Compare the stream's float32 uniforms with p.  p (n,) float32 -> (n,) float32 of 0 and 1"""
    _check(seed, purpose, step, first_block, p.size)
    return philox_bernoullis(p, seed, purpose, step, first_block)


def _filled(kernel: Kernel, key, n: int, dtype, xp):
    """The first n numbers of an array that `kernel` has filled, in whole blocks of four"""
    out = xp.empty(4 * _check(*key, n), dtype)
    kernel(out, *key)
    return out[:n]


def _check(seed, purpose, step, first_block, n_words) -> int:
    """ValueError for anything that does not fit the counter, where a stream would repeat.  -> number of blocks"""
    blocks = ceil_div(n_words, 4)
    for name, value, bits in ("seed", seed, 64), ("purpose", purpose, 32), ("step", step, 64):
        if isinstance(value, (int, np.integer)) and not 0 <= value < 1 << bits:
            raise ValueError(f"philox: {name} is {value}, expected an integer of {bits} bits, 0 or more")
    if n_words < 0 or first_block < 0 or first_block + blocks > 1 << 32:
        raise ValueError(
            f"philox: {n_words} words from block {first_block} on exceed the 2^32 blocks of a stream"
        )
    return blocks
