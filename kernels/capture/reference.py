"""The numbers of a step, written to device memory."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.runtime.dispatch import Kernel, array_module

set_words = Kernel("set_words")


@set_words.reference
def set_words_reference(out, words):
    """Write host words, a list of ints, to out (n,) uint64"""
    out[: len(words)] = array_module(out).asarray(np.array(words, np.uint64))
