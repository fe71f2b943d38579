"""All Tensors of a list at once, in place and outside the graph: the norm of gradients, clipping it, moving averages.

A list may be spread over devices; kernels take arrays of one.
"""

from __future__ import annotations

import numpy as np

from tinygen import kernels
from tinygen.engine import devices
from tinygen.engine.devices import move
from tinygen.engine.tensor import Tensor


def norm_of_all(tensors: list) -> Tensor:
    """The norm of all elements of the Tensors, taken as one vector.  -> a 0-d Tensor on the first one's device"""
    device = tensors[0].device
    norms = [_run(kernels.norm_of_all, [t._data for t in some]) for some in _by_device(tensors)]
    norm = norms[0]
    if len(norms) > 1:
        norm = _run(kernels.norm_of_all, [move(norm, device) for norm in norms])
    return Tensor._wrap(np.asarray(norm) if isinstance(norm, np.generic) else norm)


def clip_all(tensors: list, norm: Tensor, most: float) -> None:
    """Scale Tensors, whose norm is `norm`, in place, so that it becomes at most `most`."""
    for t in tensors:
        t._touch()
    for some in _by_device(tensors):
        _run(kernels.clip_all, [t._data for t in some], move(norm._data, some[0].device), most)


def average_all(averages: list, tensors: list, rest: list) -> None:
    """average <- average + rest (x - average), in place, for each pair of Tensors; both are on one device.

    rest: a list of one number; in a captured step an array (1,) on the device
    """
    options = {"rest": rest[0]} if isinstance(rest, list) else {"rest": 1.0, "numbers": rest}
    for average in averages:
        average._touch()
    for some in _by_device(list(zip(averages, tensors)), lambda pair: pair[0]):
        _run(kernels.average_all, [a._data for a, _ in some], [x._data for _, x in some], **options)


def _run(kernel, *arguments, **options):
    """kernel(...); overflow gives inf or nan without a warning, as in every operation"""
    try:
        with np.errstate(all="ignore"):
            return kernel(*arguments, **options)
    except MemoryError as error:
        raise devices.out_of_memory(kernel.name, error) from error


def _by_device(things: list, tensor_of=lambda thing: thing) -> list[list]:
    """Tensors (or what has one) grouped by their device, the first one's first"""
    if not devices.in_use:
        return [things] if things else []
    groups: dict = {}
    for thing in things:
        groups.setdefault(tensor_of(thing).is_cuda, []).append(thing)
    return list(groups.values())
