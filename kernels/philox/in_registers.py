"""Philox on a CPU: compiled loops that make a block of four words in registers and write only the result."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.philox.constants import LOW, SMALL
from tinygen.kernels.philox.reference import philox_bernoullis, philox_uniforms, philox_words


def usable(array, *key) -> bool:
    return array.size > SMALL


def _loops():
    from tinygen.kernels.philox import loops  # imports numba

    return loops


def _counter(seed, purpose, step, first_block):
    """Key and counter as the loops take them"""
    return tuple(np.uint64(x) for x in (seed & LOW, seed >> 32, first_block, purpose, step & LOW, step >> 32))


@philox_words.variant("in_registers", usable=usable)
def philox_words_in_registers(out, seed, purpose, step, first_block):
    """One loop over blocks: ten rounds in registers, 16 bytes written per block, several blocks per vector."""
    _loops().words(*_counter(seed, purpose, step, first_block), out)


@philox_uniforms.variant("in_registers", usable=usable)
def philox_uniforms_in_registers(out, seed, purpose, step, first_block):
    """Words and conversion in one loop: no word is stored."""
    _loops().uniforms(*_counter(seed, purpose, step, first_block), out)


@philox_bernoullis.variant("in_registers", usable=usable)
def philox_bernoullis_in_registers(p, seed, purpose, step, first_block):
    """Words, conversion and comparison in one loop: no uniform is stored."""
    out = np.empty(p.size, np.float32)
    _loops().bernoullis(*_counter(seed, purpose, step, first_block), p, out)
    return out
