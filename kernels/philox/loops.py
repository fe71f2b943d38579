"""The compiled loops of Philox.  Importing this file imports numba (0.5 s)."""

import numpy as np

from tinygen.kernels.philox.constants import ANGLE, KEY_STEPS, MULTIPLIERS, ROUNDS, SERIES
from tinygen.kernels.runtime.njit import njit

M0, M1 = (np.uint64(m) for m in MULTIPLIERS)
W0, W1 = (np.uint64(w) for w in KEY_STEPS)
LOW, SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)


@njit(cache=True, inline="always")
def _block(k0, k1, c0, c1, c2, c3):
    """The four words of one block, in uint64, where a 32 x 32 -> 64 bit product is one instruction"""
    for _ in range(ROUNDS):
        p0, p1 = c0 * M0, c2 * M1
        c0, c1, c2, c3 = (p1 >> SHIFT) ^ c1 ^ k0, p1 & LOW, (p0 >> SHIFT) ^ c3 ^ k1, p0 & LOW
        k0, k1 = (k0 + W0) & LOW, (k1 + W1) & LOW
    return c0, c1, c2, c3


@njit(cache=True)
def words(k0, k1, first, purpose, step_low, step_high, out):
    """out (4 blocks,) uint32.  Flat, because LLVM does not vectorize the same loop over a (blocks, 4) array."""
    for i in range(out.size // 4):
        a, b, c, d = _block(k0, k1, first + np.uint64(i), purpose, step_low, step_high)
        j = 4 * i
        out[j], out[j + 1], out[j + 2], out[j + 3] = np.uint32(a), np.uint32(b), np.uint32(c), np.uint32(d)


@njit(cache=True)
def _uniform(word):
    # via int32: before AVX-512, x86 converts only signed 32-bit integers
    return np.float32(np.int32(word >> np.uint64(8))) * np.float32(2**-24)


@njit(cache=True)
def uniforms(k0, k1, first, purpose, step_low, step_high, out):
    """out (4 blocks,) float32: words and conversion in one pass"""
    for i in range(out.size // 4):
        a, b, c, d = _block(k0, k1, first + np.uint64(i), purpose, step_low, step_high)
        j = 4 * i
        out[j], out[j + 1], out[j + 2], out[j + 3] = _uniform(a), _uniform(b), _uniform(c), _uniform(d)


@njit(cache=True)
def bernoullis(k0, k1, first, purpose, step_low, step_high, p, out):
    """p (n,) float32, out (n,) float32: no uniform is stored."""
    whole = p.size // 4
    for i in range(whole):
        a, b, c, d = _block(k0, k1, first + np.uint64(i), purpose, step_low, step_high)
        j = 4 * i
        out[j] = np.float32(_uniform(a) < p[j])
        out[j + 1] = np.float32(_uniform(b) < p[j + 1])
        out[j + 2] = np.float32(_uniform(c) < p[j + 2])
        out[j + 3] = np.float32(_uniform(d) < p[j + 3])
    last = _block(k0, k1, first + np.uint64(whole), purpose, step_low, step_high)
    for j in range(p.size - 4 * whole):
        out[4 * whole + j] = np.float32(_uniform(last[j]) < p[4 * whole + j])


@njit(cache=True)
def on_circles(words, radius, out):
    """out[2k], out[2k + 1] = radius[k] times cos, sin of words[2k + 1]: `cos_sin_of_turn` in one pass"""
    for k in range(radius.size):
        b = words[2 * k + 1]
        quarter = np.uint32(b + np.uint32(1 << 29)) >> np.uint32(30)
        t = np.int32(b - np.uint32(quarter << np.uint32(30))) * ANGLE
        tt, cosine, sine = t * t, 0.0, 0.0
        for c, s in SERIES:
            cosine, sine = cosine * tt + c, sine * tt + s
        sine = sine * t
        odd, flip_cosine, flip_sine = quarter & 1 == 1, (quarter + 1) & 2 == 2, quarter & 2 == 2
        cosine, sine = (sine, cosine) if odd else (cosine, sine)
        out[2 * k] = radius[k] * (-cosine if flip_cosine else cosine)
        out[2 * k + 1] = radius[k] * (-sine if flip_sine else sine)
