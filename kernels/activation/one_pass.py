"""Activations on a CPU in one compiled loop each: for long contiguous arrays."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.activation.reference import (
    gelu,
    gelu_grad,
    gelu_tanh,
    gelu_tanh_grad,
    leaky_relu,
    leaky_relu_grad,
    relu_grad,
    sigmoid,
    sigmoid_grad,
    silu,
    silu_grad,
)

SMALL = 4096  # elements; up to here NumPy is done before numba could be imported


def usable(x, *_) -> bool:
    return x.size > SMALL and x.dtype in (np.float32, np.float64) and x.flags.c_contiguous


def usable_grad(g, x, *_) -> bool:
    """The loops read g and x side by side; a g with another layout (a broadcast number, say) is copied first."""
    return usable(x) and g.dtype == x.dtype and g.shape == x.shape


def usable_float32(x, *_) -> bool:
    return x.size > SMALL and x.dtype == np.float32 and x.flags.c_contiguous


def usable_float32_grad(g, x, *_) -> bool:
    return usable_float32(x) and g.dtype == x.dtype and g.shape == x.shape


def _compiled(loop: str, *arrays, constants=()):
    """Run a loop of loops.py over the arrays, flattened: inputs, constants, output."""
    from tinygen.kernels.activation import loops

    out = np.empty(arrays[0].shape, arrays[0].dtype)
    flat = [np.ascontiguousarray(a).reshape(-1) for a in arrays]
    getattr(loops, loop)(*flat, *constants, out.reshape(-1))
    return out


@sigmoid.variant("one_pass", usable=usable)
def sigmoid_one_pass(x):
    """With an inlined exponential: reads 4 and writes 4 bytes per element, where NumPy makes six passes."""
    return _compiled("sigmoid", x)


@sigmoid_grad.variant("one_pass", usable=usable_grad)
def sigmoid_grad_one_pass(g, y):
    """Reads 8 and writes 4 bytes per element, where NumPy makes three passes."""
    return _compiled("sigmoid_grad", g, y)


@silu.variant("one_pass", usable=usable)
def silu_one_pass(x):
    """With an inlined exponential: reads 4 and writes 4 bytes per element."""
    return _compiled("silu", x)


@silu_grad.variant("one_pass", usable=usable_grad)
def silu_grad_one_pass(g, x):
    """Computes σ(x) again instead of keeping it: reads 8 and writes 4 bytes per element."""
    return _compiled("silu_grad", g, x)


@gelu.variant("one_pass", usable=usable_float32)
def gelu_one_pass(x):
    """Φ from an exponential and a polynomial instead of a call to erf: reads 4 and writes 4 bytes per element.

    Within 3e-7 (1 + |x|) of x Φ(x), which a test checks against the standard library.
    """
    return _compiled("gelu", x)


@gelu_grad.variant("one_pass", usable=usable_float32_grad)
def gelu_grad_one_pass(g, x):
    """Φ and its density share one exponential: reads 8 and writes 4 bytes per element."""
    return _compiled("gelu_grad", g, x)


@gelu_tanh.variant("one_pass", usable=usable_float32)
def gelu_tanh_one_pass(x):
    """x σ(2 u), the same function without a tanh: reads 4 and writes 4 bytes per element."""
    return _compiled("gelu_tanh", x)


@gelu_tanh_grad.variant("one_pass", usable=usable_float32_grad)
def gelu_tanh_grad_one_pass(g, x):
    """Computes σ(2 u) again: reads 8 and writes 4 bytes per element."""
    return _compiled("gelu_tanh_grad", g, x)


@relu_grad.variant("one_pass", usable=usable_grad)
def relu_grad_one_pass(g, y):
    """Reads two elements and writes one, where NumPy also writes its mask and reads it again."""
    return _compiled("relu_grad", g, y)


@leaky_relu.variant("one_pass", usable=usable)
def leaky_relu_one_pass(x, slope):
    """Selects without a branch: in NumPy's `where` the CPU mispredicts every other random sign."""
    return _compiled("leaky_relu", x, constants=(x.dtype.type(slope),))


@leaky_relu_grad.variant("one_pass", usable=usable_grad)
def leaky_relu_grad_one_pass(g, x, slope):
    """Selects without a branch, as in the forward."""
    return _compiled("leaky_relu_grad", g, x, constants=(x.dtype.type(slope),))
