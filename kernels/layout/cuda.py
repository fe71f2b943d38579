"""Gathering numbers on a GPU (`layout.cu`)."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.layout.collect import collect
from tinygen.kernels.runtime.cuda_source import CudaSource
from tinygen.kernels.runtime.rounding import ceil_div

source = CudaSource("layout/layout.cu")
THREADS = 128
ARRAYS = 8  # a launch takes so many


def _dense(out, arrays, first) -> bool:
    """Whether float32 is gathered into float64, with all elements of an array next to each other."""
    return out.dtype == np.float64 and all(a.dtype == np.float32 and a.flags.c_contiguous for a in arrays)


@collect.variant("one_launch", devices=("cuda",), usable=_dense, on="host")
def collect_one_launch(out, arrays, first):
    """A thread copies one element: 12 bytes.  The addresses are arguments of the kernel, eight a launch."""
    if not _dense(out, arrays, first):
        raise ValueError("collect: the CUDA kernel takes contiguous float32 and writes float64")
    arrays = [a for a in arrays if a.size]
    for start in range(0, len(arrays), ARRAYS):
        some = arrays[start : start + ARRAYS]
        ends = [int(n) for n in np.cumsum([a.size for a in some])]
        missing = ARRAYS - len(some)
        total = ends[-1]
        grid = (ceil_div(total, THREADS),)
        padded = *some, *some[-1:] * missing
        source.launch("collect", grid, (THREADS,), *padded, *ends, *[total] * missing, out, np.int64(first))
        first += total
    return first
