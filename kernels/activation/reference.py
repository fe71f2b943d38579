"""Activations with a compiled variant: one pass over memory where NumPy makes four to ten."""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.elementwise.reference import erf, keep
from tinygen.kernels.runtime.dispatch import Kernel, array_module

sigmoid = Kernel("sigmoid")
sigmoid_grad = Kernel("sigmoid_grad")
silu = Kernel("silu")
silu_grad = Kernel("silu_grad")
gelu = Kernel("gelu")
gelu_grad = Kernel("gelu_grad")
gelu_tanh = Kernel("gelu_tanh")
gelu_tanh_grad = Kernel("gelu_tanh_grad")
relu_grad = Kernel("relu_grad")
leaky_relu = Kernel("leaky_relu")
leaky_relu_grad = Kernel("leaky_relu_grad")

TANH_SCALE, TANH_CUBIC = math.sqrt(2 / math.pi), 0.044715


@sigmoid.reference
def sigmoid_reference(x):
    """1 / (1 + exp(-x)), for negative x as exp(x) / (1 + exp(x)): nothing overflows."""
    xp = array_module(x)
    small = xp.exp(-xp.abs(x))
    one = x.dtype.type(1)
    return xp.where(x >= 0, one, small) / (one + small)


@relu_grad.reference
def relu_grad_reference(g, y):
    """g where the output is positive (or nan)"""
    return keep(g, ~(y <= 0))


@leaky_relu.reference
def leaky_relu_reference(x, slope):
    """max(x, 0) + slope * min(x, 0)"""
    return array_module(x).where(x > 0, x, x * x.dtype.type(slope))


@leaky_relu_grad.reference
def leaky_relu_grad_reference(g, x, slope):
    """g, times slope where x is not positive"""
    return array_module(x).where(x > 0, g, g * g.dtype.type(slope))


@sigmoid_grad.reference
def sigmoid_grad_reference(g, y):
    """gx = g y (1 - y)"""
    return g * (y * (y.dtype.type(1) - y))


@silu.reference
def silu_reference(x):
    """x σ(x)"""
    return x * sigmoid_reference(x)


@silu_grad.reference
def silu_grad_reference(g, x):
    """gx = g p (1 + x (1 - p)), p = σ(x)"""
    one, p = x.dtype.type(1), sigmoid_reference(x)
    return g * (p * (one + x * (one - p)))


def _normal(x):
    """Φ(x) = (1 + erf(x / sqrt 2)) / 2"""
    kind = x.dtype.type
    return kind(0.5) * (kind(1) + erf(x * kind(math.sqrt(0.5))))


@gelu.reference
def gelu_reference(x):
    """x Φ(x), Φ the normal distribution function"""
    return x * _normal(x)


@gelu_grad.reference
def gelu_grad_reference(g, x):
    """gx = g (Φ(x) + x φ(x)), φ(x) = exp(-x²/2) / sqrt(2π) the normal density"""
    kind = x.dtype.type
    density = array_module(x).exp(kind(-0.5) * x * x) * kind(1 / math.sqrt(2 * math.pi))
    return g * (_normal(x) + x * density)


def _tanh_of(x):
    kind = x.dtype.type
    return array_module(x).tanh(kind(TANH_SCALE) * (x + kind(TANH_CUBIC) * x * x * x))


@gelu_tanh.reference
def gelu_tanh_reference(x):
    """x (1 + tanh u) / 2, u = sqrt(2/π) (x + 0.044715 x³)"""
    kind = x.dtype.type
    return kind(0.5) * x * (kind(1) + _tanh_of(x))


@gelu_tanh_grad.reference
def gelu_tanh_grad_reference(g, x):
    """gx = g ((1 + t) + x (1 - t²) du/dx) / 2, t = tanh u"""
    kind, t = x.dtype.type, _tanh_of(x)
    slope = kind(TANH_SCALE) * (kind(1) + kind(3 * TANH_CUBIC) * x * x)
    return g * (kind(0.5) * (kind(1) + t + x * (kind(1) - t * t) * slope))


SMALL = 4096  # elements; below this NumPy has answered before numba would have been imported


def _long_float32(x, *_):
    return x.size > SMALL and x.dtype == np.float32 and x.flags.c_contiguous


def _long_float32_grad(g, x, *_):
    """The loops read g and x side by side: g of another layout (one number, seen many times) is copied first."""
    return _long_float32(x) and g.dtype == x.dtype and g.shape == x.shape


def _long(x, *_):
    return x.size > SMALL and x.dtype in (np.float32, np.float64) and x.flags.c_contiguous


def _long_grad(g, x, *_):
    return _long(x) and g.dtype == x.dtype and g.shape == x.shape


def _compiled(loop: str, *arrays, constants=()):
    """Run a loop of loops.py over flat arrays, in and then out."""
    from tinygen.kernels.elementwise import loops

    out = np.empty(arrays[0].shape, arrays[0].dtype)
    flat = [np.ascontiguousarray(a).reshape(-1) for a in arrays]
    getattr(loops, loop)(*flat, *constants, out.reshape(-1))
    return out


@sigmoid.variant("one_pass", usable=_long)
def sigmoid_one_pass(x):
    """Its own exponential, inlined: reads 4 and writes 4 bytes an element, where NumPy makes six passes."""
    return _compiled("sigmoid", x)


@sigmoid_grad.variant("one_pass", usable=_long_grad)
def sigmoid_grad_one_pass(g, y):
    """Reads 8 and writes 4 bytes an element, where NumPy makes three passes."""
    return _compiled("sigmoid_grad", g, y)


@silu.variant("one_pass", usable=_long)
def silu_one_pass(x):
    """Its own exponential, inlined: reads 4 and writes 4 bytes an element."""
    return _compiled("silu", x)


@silu_grad.variant("one_pass", usable=_long_grad)
def silu_grad_one_pass(g, x):
    """Computes σ(x) again rather than keeping it: reads 8 and writes 4 bytes an element."""
    return _compiled("silu_grad", g, x)


@gelu.variant("one_pass", usable=_long_float32)
def gelu_one_pass(x):
    """Φ from an exponential and a polynomial instead of a call of erf: reads 4 and writes 4 bytes an element.

    Within 3e-7 (1 + |x|) of x Φ(x), which a test checks against the standard library.
    """
    return _compiled("gelu", x)


@gelu_grad.variant("one_pass", usable=_long_float32_grad)
def gelu_grad_one_pass(g, x):
    """Φ and its density share one exponential: reads 8 and writes 4 bytes an element."""
    return _compiled("gelu_grad", g, x)


@gelu_tanh.variant("one_pass", usable=_long_float32)
def gelu_tanh_one_pass(x):
    """x σ(2 u), the same function without a tanh: reads 4 and writes 4 bytes an element."""
    return _compiled("gelu_tanh", x)


@gelu_tanh_grad.variant("one_pass", usable=_long_float32_grad)
def gelu_tanh_grad_one_pass(g, x):
    """Computes σ(2 u) again: reads 8 and writes 4 bytes an element."""
    return _compiled("gelu_tanh_grad", g, x)


@relu_grad.variant("one_pass", usable=_long_grad)
def relu_grad_one_pass(g, y):
    """Reads two elements and writes one, where the masks of NumPy are written and read again."""
    return _compiled("relu_grad", g, y)


@leaky_relu.variant("one_pass", usable=_long)
def leaky_relu_one_pass(x, slope):
    """A choice without a branch: NumPy's `where` guesses wrongly at every other random sign."""
    return _compiled("leaky_relu", x, constants=(x.dtype.type(slope),))


@leaky_relu_grad.variant("one_pass", usable=_long_grad)
def leaky_relu_grad_one_pass(g, x, slope):
    """A choice without a branch, as in the forward."""
    return _compiled("leaky_relu_grad", g, x, constants=(x.dtype.type(slope),))
