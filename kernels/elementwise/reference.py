"""Elementwise arithmetic on arrays of one dtype.

Where NumPy has the function it is NumPy's, which hands cupy arrays to cupy.  Overflow and 0/0 give inf and nan; the
warnings NumPy would print are silenced in one place, around every forward of the tape (`tinygen/engine/primitive.py`).
"""

from __future__ import annotations

import math

import numpy as np
from numpy import (  # noqa: F401
    arccos,
    arcsin,
    arctan,
    arctan2,
    cos,
    cosh,
    divide,
    exp,
    exp2,
    expm1,
    floor_divide,
    fmod,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    maximum,
    minimum,
    power,
    remainder,
    sin,
    sinh,
    sqrt,
    subtract,
    tan,
    tanh,
)

from tinygen.kernels.runtime.dispatch import Kernel, array_module
from tinygen.kernels.runtime.lazy_import import whole

add = Kernel("add")
multiply = Kernel("multiply")


@add.reference
def add_reference(x, other, out=None):
    """x + other"""
    return np.add(x, other, out=out)


@multiply.reference
def multiply_reference(x, other, out=None):
    """x · other"""
    return np.multiply(x, other, out=out)


LONG = 1 << 17  # elements; fewer are done by one thread before another has begun
RUN = 16  # neighbours in memory that a broadcast operand has for each call of the inner loop


def _rows(x, other):
    """The larger array, the other, and both as rows: (R, C) and (Q, C), each row of Q meeting R/Q neighbours of R.

    So are a bias (C,) and what a condition gives each sample, (N, 1, C) with (N, T, C).  Both flat where their shapes
    are the same, None for anything else.
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


def _long(x, other, out=None) -> bool:
    """Whether the loops pay and apply: large, contiguous, of one floating dtype, on a CPU."""
    return (
        max(x.size, other.size) > LONG
        and x.dtype == other.dtype
        and x.dtype in (np.float32, np.float64)
        and min(x.size, other.size) > 0
        and all(a.flags.c_contiguous for a in (x, other, *([] if out is None else [out])))
        and _rows(x, other) is not None
    )


def _on_all_threads(loop: str, x, other, out):
    from tinygen.kernels.elementwise import loops

    large, small, *shapes = _rows(x, other)
    out = np.empty(large.shape, large.dtype) if out is None else out
    loop += "_flat" if len(shapes[0]) == 1 else "_rows"
    arrays = large.reshape(shapes[0]), small.reshape(shapes[1]), out.reshape(shapes[0])
    getattr(loops, loop)(*arrays)
    return out


@add.variant("threads", usable=_long)
def add_threads(x, other, out=None):
    """Each thread takes a share of the elements or rows: two arrays are read and one is written by all cores."""
    return _on_all_threads("add", x, other, out)


@multiply.variant("threads", usable=_long)
def multiply_threads(x, other, out=None):
    """Each thread takes a share of the elements or rows, as in `add`."""
    return _on_all_threads("multiply", x, other, out)


def softplus(x):
    """log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|))."""
    xp = array_module(x)
    return xp.maximum(x, x.dtype.type(0)) + xp.log1p(xp.exp(-xp.abs(x)))


def erf(x):
    """2/sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    xp = array_module(x)
    if xp is np:
        from tinygen.kernels.elementwise import loops  # the C library's erf: NumPy has none

        wide = np.array(x, np.result_type(x.dtype, np.float32), order="C")  # float16 is computed in float32
        loops.erf(wide.reshape(-1))
        return wide.astype(x.dtype, copy=False)
    return whole("cupyx.scipy.special").erf(x)


def relu(x):
    """max(x, 0)"""
    return array_module(x).maximum(x, x.dtype.type(0))


def keep(x, mask):
    """x where the bools `mask` hold, else 0.

    As bits, x & 11…1 or x & 00…0: as fast as x * mask, which would make nan of inf * 0, and ten times as fast as
    `where`, whose branches are not predictable for a random mask.
    """
    xp = array_module(x)
    mask = xp.array(mask, np.int8)
    bits = np.dtype(f"i{x.dtype.itemsize}")
    return xp.bitwise_and(xp.negative(mask, out=mask), x.view(bits), dtype=bits).view(x.dtype)


def sign(x):
    """-1, 0 or 1; PyTorch's sign of nan is 0, NumPy's is nan."""
    if x.dtype == np.bool_:
        return x.copy()
    return (x > 0).astype(x.dtype) - (x < 0)
