"""Losses in one pass over logits, and picking classes."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.activation.reference import sigmoid
from tinygen.kernels.reduce.accumulation import in_float32
from tinygen.kernels.reduce.reference import largest, sum
from tinygen.kernels.runtime.dispatch import Kernel, array_module

bce_with_logits = Kernel("bce_with_logits")
bce_with_logits_grad = Kernel("bce_with_logits_grad")
cross_entropy = Kernel("cross_entropy")
cross_entropy_grad = Kernel("cross_entropy_grad")
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


@bce_with_logits.variant("one_pass", usable=_long_float32)
def bce_with_logits_one_pass(x, target):
    """All in one compiled pass, exponential and logarithm too: reads 8 and writes 4 bytes an element."""
    from tinygen.kernels.losses import loops

    out = np.empty_like(x)
    loops.bce_with_logits(x.reshape(-1), target.reshape(-1), out.reshape(-1))
    return out


@bce_with_logits_grad.variant("one_pass", usable=lambda g, x, target: _long_float32(x, target))
def bce_with_logits_grad_one_pass(g, x, target):
    """One compiled pass: reads 12 and writes 4 bytes an element; 8 where g is one number seen many times."""
    from tinygen.kernels.losses import loops

    out, g = np.empty_like(x), np.broadcast_to(np.asarray(g, x.dtype), x.shape)
    flat = x.reshape(-1), target.reshape(-1), out.reshape(-1)
    if not g.size or any(g.strides):
        loops.bce_with_logits_grad(np.ascontiguousarray(g).reshape(-1), *flat)
    else:
        loops.bce_with_logits_grad_of_sum(g[(0,) * g.ndim], *flat)
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


@cross_entropy.reference
@in_float32()
def cross_entropy_reference(x, index, weights):
    """-weight log softmax(x)[class] = weight (log Σ exp(x - m) - (x[class] - m)), m the maximum; 0 where index is -1.

    x (N, C, D), index, weights (N, D) -> the losses, m and log Σ exp(x - m), each (N, D)
    """
    xp = array_module(x)
    most = largest(x, 1)
    log_sum = xp.log(sum(xp.exp(x - most[:, None]), (1,)))
    picked = pick_class_reference(x, xp.maximum(index, 0))
    return xp.where(index < 0, x.dtype.type(0), (log_sum - (picked - most)) * weights), most, log_sum


@cross_entropy_grad.reference
@in_float32()
def cross_entropy_grad_reference(g, x, index, weights, most, log_sum):
    """gx = g weight (softmax(x) - one at the class)"""
    xp = array_module(x)
    h = xp.where(index < 0, x.dtype.type(0), g * weights)  # g is infinite in a mean of nothing
    gx = xp.exp((x - most[:, None]) - log_sum[:, None])
    gx *= h[:, None]
    gx[xp.arange(x.shape[0])[:, None], xp.maximum(index, 0), xp.arange(x.shape[2])] -= h
    return gx


def _long(x, index, weights):
    return (
        x.size > SMALL // 4
        and x.dtype == weights.dtype == np.float32
        and x.flags.c_contiguous
        and index.dtype == np.int64
    )


def _long_rows(x, index, weights):
    return x.shape[2] == 1 and _long(x, index, weights)


def _long_places(x, index, weights):
    return x.shape[2] > 1 and _long(x, index, weights)


@cross_entropy.variant("rows", usable=_long_rows)
def cross_entropy_rows(x, index, weights):
    """Of a row only its maximum and Σ exp are made: reads 4 bytes an element, where log_softmax writes 4 as well."""
    from tinygen.kernels.losses import cross_entropy_loops as loops

    losses, most, log_sum = np.empty((3, *index.shape), np.float32)
    inputs = x.reshape(x.shape[:2]), index.reshape(-1), weights.reshape(-1)
    loops.cross_entropy(*inputs, losses.reshape(-1), most.reshape(-1), log_sum.reshape(-1))
    return losses, most, log_sum


@cross_entropy_grad.variant(
    "rows",
    usable=lambda g, x, index, weights, most, log_sum: g.dtype == x.dtype and _long_rows(x, index, weights),
)
def cross_entropy_grad_rows(g, x, index, weights, most, log_sum):
    """The softmax from x, m and log Σ, and the class taken off it: reads 4 and writes 4 bytes an element."""
    from tinygen.kernels.losses import cross_entropy_loops as loops

    gx = np.empty(x.shape, np.float32)
    flat = [np.ascontiguousarray(a).reshape(-1) for a in (index, weights, most, log_sum)]
    loops.cross_entropy_grad(
        np.ascontiguousarray(g).reshape(-1), x.reshape(x.shape[:2]), *flat, gx.reshape(x.shape[:2])
    )
    return gx


@cross_entropy.variant("places", usable=_long_places)
def cross_entropy_places(x, index, weights):
    """Many places an image, whose classes lie far apart: class after class for 256 places, which stay in the cache."""
    from tinygen.kernels.losses import cross_entropy_loops as loops

    out = np.empty((3, *index.shape), np.float32)
    loops.cross_entropy_places(x, np.ascontiguousarray(index), np.ascontiguousarray(weights), *out)
    return tuple(out)


@cross_entropy_grad.variant(
    "places",
    usable=lambda g, x, index, weights, most, log_sum: g.dtype == x.dtype and _long_places(x, index, weights),
)
def cross_entropy_grad_places(g, x, index, weights, most, log_sum):
    """As rows, with all places of a class side by side: reads 4 and writes 4 bytes an element."""
    from tinygen.kernels.losses import cross_entropy_loops as loops

    gx = np.empty(x.shape, np.float32)
    others = [np.ascontiguousarray(a) for a in (index, weights, most, log_sum)]
    loops.cross_entropy_places_grad(np.ascontiguousarray(g), x, *others, gx)
    return gx
