"""Softmax and its logarithm along one dimension, and their gradients."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.reduce.accumulation import in_float32
from tinygen.kernels.reduce.reference import largest, sum
from tinygen.kernels.runtime.dispatch import Kernel, array_module

softmax = Kernel("softmax")
softmax_grad = Kernel("softmax_grad")
log_softmax = Kernel("log_softmax")
log_softmax_grad = Kernel("log_softmax_grad")


def _sum(x, dim):
    return sum(x, (dim % x.ndim,), keepdims=True)


@softmax.reference
@in_float32()
def softmax_reference(x, dim):
    """exp(x - m) / sum(exp(x - m)), m the maximum, so that nothing overflows.  A row of -inf is nan."""
    y = x - largest(x, dim, keepdims=True)
    array_module(x).exp(y, out=y)
    y /= _sum(y, dim)
    return y


@softmax_grad.reference
@in_float32()
def softmax_grad_reference(g, y, dim):
    """gx = y (g - sum(g y))"""
    gx = g * y
    total = _sum(gx, dim)
    gx -= y * total
    return gx


@log_softmax.reference
@in_float32()
def log_softmax_reference(x, dim):
    """x - m - log(sum(exp(x - m))), m the maximum."""
    xp = array_module(x)
    y = x - largest(x, dim, keepdims=True)
    y -= xp.log(_sum(xp.exp(y), dim))
    return y


@log_softmax_grad.reference
@in_float32()
def log_softmax_grad_reference(g, y, dim):
    """gx = g - exp(y) sum(g)"""
    gx = array_module(y).exp(y)
    gx *= -_sum(g, dim)
    gx += g
    return gx


SMALL = 1024  # elements; below this NumPy has answered before numba would have been imported


def _rows(x, dim) -> bool:
    """Whether the compiled loops pay and apply: float32 on a CPU, along the last dimension of memory."""
    return x.size > SMALL and x.dtype == np.float32 and x.flags.c_contiguous and dim in (-1, x.ndim - 1)


def _rows_grad(g, y, dim) -> bool:
    return _rows(y, dim) and g.dtype == y.dtype and g.shape == y.shape


def _compiled(loop: str, *arrays):
    """Run a loop of loops.py over arrays as rows, in and then out."""
    from tinygen.kernels.softmax import loops

    out, size = np.empty(arrays[0].shape, np.float32), arrays[0].shape[-1]
    rows = [np.ascontiguousarray(a).reshape(-1, size) for a in arrays]
    getattr(loops, loop)(*rows, out.reshape(-1, size))
    return out


@softmax.variant("rows", usable=_rows)
def softmax_rows(x, dim):
    """A row stays in the cache from its maximum to its last division: reads 4 and writes 4 bytes an element."""
    return _compiled("softmax", x)


@softmax_grad.variant("rows", usable=_rows_grad)
def softmax_grad_rows(g, y, dim):
    """Σ g y of a row and its gx at once: reads 8 and writes 4 bytes an element."""
    return _compiled("softmax_grad", g, y)


@log_softmax.variant("rows", usable=_rows)
def log_softmax_rows(x, dim):
    """As softmax, and nothing is written before the logarithm of the sum is known."""
    return _compiled("log_softmax", x)


@log_softmax_grad.variant("rows", usable=_rows_grad)
def log_softmax_grad_rows(g, y, dim):
    """Σ g of a row and its gx at once: reads 8 and writes 4 bytes an element."""
    return _compiled("log_softmax_grad", g, y)
