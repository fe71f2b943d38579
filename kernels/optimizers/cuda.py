"""Adam on the GPU (`optimizers.cu`) for contiguous float32 parameters, all of them in one launch."""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.optimizers.reference import adam
from tinygen.kernels.runtime.cuda_source import CudaSource, address
from tinygen.kernels.runtime.dispatch import array_module
from tinygen.kernels.runtime.rounding import ceil_div

source = CudaSource("optimizers/optimizers.cu")
THREADS = 256
CHUNK = 4096  # elements a block of adam_multi_tensor updates

_tables: dict = {}  # per device: the last table of addresses, and the array that holds it


def _dense(p, g, m, v, *, largest=None, **_) -> bool:
    """Whether the kernels can update all of them in place: float32, contiguous, without AMSGrad"""
    return largest is None and all(
        a.dtype == np.float32 and a.shape == arrays[0].shape and a.flags.c_contiguous
        for arrays in zip(p, g, m, v)
        for a in arrays
    )


def _numbers(step: int, lr, beta1, beta2, eps, weight_decay, decoupled) -> list[float]:
    """The numbers that the kernels take, in their order"""
    decay, shrink = (0, 1 - lr * weight_decay) if decoupled else (weight_decay, 1)
    correction, rate = 1 / math.sqrt(1 - beta2**step), lr / (1 - beta1**step)
    return list(map(float, (beta1, 1 - beta1, beta2, 1 - beta2, correction, eps, rate, decay, shrink)))


def _require_dense(p, g, m, v, largest) -> None:
    if not _dense(p, g, m, v, largest=largest):
        raise ValueError(
            "adam: the CUDA kernels take contiguous arrays of float32 and one shape, without AMSGrad"
        )


@adam.variant("one_pass", devices=("cuda",), usable=_dense, on="host")
def adam_one_pass_cuda(p, g, m, v, *, lr, beta1, beta2, eps, weight_decay, decoupled, step, largest=None):
    """A thread updates one element: 28 bytes, each array read and written once; one launch per parameter."""
    _require_dense(p, g, m, v, largest)
    for *arrays, count in zip(p, g, m, v, step):
        size = arrays[0].size
        numbers = _numbers(count, lr, beta1, beta2, eps, weight_decay, decoupled)
        grid = (ceil_div(size, THREADS),)
        source.launch("adam_one_pass", grid, (THREADS,), *arrays, np.int64(size), *numbers)


@adam.variant("multi_tensor", devices=("cuda",), usable=_dense, on="host")
def adam_multi_tensor_cuda(p, g, m, v, *, lr, beta1, beta2, eps, weight_decay, decoupled, step, largest=None):
    """One launch for all parameters: a block takes 4096 elements of one, found in a table of addresses."""
    _require_dense(p, g, m, v, largest)
    for count in sorted(set(step)):  # one, unless a parameter was frozen for a while
        chosen = [arrays for *arrays, n in zip(p, g, m, v, step) if n == count and arrays[0].size]
        if not chosen:
            continue
        table, blocks = _table(chosen)
        numbers = _numbers(count, lr, beta1, beta2, eps, weight_decay, decoupled)
        reachable = [array for arrays in chosen for array in arrays]
        source.launch(
            "adam_multi_tensor", (blocks,), (THREADS,), table, len(chosen), *numbers, reachable=reachable
        )


def _table(parameters: list):
    """(table with a row p, g, m, v, size, first block per parameter, on their device; number of blocks)"""
    sizes = np.array([arrays[0].size for arrays in parameters], np.int64)
    blocks = np.concatenate([[0], np.cumsum(-(-sizes // CHUNK))])
    rows = np.empty((len(parameters), 6), np.int64)
    rows[:, :4] = [[address(a) for a in arrays] for arrays in parameters]
    rows[:, 4], rows[:, 5] = sizes, blocks[:-1]
    return _on_device(rows, parameters[0][0]), int(blocks[-1])


def _on_device(rows: np.ndarray, like):
    """The table on the device of `like`.  It is kept, as most steps find the arrays where the step before left them."""
    if isinstance(like, np.ndarray):
        return rows
    content, device = rows.tobytes(), like.device.id
    if _tables.get(device, (None,))[0] != content:
        _tables[device] = content, array_module(like).asarray(rows)
    return _tables[device][1]
