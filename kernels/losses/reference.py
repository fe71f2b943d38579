"""Losses of logits and their gradients, picking classes, and the Bernoulli log-likelihood."""

from __future__ import annotations

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
bernoulli_log_likelihood = Kernel("bernoulli_log_likelihood")


@bce_with_logits.reference
def bce_with_logits_reference(x, target):
    """-target log σ(x) - (1 - target) log(1 - σ(x)) = max(x, 0) - x target + log(1 + exp(-|x|))"""
    xp = array_module(x)
    return xp.maximum(x, x.dtype.type(0)) - x * target + xp.log1p(xp.exp(-xp.abs(x)))


@bce_with_logits_grad.reference
def bce_with_logits_grad_reference(g, x, target):
    """gx = g (σ(x) - target)"""
    return g * (sigmoid(x) - target)


@pick_class.reference
def pick_class_reference(x, index):
    """y[n, d] = x[n, index[n, d], d].  (N, C, D), (N, D) -> (N, D)"""
    return array_module(x).take_along_axis(x, index[:, None], 1)[:, 0]


@pick_class_grad.reference
def pick_class_grad_reference(g, index, shape):
    """gx: zeros of `shape` (N, C, D), except gx[n, index[n, d], d] = g[n, d]."""
    xp = array_module(g)
    gx = xp.zeros(shape, g.dtype)
    gx[xp.arange(shape[0])[:, None], index, xp.arange(shape[2])] = g
    return gx


@cross_entropy.reference
@in_float32()
def cross_entropy_reference(x, index, weights):
    """-weight log softmax(x)[class] = weight (log Σ exp(x - m) - (x[class] - m)), m the maximum; 0 if index is -1.

    x (N, C, D), index and weights (N, D) -> the losses, m and log Σ exp(x - m), each (N, D)
    """
    xp = array_module(x)
    most = largest(x, 1)
    log_sum = xp.log(sum(xp.exp(x - most[:, None]), (1,)))
    picked = pick_class_reference(x, xp.maximum(index, 0))
    return xp.where(index < 0, x.dtype.type(0), (log_sum - (picked - most)) * weights), most, log_sum


@cross_entropy_grad.reference
@in_float32()
def cross_entropy_grad_reference(g, x, index, weights, most, log_sum):
    """gx = g weight (softmax(x) - 1 at the class)"""
    xp = array_module(x)
    h = xp.where(index < 0, x.dtype.type(0), g * weights)  # g is infinite for a mean over nothing
    gx = xp.exp((x - most[:, None]) - log_sum[:, None])
    gx *= h[:, None]
    gx[xp.arange(x.shape[0])[:, None], xp.maximum(index, 0), xp.arange(x.shape[2])] -= h
    return gx


@bernoulli_log_likelihood.reference
def bernoulli_log_likelihood_reference(x, logits):
    """log p(x) = sum over d of x_d l_d - log(1 + exp(l_d)).  x (N, D) of 0 and 1, logits (N, S, D) -> (N, S)

    Of many samples at once, for evaluation: it has no gradient.
    """
    xp = array_module(x)
    softplus = xp.maximum(logits, 0) + xp.log1p(xp.exp(-xp.abs(logits)))
    return (x[:, None, :] * logits - softplus).sum(axis=2, dtype="float64")
