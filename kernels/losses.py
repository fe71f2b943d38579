"""Losses in one pass over logits, and picking classes."""

from __future__ import annotations

from tinygen.kernels.dispatch import Kernel, array_module
from tinygen.kernels.elementwise import quiet, sigmoid

bce_with_logits = Kernel("bce_with_logits")
bce_with_logits_grad = Kernel("bce_with_logits_grad")
pick_class = Kernel("pick_class")
pick_class_grad = Kernel("pick_class_grad")


@bce_with_logits.reference
@quiet
def bce_with_logits_reference(x, target):
    """-target log σ(x) - (1 - target) log(1 - σ(x)) = max(x, 0) - x target + log(1 + exp(-|x|))"""
    xp = array_module(x)
    return xp.maximum(x, 0) - x * target + xp.log1p(xp.exp(-xp.abs(x)))


@bce_with_logits_grad.reference
@quiet
def bce_with_logits_grad_reference(g, x, target):
    """gx = g (σ(x) - target)"""
    return g * (sigmoid(x) - target)


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
