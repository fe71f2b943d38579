"""Sums and products of large arrays on all CPU threads."""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.elementwise.reference import add, multiply

LONG = 1 << 17  # elements; with fewer, one thread is done before a second has started
RUN = 16  # the least number of neighbors in memory that meet one row of a broadcast operand


def as_rows(x, other):
    """(larger array, other array, and the shapes that view them as rows, (R, C) and (Q, C)); None if that cannot be
    done.

    Each row of Q meets R/Q consecutive rows of R.  This covers a bias (C,) and a condition per sample, (N, 1, C) with
    (N, T, C).  Arrays of one shape are viewed flat.
    """
    if x.size < other.size:
        x, other = other, x
    if other.ndim > x.ndim:
        return None
    wide = (1,) * (x.ndim - other.ndim) + other.shape
    alike = [n == m for n, m in zip(x.shape, wide)]
    if all(alike):
        return x, other, (-1,), (-1,)
    start, stop = alike.index(False), x.ndim - alike[::-1].index(False)
    run = math.prod(x.shape[stop:])
    if any(m != 1 for m in wide[start:stop]) or run < RUN:
        return None
    return x, other, (-1, run), (-1, run)


def usable(x, other, out=None) -> bool:
    """Large contiguous arrays of one floating dtype that `as_rows` can view as rows"""
    return (
        max(x.size, other.size) > LONG
        and x.dtype == other.dtype
        and x.dtype in (np.float32, np.float64)
        and min(x.size, other.size) > 0
        and all(a.flags.c_contiguous for a in (x, other, *([] if out is None else [out])))
        and as_rows(x, other) is not None
    )


def _on_all_threads(loop: str, x, other, out):
    from tinygen.kernels.elementwise import loops

    large, small, *shapes = as_rows(x, other)
    out = np.empty(large.shape, large.dtype) if out is None else out
    loop += "_flat" if len(shapes[0]) == 1 else "_rows"
    arrays = large.reshape(shapes[0]), small.reshape(shapes[1]), out.reshape(shapes[0])
    getattr(loops, loop)(*arrays)
    return out


@add.variant("threads", usable=usable)
def add_threads(x, other, out=None):
    """Each thread takes a share of the elements or rows: two arrays are read and one is written by all cores."""
    return _on_all_threads("add", x, other, out)


@multiply.variant("threads", usable=usable)
def multiply_threads(x, other, out=None):
    """Each thread takes a share of the elements or rows, as in `add`."""
    return _on_all_threads("multiply", x, other, out)
