"""Losses in one pass over logits, and picking classes."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.activation import sigmoid
from tinygen.kernels.dispatch import Kernel, array_module

bce_with_logits = Kernel("bce_with_logits")
bce_with_logits_grad = Kernel("bce_with_logits_grad")
pick_class = Kernel("pick_class")
pick_class_grad = Kernel("pick_class_grad")


@bce_with_logits.reference
def bce_with_logits_reference(x, target):
    """-target log σ(x) - (1 - target) log(1 - σ(x)) = max(x, 0) - x target + log(1 + exp(-|x|))"""
    xp = array_module(x)
    return xp.maximum(x, x.dtype.type(0)) - x * target + xp.log1p(xp.exp(-xp.abs(x)))


@bce_with_logits_grad.reference
def bce_with_logits_grad_reference(g, x, target):
    """gx = g (σ(x) - target)"""
    return g * (sigmoid(x) - target)


SMALL = 4096  # elements; below this NumPy has answered before numba would have been imported


def _long_float32(x, target):
    """Whether the compiled loops pay and apply: float32, one shape, contiguous, on a CPU."""
    return (
        x.size > SMALL
        and x.dtype == target.dtype == np.float32
        and x.shape == target.shape
        and x.flags.c_contiguous
        and target.flags.c_contiguous
    )


def _compiled(loop: str, x, target):
    """Run a loop of losses_loops.py over flat arrays, with exp(-|x|) from NumPy, which has it vectorised."""
    from tinygen.kernels import losses_loops

    decay = np.abs(x)
    np.negative(decay, out=decay)
    np.exp(decay, out=decay)
    out = np.empty_like(x)
    getattr(losses_loops, loop)(x.reshape(-1), target.reshape(-1), decay.reshape(-1), out.reshape(-1))
    return out


@bce_with_logits.variant("one_pass", usable=_long_float32)
def bce_with_logits_one_pass(x, target):
    """Exponential by NumPy, all the rest in one compiled pass: reads 12 and writes 4 bytes an element."""
    return _compiled("bce_with_logits", x, target)


@bce_with_logits_grad.variant("one_pass", usable=lambda g, x, target: _long_float32(x, target))
def bce_with_logits_grad_one_pass(g, x, target):
    """σ(x) - target in one compiled pass, then times g, which is one number seen many times after a mean."""
    out = _compiled("sigmoid_minus", x, target)
    out *= g
    return out


@pick_class.reference
def pick_class_reference(x, index):
    """y[n, d] = x[n, index[n, d], d].  (N, C, D), (N, D) -> (N, D)"""
    return array_module(x).take_along_axis(x, index[:, None], 1)[:, 0]


@pick_class_grad.reference
def pick_class_grad_reference(g, index, shape):
    """gx: zeros of `shape` (N, C, D) with gx[n, index[n, d], d] = g[n, d]."""
    xp = array_module(g)
    gx = xp.zeros(shape, g.dtype)
    gx[xp.arange(shape[0])[:, None], index, xp.arange(shape[2])] = g
    return gx
