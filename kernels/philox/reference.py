"""Philox4x32-10: random words as a pure function of a counter, and the numbers made from them.

Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3".  Block i of a stream needs only i,
so a CPU loop, a vectorised numpy call and a GPU thread produce the same words in any order.

    key      seed low, seed high
    counter  block index, purpose, step low, step high
    block    four 32-bit words; word j of a stream is word j % 4 of block j // 4

The numbers made from words are defined by their bits:

    uniform    float32 (a >> 8) 2^-24, float64 ((a >> 5) 2^26 + (b >> 6)) 2^-53, both in [0, 1)
    normal     r cos(2 pi u2) and r sin(2 pi u2), where r = sqrt(-2 ln u1)  (Box-Muller)
               u1 = (a + 1) 2^-32, u2 = b 2^-32, in float64 and rounded once
    bernoulli  1 where the float32 uniform is below p, else 0

On a GPU (xp is cupy) words, uniforms and Bernoulli draws have the same bits, normals the same but for the GPU's
logarithm.  What fills an array fills whole blocks: its size is a multiple of four.
Words a, b are neighbours: pair k gives the float64 uniform k, or the normals 2k (cos) and 2k + 1 (sin).
"""

from math import factorial

import numpy as np

from tinygen.kernels.runtime.dispatch import Kernel, array_module

MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
KEY_STEPS = 0x9E3779B9, 0xBB67AE85  # golden ratio, sqrt(3) - 1
ROUNDS = 10
SMALL = 256  # words; below this numpy answers before numba would have been imported
ANGLE = 2 * np.pi * 2.0**-32
SERIES = tuple(((-1) ** k / factorial(2 * k), (-1) ** k / factorial(2 * k + 1)) for k in range(8, -1, -1))
_LOW = 0xFFFFFFFF


def words(seed: int, purpose: int, step: int, first_block: int, n: int, xp=np):
    """n words counted from `first_block`.  -> (n,) uint32"""
    return _filled(philox_words, (seed, purpose, step, first_block), n, np.uint32, xp)


def uniform32(seed: int, purpose: int, step: int, first_block: int, n: int, xp=np):
    """n uniforms in [0, 1), one word each, multiples of 2^-24.  -> (n,) float32"""
    return _filled(philox_uniforms, (seed, purpose, step, first_block), n, np.float32, xp)


def normal(seed: int, purpose: int, step: int, first_block: int, n: int, dtype, xp=np):
    """n standard normals, one word each.  -> (n,) of dtype"""
    return _filled(philox_normals, (seed, purpose, step, first_block), n, dtype, xp)


def bernoulli32(seed: int, purpose: int, step: int, first_block: int, p):
    """Compare the stream's float32 uniforms with p.  p (n,) float32 -> (n,) float32 of 0 and 1"""
    _check(seed, purpose, step, first_block, p.size)
    return philox_bernoullis(p, seed, purpose, step, first_block)


def _filled(kernel: Kernel, key, n: int, dtype, xp):
    """The first n numbers of an array that `kernel` filled, a whole block of four at a time."""
    out = xp.empty(4 * _check(*key, n), dtype)
    kernel(out, *key)
    return out[:n]


philox_words = Kernel("philox_words")
philox_uniforms = Kernel("philox_uniforms")
philox_normals = Kernel("philox_normals")
philox_bernoullis = Kernel("philox_bernoullis")


@philox_words.reference
def philox_words_reference(out, seed, purpose, step, first_block):
    """Fill `out`, four words a block: ten rounds on four vectors of counters, in uint64 so that products are exact."""
    xp, blocks = array_module(out), out.size // 4
    low, shift = np.uint64(_LOW), np.uint64(32)
    m0, m1 = (np.uint64(m) for m in MULTIPLIERS)
    c0 = xp.arange(first_block, first_block + blocks, dtype=np.uint64)
    c1, c2, c3 = (xp.full(blocks, word, np.uint64) for word in (purpose, step & _LOW, step >> 32))
    k0, k1 = seed & _LOW, seed >> 32
    for _ in range(ROUNDS):
        p0, p1 = c0 * m0, c2 * m1
        c0, c1 = (p1 >> shift) ^ c1 ^ np.uint64(k0), p1 & low
        c2, c3 = (p0 >> shift) ^ c3 ^ np.uint64(k1), p0 & low
        k0, k1 = (k0 + KEY_STEPS[0]) & _LOW, (k1 + KEY_STEPS[1]) & _LOW
    out[0::4], out[1::4], out[2::4], out[3::4] = c0, c1, c2, c3


def _long(array, *key):
    return array.size > SMALL


@philox_words.variant("in_registers", usable=_long)
def philox_words_in_registers(out, seed, purpose, step, first_block):
    """One loop over blocks: ten rounds in registers, 16 bytes written a block, several blocks a vector."""
    _loops().words(*_args(seed, purpose, step, first_block), out)


def _words_for(out, key):
    """As many words as `out` has numbers, by whichever variant suits."""
    words = array_module(out).empty(out.size, np.uint32)
    philox_words(words, *key)
    return words


@philox_uniforms.reference
def philox_uniforms_reference(out, *key):
    """Fill `out` with a 2^-32 of every word a, rounded down to what float32 holds"""
    out[...] = uniform32_from_words(_words_for(out, key))


@philox_uniforms.variant("in_registers", usable=_long)
def philox_uniforms_in_registers(out, seed, purpose, step, first_block):
    """Words and conversion in one loop: no word is ever stored."""
    _loops().uniforms(*_args(seed, purpose, step, first_block), out)


@philox_normals.reference
def philox_normals_reference(out, *key):
    """Fill `out` with the normals of its words, two for every two: in float64, rounded once"""
    normal64_from_words(_words_for(out, key), out)


@philox_bernoullis.reference
def philox_bernoullis_reference(p, *key):
    """1 where the stream's uniform is below p, else 0.  (n,) -> (n,)"""
    return (uniform32(*key, p.size, array_module(p)) < p).astype(np.float32)


@philox_bernoullis.variant("in_registers", usable=_long)
def philox_bernoullis_in_registers(p, seed, purpose, step, first_block):
    """Words, conversion and comparison in one loop: no uniform is ever stored."""
    out = np.empty(p.size, np.float32)
    _loops().bernoullis(*_args(seed, purpose, step, first_block), p, out)
    return out


def uniform32_from_words(words: np.ndarray) -> np.ndarray:
    """(n,) uint32 -> (n,) float32 in [0, 1): the upper 24 bits, all that float32 holds."""
    return (words >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)


def uniform64_from_words(words: np.ndarray) -> np.ndarray:
    """(2n,) uint32 -> (n,) float64 in [0, 1) with 53 bits."""
    a, b = (words[0::2] >> np.uint32(5)).astype(np.float64), (words[1::2] >> np.uint32(6)).astype(np.float64)
    return (a * 2.0**26 + b) * 2.0**-53


def normal64_from_words(words: np.ndarray, out=None) -> np.ndarray:
    """(2n,) uint32 -> (2n,) float64 standard normals; |x| <= sqrt(64 ln 2) = 6.66 because u1 >= 2^-32.

    out: the array to fill instead, whose dtype they are rounded to."""
    xp = array_module(words)
    radius = xp.sqrt(-2.0 * xp.log((words[0::2].astype(np.float64) + 1.0) * 2.0**-32))
    out = xp.empty(words.size) if out is None else out
    if words.size > SMALL and xp is np:
        _loops().on_circles(words, radius, out)
    else:
        cosine, sine = cos_sin_of_turn(words[1::2])
        out[0::2], out[1::2] = radius * cosine, radius * sine
    return out


def cos_sin_of_turn(b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin of 2 pi b 2^-32 to about 1e-16.  (n,) uint32 -> two of (n,) float64

    The nearest quarter turn exactly, the rest, |t| <= pi/4, by its Taylor series: products and sums only, so
    variants and machines round alike, which a libm does not promise.  With it a normal costs a ninth of what
    numpy's sin and cos would make it cost."""
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


def _args(seed, purpose, step, first_block):
    return tuple(
        np.uint64(x) for x in (seed & _LOW, seed >> 32, first_block, purpose, step & _LOW, step >> 32)
    )


def _check(seed, purpose, step, first_block, n_words):
    """Refuse what does not fit the counter, instead of repeating a stream.  -> number of blocks"""
    blocks = -(-n_words // 4)
    for name, value, bits in ("seed", seed, 64), ("purpose", purpose, 32), ("step", step, 64):
        if not 0 <= value < 1 << bits:
            raise ValueError(f"philox: {name} is {value}, expected an integer of {bits} bits, 0 or more")
    if n_words < 0 or first_block < 0 or first_block + blocks > 1 << 32:
        raise ValueError(
            f"philox: {n_words} words from block {first_block} leave the 2^32 blocks of a stream"
        )
    return blocks


def _loops():
    from tinygen.kernels.philox import loops  # imports numba

    return loops
