"""Elementwise arithmetic on arrays of one dtype.  Overflow and division by zero give inf and nan, silently."""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.dispatch import array_module

quiet = np.errstate(all="ignore")
SQRT_HALF, TWO_OVER_SQRT_PI = math.sqrt(0.5), 2 / math.sqrt(math.pi)


def _unary(name):
    function = getattr(np, name)

    @quiet
    def apply(x):
        return function(x)

    apply.__name__ = name
    apply.__doc__ = f"numpy.{name}, elementwise; cupy arrays dispatch to cupy's."
    return apply


def _binary(name):
    function = getattr(np, name)

    @quiet
    def apply(a, b):
        return function(a, b)

    apply.__name__ = name
    apply.__doc__ = f"numpy.{name}, elementwise with broadcasting; cupy arrays dispatch to cupy's."
    return apply


exp, expm1, log, log1p, sqrt, sin, cos, tanh = map(
    _unary, ("exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tanh")
)
add, subtract, multiply, divide, power, maximum, minimum, logaddexp = map(
    _binary, ("add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "logaddexp")
)
floor_divide, remainder = map(_binary, ("floor_divide", "remainder"))


@quiet
def sigmoid(x):
    """1 / (1 + exp(-x)), for negative x as exp(x) / (1 + exp(x)): nothing overflows."""
    xp = array_module(x)
    small = xp.exp(-xp.abs(x))
    one = x.dtype.type(1)
    return xp.where(x >= 0, one, small) / (one + small)


@quiet
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

        _erf = numba.vectorize(["float32(float32)", "float64(float64)"], cache=True)(_c_erf)
    return _erf


def _c_erf(x):
    return math.erf(x)


def as_array(x):
    """NumPy's reductions and arithmetic on 0-d arrays give scalars; make them arrays again."""
    return np.asarray(x) if isinstance(x, np.generic) else x


def relu(x):
    """max(x, 0)"""
    return array_module(x).maximum(x, x.dtype.type(0))


def relu_grad(g, y):
    """g where the output is positive"""
    return g * (y > 0)


def leaky_relu(x, slope):
    """max(x, 0) + slope * min(x, 0)"""
    return array_module(x).where(x > 0, x, x * x.dtype.type(slope))


def leaky_relu_grad(g, x, slope):
    """g, times slope where x is not positive"""
    return array_module(x).where(x > 0, g, g * g.dtype.type(slope))
