"""Adam on the GPU (`optimizers.cu`) for contiguous float32 parameters, all of them in one launch."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.optimizers.reference import adam, adam_numbers, adam_of_one
from tinygen.kernels.runtime.array_table import CHUNK, THREADS, dense, split, table_of
from tinygen.kernels.runtime.cuda_source import CudaSource
from tinygen.kernels.runtime.rounding import ceil_div

source = CudaSource("optimizers/optimizers.cu")


def _fits(p, g, m, v, *, largest=None, **_) -> bool:
    """Whether the kernels can update at least one of them in place: float32, contiguous, without AMSGrad"""
    return largest is None and any(dense(*arrays) for arrays in zip(p, g, m, v))


def _numbers(step: int, lr, beta1, beta2, eps, weight_decay, decoupled) -> list[float]:
    """The numbers that the kernels take, in their order"""
    rates = dict(lr=lr, beta1=beta1, beta2=beta2, weight_decay=weight_decay, decoupled=decoupled)
    correction, rate, shrink, _ = adam_numbers(step, **rates)
    decay = 0 if decoupled else weight_decay
    return list(map(float, (beta1, 1 - beta1, beta2, 1 - beta2, correction, eps, rate, decay, shrink)))


def _dense_ones(p, g, m, v, step, largest, numbers=None, **rate) -> list:
    """([p, g, m, v], step) of each parameter that the kernels take; the others are updated here, by the reference."""
    if not _fits(p, g, m, v, largest=largest):
        raise ValueError(
            "adam: the CUDA kernels take contiguous arrays of float32 and one shape, without AMSGrad"
        )
    fits, others = split(p, g, m, v)
    for i in others:
        adam_of_one(p[i], g[i], m[i], v[i], **rate, step=step[i], largest=None, numbers=numbers)
    return [((p[i], g[i], m[i], v[i]), step[i]) for i in fits]


@adam.variant("one_pass", devices=("cuda",), usable=_fits, on="host")
def adam_one_pass_cuda(p, g, m, v, *, step, largest=None, numbers=None, **rate):
    """A thread updates one element: 28 bytes, each array read and written once; one launch per parameter."""
    if numbers is not None:
        raise ValueError("adam: only multi_tensor and the reference read their numbers on the device")
    for arrays, count in _dense_ones(p, g, m, v, step, largest, **rate):
        size = arrays[0].size
        grid = (ceil_div(size, THREADS),)
        source.launch("adam_one_pass", grid, (THREADS,), *arrays, np.int64(size), *_numbers(count, **rate))


@adam.variant("multi_tensor", devices=("cuda",), usable=_fits, on="host")
def adam_multi_tensor_cuda(p, g, m, v, *, step, largest=None, numbers=None, **rate):
    """One launch for all parameters: a block takes 4096 elements of one, found in a table of addresses.

    numbers: correction, rate and shrink of this step, the first of an array on the device, for a captured step
    """
    chosen = _dense_ones(p, g, m, v, step, largest, numbers, **rate)
    for count in sorted({count for _, count in chosen}):  # one, unless a parameter was frozen for a while
        lists = list(zip(*(arrays for arrays, n in chosen if n == count)))
        table, rows, blocks = table_of(lists, CHUNK)
        if rows:
            source.launch(
                "adam_multi_tensor", (blocks,), (THREADS,), table, rows, *_numbers(count, **rate), numbers,
                reachable=[array for arrays in lists for array in arrays],
            )  # fmt: skip
