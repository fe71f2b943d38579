"""set_words on the GPU (`capture.cu`): the words are arguments of the launch, so no copy waits for anything."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.capture.reference import set_words
from tinygen.kernels.runtime.cuda_source import CudaSource

source = CudaSource("capture/capture.cu")
WORDS = 16  # a launch


def _usable(out, words) -> bool:
    return out.dtype == np.uint64 and out.flags.c_contiguous


@set_words.variant("in_arguments", devices=("cuda",), usable=_usable, on="host")
def set_words_cuda(out, words):
    """A thread writes one of up to 16 words, which came with the launch: nothing is copied, nothing is waited for."""
    for first in range(0, len(words), WORDS):
        some = words[first : first + WORDS]
        padded = [np.uint64(word) for word in some] + [np.uint64(0)] * (WORDS - len(some))
        source.launch("set_words", (1,), (32,), out[first:], np.int32(len(some)), *padded)
