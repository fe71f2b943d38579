"""Which elements two views of the same memory share, and copying elements out of a stretch of memory and back."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinygen.kernels.reduce.reference import sum as sum_over
from tinygen.kernels.runtime.dispatch import array_module


class Layout(NamedTuple):
    """A view of a stretch of memory: first element, shape and strides, in elements."""

    start: int
    shape: tuple
    strides: tuple


def _extent(array) -> tuple[int, int, int]:
    """The addresses of an array's first element, of its lowest one, and one past its highest."""
    xp = array_module(array)
    first = (array.__array_interface__ if xp is np else array.__cuda_array_interface__)["data"][0]
    steps = [(n - 1) * stride for n, stride in zip(array.shape, array.strides)]
    low = first + sum(step for step in steps if step < 0)
    return first, low, first + sum(step for step in steps if step > 0) + array.itemsize


def common_layout(a, b):
    """The stretch of memory that two views of one dtype cover: its size in elements, and the layout of both in it.

    None if they share no element.
    """
    if not a.size or not b.size:
        return None
    extents = _extent(a), _extent(b)
    low, high = min(e[1] for e in extents), max(e[2] for e in extents)
    if max(e[1] for e in extents) >= min(e[2] for e in extents):
        return None
    size, places = (high - low) // a.itemsize, []
    for array, (first, _, _) in zip((a, b), extents):
        strides = tuple(stride // array.itemsize for stride in array.strides)
        places.append(Layout((first - low) // array.itemsize, array.shape, strides))
    touched = lay(np.ones(a.shape, np.int8), places[0], size)
    if not pick(touched, places[1]).any():
        return None
    return size, *places


def _view(flat, layout: Layout):
    strides = tuple(n * flat.itemsize for n in layout.strides)
    return array_module(flat).lib.stride_tricks.as_strided(flat[layout.start :], layout.shape, strides)


def pick(flat, layout: Layout):
    """Copy the elements of a view out of a stretch of memory (size,), as an array of the view's shape."""
    return _view(flat, layout).copy()


def lay(x, layout: Layout, size: int):
    """Zeros (size,) with each element of x at the view's place for it; elements that the view repeats are summed."""
    xp = array_module(x)
    repeated = tuple(i for i, (n, stride) in enumerate(zip(x.shape, layout.strides)) if n > 1 and not stride)
    if repeated:
        x = sum_over(x, repeated, True)
        layout = layout._replace(shape=x.shape)
    flat = xp.zeros(size, x.dtype)
    _view(flat, layout)[...] = x
    return flat
