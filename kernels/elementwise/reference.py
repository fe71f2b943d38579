"""Elementwise functions of arrays of one dtype, numpy's or cupy's.

Overflow and 0/0 give inf and nan.  NumPy's warnings about them are silenced in one place, around every forward
(`tinygen/engine/primitive.py`).
"""

from __future__ import annotations

import numpy as np

from tinygen.kernels.reduce.reference import sum_to
from tinygen.kernels.runtime.dispatch import Kernel, array_module
from tinygen.kernels.runtime.lazy_import import whole

add = Kernel("add")


@add.reference
def add_reference(x, other, out=None):
    """x + other"""
    return np.add(x, other, out=out)


multiply = Kernel("multiply")


@multiply.reference
def multiply_reference(x, other, out=None):
    """x · other"""
    return np.multiply(x, other, out=out)


multiply_grad = Kernel("multiply_grad")


@multiply_grad.reference
def multiply_grad_reference(g, x, other, x_shape, other_shape, needs):
    """gx = g other and gother = g x, summed over broadcast dimensions to x_shape and other_shape.  -> gx, gother

    An operand may be None if the gradient of the other one is not needed; what is not needed is None.
    """
    gx = sum_to(_product(g, other), x_shape) if needs[0] else None
    gother = sum_to(_product(g, x), other_shape) if needs[1] else None
    return gx, gother


def _product(g, x):
    """g x; of arrays without dimensions NumPy would make a scalar, which nobody can write to"""
    y = multiply(g, _beside(g, x))
    return np.asarray(y) if isinstance(y, np.generic) else y


def _beside(g, x):
    """x in the dtype of g; a number in host memory may meet a GPU's array."""
    return x.astype(g.dtype, copy=False) if type(x) is type(g) else g.dtype.type(x)


# NumPy's own functions.  Called with cupy arrays they hand the work to cupy.

subtract = np.subtract
divide = np.divide
floor_divide = np.floor_divide
remainder = np.remainder
fmod = np.fmod
power = np.power
sqrt = np.sqrt
maximum = np.maximum
minimum = np.minimum

exp = np.exp
exp2 = np.exp2
expm1 = np.expm1
log = np.log
log2 = np.log2
log10 = np.log10
log1p = np.log1p
logaddexp = np.logaddexp

sin = np.sin
cos = np.cos
tan = np.tan
arcsin = np.arcsin
arccos = np.arccos
arctan = np.arctan
arctan2 = np.arctan2
sinh = np.sinh
cosh = np.cosh
tanh = np.tanh


# What NumPy lacks, or does differently


def softplus(x):
    """log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|))"""
    xp = array_module(x)
    return xp.maximum(x, x.dtype.type(0)) + xp.log1p(xp.exp(-xp.abs(x)))


def erf(x):
    """2/√π times the integral of exp(-t²) from 0 to x"""
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
    """x where the boolean `mask` is True, else 0.

    Done on the bits, x & 11…1 or x & 00…0.  That is as fast as x * mask, which would turn inf * 0 into nan, and ten
    times as fast as `where`, whose branches a CPU cannot predict for a random mask.
    """
    xp = array_module(x)
    mask = xp.array(mask, np.int8)
    bits = np.dtype(f"i{x.dtype.itemsize}")
    return xp.bitwise_and(xp.negative(mask, out=mask), x.view(bits), dtype=bits).view(x.dtype)


def sign(x):
    """-1, 0 or 1.  The sign of nan is 0, as in PyTorch; NumPy says nan."""
    if x.dtype == np.bool_:
        return x.copy()
    return (x > 0).astype(x.dtype) - (x < 0)
