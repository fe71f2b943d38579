"""Elementwise arithmetic on arrays of one dtype.

Where NumPy has the function it is NumPy's, which hands cupy arrays to cupy.  Overflow and 0/0 give inf and nan; the
warnings NumPy would print are silenced in one place, around every forward of the tape (`tinygen/primitive.py`).
"""

from __future__ import annotations

import math

import numpy as np
from numpy import (  # noqa: F401
    add,
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
    multiply,
    power,
    remainder,
    sin,
    sinh,
    sqrt,
    subtract,
    tan,
    tanh,
)

from tinygen.kernels.dispatch import array_module


def softplus(x):
    """log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|))."""
    xp = array_module(x)
    return xp.maximum(x, x.dtype.type(0)) + xp.log1p(xp.exp(-xp.abs(x)))


def erf(x):
    """2/sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    xp = array_module(x)
    if xp is np:
        return _erf_loop()(x).astype(x.dtype, copy=False)  # float16 is computed in float32
    from cupyx.scipy.special import erf as device_erf

    return device_erf(x)


_erf = None


def _erf_loop():
    """A compiled loop over the C library's erf: NumPy has none."""
    global _erf
    if _erf is None:
        import numba

        from tinygen.kernels.compiled import user_cache

        types = ["float32(float32)", "float64(float64)"]
        try:
            with user_cache():
                _erf = numba.vectorize(types, cache=True)(_c_erf)
        except OSError:  # a full disk
            _erf = numba.vectorize(types)(_c_erf)
    return _erf


def _c_erf(x):
    return math.erf(x)


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
