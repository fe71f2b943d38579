"""What concerns all Tensors of a list at once, in place and outside the graph: the norm of gradients, and clipping it."""

from __future__ import annotations

import numpy as np

from tinygen import kernels
from tinygen.engine.tensor import Tensor


def norm_of_all(tensors: list) -> Tensor:
    """The norm of all elements of Tensors of one device, taken as one vector.  -> a 0-d Tensor on that device"""
    with np.errstate(all="ignore"):
        return Tensor._wrap(np.asanyarray(kernels.norm_of_all([t._data for t in tensors])))


def clip_all(tensors: list, norm: Tensor, most: float) -> None:
    """Scale Tensors of one device, whose norm is `norm`, in place, so that it becomes at most `most`."""
    for t in tensors:
        t._touch()
    with np.errstate(all="ignore"):
        kernels.clip_all([t._data for t in tensors], norm._data, most)
