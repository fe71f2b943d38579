"""Losses.  `reduction` is "mean", "sum" or "none".

PyTorch's older arguments size_average and reduce keep their positions but are refused.
"""

from __future__ import annotations

import math
import numbers
import warnings

import numpy as np

from tinygen import kernels
from tinygen.engine.dtypes import ShapeError
from tinygen.engine.errors import refusal
from tinygen.engine.primitive import primitive
from tinygen.engine.sweep_ops import cast
from tinygen.engine.tensor import Tensor
from tinygen.ops.checks import expect_floating
from tinygen.ops.declaration import distinct, example, operation, positive, probability, real
from tinygen.ops.elementwise.activation import sigmoid, softplus
from tinygen.ops.elementwise.arithmetic import abs, exp, log, square
from tinygen.ops.elementwise.choice import clamp, where
from tinygen.ops.elementwise.functions import log1p
from tinygen.ops.losses.reduction import (
    check_reduction,
    check_weight,
    difference,
    expect_same_shape,
    reduced,
    weighted_mean,
)
from tinygen.ops.reduce import sum
from tinygen.ops.shape.reshape import broadcast_to, unsqueeze
from tinygen.ops.wide import by_float32

# regression


@operation(example("F.mse_loss(input, target)", input=real(2, 3), target=distinct(2, 3)), homes="F")
def mse_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """(input - target)², with broadcasting; with weights, the mean is taken over their sum"""
    check_reduction("mse_loss", reduction, size_average, reduce)
    check_weight("mse_loss", weight, input)
    losses = square(difference("mse_loss", input, target))
    return weighted_mean("mse_loss", losses, weight, reduction)


@operation(example("F.l1_loss(input, target)", input=real(2, 3), target=distinct(2, 3)), homes="F")
def l1_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """|input - target|, with broadcasting; with weights, the mean is taken over their sum"""
    check_reduction("l1_loss", reduction, size_average, reduce)
    check_weight("l1_loss", weight, input)
    losses = abs(difference("l1_loss", input, target))
    return weighted_mean("l1_loss", losses, weight, reduction)


def _huber(d, delta: float):
    """d² / 2 where |d| < delta, else delta (|d| - delta / 2); only the d that need it are squared, as 0 · inf is nan"""
    size = abs(d)
    near = ~(size >= delta)  # true for nan, too: its derivative is nan
    return where(near, 0.5 * square(where(near, d, 0.0)), delta * (size - 0.5 * delta))


@operation(example("F.smooth_l1_loss(input, target)", input=real(2, 3), target=distinct(2, 3)), homes="F")
def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction="mean", beta=1.0):
    """d² / (2 beta) where |d| < beta, else |d| - beta / 2; d = input - target  (Girshick 2015, arXiv 1504.08083)"""
    check_reduction("smooth_l1_loss", reduction, size_average, reduce)
    if not beta >= 0:
        raise refusal("smooth_l1_loss", RuntimeError, f"found beta {beta}, expected 0 or more")
    d = difference("smooth_l1_loss", input, target)
    losses = _huber(d, beta) / beta if beta > 0 else abs(d)
    return reduced("smooth_l1_loss", losses, reduction)


@operation(example("F.huber_loss(input, target)", input=real(2, 3), target=distinct(2, 3)), homes="F")
def huber_loss(input, target, reduction="mean", delta=1.0, weight=None):
    """d² / 2 where |d| < delta, else delta (|d| - delta / 2); d = input - target  (Huber 1964)"""
    check_reduction("huber_loss", reduction)
    check_weight("huber_loss", weight, input)
    expect_floating("huber_loss", input=input)
    if not delta > 0:
        raise refusal("huber_loss", RuntimeError, f"found delta {delta}, expected a positive number")
    d = difference("huber_loss", input, target)
    losses = _huber(d, delta)
    losses = losses if weight is None else losses * weight
    if losses.dtype != input.dtype:
        losses = cast(losses, dtype=input.dtype)  # as in PyTorch
    return reduced("huber_loss", losses, reduction)


@operation(
    example(
        "F.gaussian_nll_loss(input, target, var)", input=real(2, 3), target=real(2, 3), var=positive(2, 3)
    ),
    homes="F",
)
def gaussian_nll_loss(input, target, var, full=False, eps=1e-6, reduction="mean"):
    """(log var + (input - target)² / var) / 2, plus log(2π) / 2 if full: the normal's negative log-likelihood.

    var: a number, or a Tensor in the shape of input, with or without the last dimension.  It is limited to at least
    eps, and its gradient passes unchanged.
    """
    check_reduction("gaussian_nll_loss", reduction)
    expect_floating("gaussian_nll_loss", input=input)
    if isinstance(var, numbers.Real):
        var = full(input.shape, var, dtype=input.dtype, device=input.device)
    elif var.shape != input.shape:
        var = unsqueeze(var, -1) if var.shape == input.shape[:-1] else var
        if var.shape != (*input.shape[:-1], 1):
            raise refusal(
                "gaussian_nll_loss", ShapeError, f"var {var.shape} does not fit input {input.shape}"
            )
    expect_floating("gaussian_nll_loss", var=var)
    if (var._data < 0).any():
        raise refusal("gaussian_nll_loss", ValueError, "found a negative element of var, expected 0 or more")
    var = var + Tensor._wrap(np.maximum(var._data.dtype.type(eps) - var._data, 0))
    losses = 0.5 * (log(var) + square(input - target) / var)
    return reduced("gaussian_nll_loss", losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


# two classes


@primitive
def _bce(x, target):
    """-target log x - (1 - target) log(1 - x), each logarithm at least -100"""
    xp = kernels.array_module(x)
    one, least = x.dtype.type(1), x.dtype.type(-100)
    return (target - one) * xp.maximum(xp.log1p(-x), least) - target * xp.maximum(xp.log(x), least)


_bce.vjp(  # -target / x + (1 - target) / (1 - x) = (x - target) / (x (1 - x))
    lambda g, x, target: g * (x - target) / clamp(x * (1 - x), min=1e-12),
    lambda g, x: g * (log1p(-x) - log(x)),  # not clamped: infinite where x is 0 or 1, as in PyTorch
)


@operation(
    example("F.binary_cross_entropy(input, target)", input=probability(2, 3), target=probability(2, 3)),
    homes="F",
)
def binary_cross_entropy(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    """-target log(input) - (1 - target) log(1 - input), input a probability; logarithms are at least -100"""
    check_reduction("binary_cross_entropy", reduction, size_average, reduce)
    expect_same_shape("binary_cross_entropy", input, target)
    p = input._data
    if p.size and not (p.min() >= 0 and p.max() <= 1):
        found = f"{p.min():g} to {p.max():g}"
        raise refusal(
            "binary_cross_entropy", RuntimeError, f"found input from {found}, expected probabilities, 0 to 1"
        )
    return reduced("binary_cross_entropy", _weighted(_bce(input, target), weight), reduction)


@primitive(promote="float")
def _bce_with_logits(x, target):
    """-target log σ(x) - (1 - target) log(1 - σ(x)) = max(x, 0) - x target + log(1 + exp(-|x|))"""
    return kernels.bce_with_logits(x, target)


# d/dx [log(1 + exp(x)) - x target] = σ(x) - target
_bce_with_logits.vjp(lambda g, x, target: g * (sigmoid(x) - target), lambda g, x: -g * x)


@_bce_with_logits.fused
def _bce_with_logits_fused(g, x, target, needs):
    return (
        kernels.bce_with_logits_grad(g, x, target) if needs[0] else None,
        kernels.multiply(x, -g) if needs[1] else None,
    )


@operation(
    example("F.binary_cross_entropy_with_logits(input, target)", input=real(2, 3), target=probability(2, 3)),
    homes="F",
)
def binary_cross_entropy_with_logits(
    input, target, weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None
):
    """`binary_cross_entropy` of sigmoid(input), without overflow; pos_weight scales the term of target"""
    name = "binary_cross_entropy_with_logits"
    check_reduction(name, reduction, size_average, reduce)
    expect_same_shape(name, input, target)
    expect_floating(name, input=input, target=target)
    if pos_weight is None:
        losses = _bce_with_logits(input, target)
    else:
        factor = (pos_weight - 1) * target + 1
        losses = (1 - target) * input + factor * softplus(-input, threshold=math.inf)
    losses = _weighted(losses, weight)
    if losses.dtype != target.dtype:
        losses = cast(losses, dtype=target.dtype)  # as in PyTorch, which computes in place
    return reduced(name, losses, reduction)


def _weighted(losses, weight):
    return losses if weight is None else losses * broadcast_to(weight, losses.shape)


# distributions


@operation(
    example("F.kl_div(input, target, reduction='batchmean')", input=real(2, 3), target=probability(2, 3)),
    homes="F",
)
def kl_div(input, target, size_average=None, reduce=None, reduction="mean", log_target=False):
    """target (log target - input), input log-probabilities: KL(target ‖ exp(input)) when summed.

    reduction "batchmean" divides the sum by the batch; log_target: target holds log-probabilities too.  Where target is
    0, the loss is 0 and the gradient of target is -input (PyTorch: nan).
    """
    check_reduction("kl_div", reduction, size_average, reduce, more=("batchmean",))
    if reduction == "mean":
        warnings.warn(
            "kl_div: reduction 'mean' divides by the batch and the support; 'batchmean' divides by the batch alone, "
            "which gives the KL divergence",
            stacklevel=3,  # past the wrapper
        )
    expect_floating("kl_div", input=input, target=target)
    if log_target:
        losses = exp(target) * (target - input)
    else:
        nothing = target == 0
        losses = where(nothing, 0.0, target * log(where(nothing, 1.0, target))) - target * input
    if reduction == "batchmean":
        return by_float32(_over_batch, losses, input.shape[0] if input.ndim else 1)
    return reduced("kl_div", losses, reduction)


def _over_batch(losses, count: int):
    return sum(losses) / count
