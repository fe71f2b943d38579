"""Sums and products of large arrays on all CPU threads."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.elementwise.layouts import layout
from tinygen.kernels.elementwise.reference import add, multiply

LONG = 1 << 16  # elements; with fewer, one thread is done before a second has started
SMALLER = 8  # how many times smaller an operand is that is copied if it is not contiguous


def one_dtype(first, *others) -> bool:
    """C-contiguous arrays of one dtype, float32 or float64"""
    dtype = first.dtype
    return (
        (dtype == np.float32 or dtype == np.float64)
        and first.flags.c_contiguous
        and all(a.dtype == dtype and a.flags.c_contiguous for a in others)
    )


def usable(x, other, out=None) -> bool:
    """Large contiguous arrays of one floating dtype that `layout` can view as rows; the smaller one may be strided, as
    a part of a tensor is: it is copied"""
    large, small = (x, other) if x.size >= other.size else (other, x)
    return (
        large.size > LONG
        and small.size > 0
        and small.dtype == large.dtype
        and one_dtype(large, *([] if out is None else [out]))
        and (small.flags.c_contiguous or small.size * SMALLER <= large.size)
        and layout(x.shape, other.shape) is not None
    )


def _on_all_threads(loop: str, x, other, out):
    from tinygen.kernels.elementwise import loops

    kind, swapped, shape, small_shape = layout(x.shape, other.shape)
    large, small = (other, x) if swapped else (x, other)
    out = np.empty(large.shape, large.dtype) if out is None else out
    small = np.ascontiguousarray(small).reshape(small_shape)
    getattr(loops, f"{loop}_{kind}")(large.reshape(shape), small, out.reshape(shape))
    return out


@add.variant("threads", usable=usable)
def add_threads(x, other, out=None):
    """Each thread takes a share of the elements or rows: two arrays are read and one is written by all cores."""
    return _on_all_threads("add", x, other, out)


@multiply.variant("threads", usable=usable)
def multiply_threads(x, other, out=None):
    """Each thread takes a share of the elements or rows, as in `add`."""
    return _on_all_threads("multiply", x, other, out)
