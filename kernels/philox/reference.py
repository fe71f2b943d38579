"""Philox4x32-10: random words as a pure function of a counter, and the numbers made from them.

Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3".  Block i of a stream depends only on i, so a CPU
loop, a vectorized NumPy call and a GPU thread produce the same words in any order.

    key      seed low, seed high
    counter  block index, purpose, step low, step high
    block    four 32-bit words; word j of a stream is word j % 4 of block j // 4

The numbers made from words are defined by their bits:

    uniform    float32 (a >> 8) 2^-24, float64 ((a >> 5) 2^26 + (b >> 6)) 2^-53, both in [0, 1)
    normal     r cos(2 pi u2) and r sin(2 pi u2), where r = sqrt(-2 ln u1)  (Box-Muller)
               u1 = (a + 1) 2^-32, u2 = b 2^-32, in float64 and rounded once
    bernoulli  1 if the float32 uniform is below p, else 0

Words a, b are neighbors: pair k gives the float64 uniform k, or the normals 2k (cos) and 2k + 1 (sin).
On a GPU (xp is cupy) words, uniforms and Bernoulli draws have the same bits; normals differ by the GPU's logarithm.
A kernel that fills an array fills whole blocks: the size of `out` is a multiple of four.
"""

from __future__ import annotations

import numpy as np

from tinygen.kernels.philox.constants import KEY_STEPS, LOW, MULTIPLIERS, ROUNDS
from tinygen.kernels.philox.conversions import normal64_from_words, uniform32_from_words
from tinygen.kernels.runtime.dispatch import Kernel, array_module
from tinygen.kernels.runtime.rounding import ceil_div

philox_words = Kernel("philox_words")


@philox_words.reference
def philox_words_reference(out, seed, purpose, step, first_block):
    """Fill `out`, four words per block: ten rounds on four vectors of counters, in uint64 for exact products"""
    xp, blocks = array_module(out), out.size // 4
    low, shift = np.uint64(LOW), np.uint64(32)
    m0, m1 = (np.uint64(m) for m in MULTIPLIERS)
    c0 = xp.arange(first_block, first_block + blocks, dtype=np.uint64)
    c1, c2, c3 = (xp.full(blocks, word, np.uint64) for word in (purpose, step & LOW, step >> 32))
    k0, k1 = seed & LOW, seed >> 32
    for _ in range(ROUNDS):
        p0, p1 = c0 * m0, c2 * m1
        c0, c1 = (p1 >> shift) ^ c1 ^ np.uint64(k0), p1 & low
        c2, c3 = (p0 >> shift) ^ c3 ^ np.uint64(k1), p0 & low
        k0, k1 = (k0 + KEY_STEPS[0]) & LOW, (k1 + KEY_STEPS[1]) & LOW
    out[0::4], out[1::4], out[2::4], out[3::4] = c0, c1, c2, c3


def _words_for(out, key):
    """As many words as `out` has numbers, from any variant"""
    words = array_module(out).empty(out.size, np.uint32)
    philox_words(words, *key)
    return words


philox_uniforms = Kernel("philox_uniforms")


@philox_uniforms.reference
def philox_uniforms_reference(out, *key):
    """Fill `out` with a 2^-32 for every word a, rounded down to what float32 holds"""
    out[...] = uniform32_from_words(_words_for(out, key))


philox_normals = Kernel("philox_normals")


@philox_normals.reference
def philox_normals_reference(out, *key):
    """Fill `out` with the normals of its words, two for every two, computed in float64 and rounded once"""
    normal64_from_words(_words_for(out, key), out)


philox_bernoullis = Kernel("philox_bernoullis")


@philox_bernoullis.reference
def philox_bernoullis_reference(p, *key):
    """1 where the uniform of the stream is below p, else 0.  (n,) -> (n,)"""
    uniforms = array_module(p).empty(4 * ceil_div(p.size, 4), np.float32)
    philox_uniforms(uniforms, *key)
    return (uniforms[: p.size] < p).astype(np.float32)
