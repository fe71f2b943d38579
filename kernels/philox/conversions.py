"""Numbers made from random words, as `reference` defines them by their bits."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.philox.constants import ANGLE, SERIES, SMALL
from tinygen.kernels.runtime.dispatch import array_module


def uniform32_from_words(words: np.ndarray) -> np.ndarray:
    """(n,) uint32 -> (n,) float32 in [0, 1): the upper 24 bits, as many as float32 holds"""
    return (words >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)


def uniform64_from_words(words: np.ndarray) -> np.ndarray:
    """(2n,) uint32 -> (n,) float64 in [0, 1) with 53 bits"""
    a, b = (words[0::2] >> np.uint32(5)).astype(np.float64), (words[1::2] >> np.uint32(6)).astype(np.float64)
    return (a * 2.0**26 + b) * 2.0**-53


def normal64_from_words(words: np.ndarray, out=None) -> np.ndarray:
    """(2n,) uint32 -> (2n,) float64 standard normals; |x| <= sqrt(64 ln 2) = 6.66 because u1 >= 2^-32.

    out: an array to fill instead, rounding to its dtype."""
    xp = array_module(words)
    radius = xp.sqrt(-2.0 * xp.log((words[0::2].astype(np.float64) + 1.0) * 2.0**-32))
    out = xp.empty(words.size) if out is None else out
    if words.size > SMALL and xp is np:
        from tinygen.kernels.philox import loops

        loops.on_circles(words, radius, out)
    else:
        cosine, sine = cos_sin_of_turn(words[1::2])
        out[0::2], out[1::2] = radius * cosine, radius * sine
    return out


def cos_sin_of_turn(b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin of 2 pi b 2^-32 to about 1e-16.  (n,) uint32 -> two of (n,) float64

    The nearest quarter turn exactly, and the rest, |t| <= pi/4, by its Taylor series.  That needs only products and
    sums, which variants and machines round alike; a libm does not promise that.  A normal costs a ninth of what it
    would cost with NumPy's sin and cos."""
    quarter = (b + np.uint32(1 << 29)) >> np.uint32(30)  # wraps: b near a full turn counts as quarter 0
    t = (b - (quarter << np.uint32(30))).view(np.int32) * ANGLE
    xp = array_module(b)
    tt, cosine, sine = t * t, xp.zeros(b.shape), xp.zeros(b.shape)
    for c, s in SERIES:
        cosine, sine = cosine * tt + c, sine * tt + s
    sine = sine * t
    odd, flip_cosine, flip_sine = quarter & 1 == 1, (quarter + 1) & 2 == 2, quarter & 2 == 2
    cosine, sine = xp.where(odd, sine, cosine), xp.where(odd, cosine, sine)
    return xp.where(flip_cosine, -cosine, cosine), xp.where(flip_sine, -sine, sine)
