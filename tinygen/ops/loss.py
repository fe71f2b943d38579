"""Losses.  `reduction` is "mean", "sum" or "none".

PyTorch's older size_average and reduce hold their positions and are refused.
"""

from __future__ import annotations

import math
import numbers
import warnings

import numpy as np

from tinygen import kernels
from tinygen.engine.dtypes import DtypeError, ShapeError
from tinygen.engine.primitive import primitive
from tinygen.engine.tensor import Tensor
from tinygen.ops.activation import sigmoid, softplus
from tinygen.ops.checks import expect_floating, expect_one_dtype
from tinygen.ops.declaration import distinct, example, operation, positive, probability, real, whole
from tinygen.ops.elementwise import abs, cast, clamp, exp, log, square, where
from tinygen.ops.pointwise import log1p
from tinygen.ops.reduce import mean, sum
from tinygen.ops.shape import broadcast_to, reshape, unsqueeze
from tinygen.ops.softmax import log_softmax, softmax
from tinygen.ops.wide import by_float32, narrowed, widened


def _reduce(operation: str, losses, reduction: str):
    if reduction == "mean":
        return mean(losses)
    if reduction == "sum":
        return sum(losses)
    if reduction == "none":
        return losses
    raise ValueError(f"{operation}: found reduction {reduction!r}, expected 'mean', 'sum' or 'none'")


def _check_reduction(operation: str, reduction: str, size_average=None, reduce=None, more=()) -> None:
    """Before anything is computed; `more`: names beside "mean", "sum" and "none"."""
    for name, value in (("size_average", size_average), ("reduce", reduce)):
        if value is not None:
            raise NotImplementedError(f"{operation}: {name} is not supported; use reduction")
    known = ("mean", "sum", "none", *more)
    if reduction not in known:
        expected = ", ".join(map(repr, known))
        raise ValueError(f"{operation}: found reduction {reduction!r}, expected one of {expected}")


def _same_shape(operation: str, input, target) -> None:
    if input.shape != target.shape:
        raise ShapeError(
            f"{operation}: input and target differ in shape; input {input.shape}, target {target.shape}"
        )


def _difference(operation: str, input, target):
    """input - target; shapes that are not equal broadcast, with PyTorch's warning"""
    if input.shape != target.shape:
        shapes = f"input {input.shape}, target {target.shape}"
        try:
            np.broadcast_shapes(input.shape, target.shape)
        except ValueError:
            raise ShapeError(f"{operation}: input and target do not broadcast; {shapes}") from None
        warnings.warn(
            f"{operation}: the shapes differ, {shapes}: they are broadcast, which is seldom what a loss should do",
            stacklevel=4,  # past the loss and what exports it
        )
    return input - target


def _check_weight(operation: str, weight, input) -> None:
    if weight is not None and weight.shape != input.shape:
        raise ShapeError(
            f"{operation}: found weight {weight.shape}, expected the shape of input {input.shape}"
        )


def _weighted_mean(operation: str, losses, weight, reduction: str):
    """As `_reduce`; with a weight for every element the mean is divided by their sum"""
    if weight is None:
        return _reduce(operation, losses, reduction)
    if reduction == "mean":
        return by_float32(_mean_by_weight, losses, weight)
    return _reduce(operation, losses * weight, reduction)


def _mean_by_weight(values, weight):
    """Σ values weight / Σ weight, as a quotient of means: of equal values it is their value"""
    weighted = values * weight
    return mean(weighted) / mean(weight, dtype=weighted.dtype)


# regression


@operation(example("F.mse_loss(input, target)", input=real(2, 3), target=distinct(2, 3)), homes="F")
def mse_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """(input - target)², with broadcasting; the mean of weighted elements is over the sum of weights"""
    _check_reduction("mse_loss", reduction, size_average, reduce)
    _check_weight("mse_loss", weight, input)
    losses = square(_difference("mse_loss", input, target))
    return _weighted_mean("mse_loss", losses, weight, reduction)


@operation(example("F.l1_loss(input, target)", input=real(2, 3), target=distinct(2, 3)), homes="F")
def l1_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """|input - target|, with broadcasting; the mean of weighted elements is over the sum of weights"""
    _check_reduction("l1_loss", reduction, size_average, reduce)
    _check_weight("l1_loss", weight, input)
    losses = abs(_difference("l1_loss", input, target))
    return _weighted_mean("l1_loss", losses, weight, reduction)


def _huber(d, delta: float):
    """d² / 2 where |d| < delta, else delta (|d| - delta / 2); the square is of chosen d alone, as 0 · inf is nan"""
    size = abs(d)
    near = ~(size >= delta)  # a nan as well: its derivative is nan
    return where(near, 0.5 * square(where(near, d, 0.0)), delta * (size - 0.5 * delta))


@operation(example("F.smooth_l1_loss(input, target)", input=real(2, 3), target=distinct(2, 3)), homes="F")
def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction="mean", beta=1.0):
    """d² / (2 beta) where |d| < beta, else |d| - beta / 2; d = input - target  (Girshick 2015, arXiv 1504.08083)"""
    _check_reduction("smooth_l1_loss", reduction, size_average, reduce)
    if not beta >= 0:
        raise RuntimeError(f"smooth_l1_loss: found beta {beta}, expected 0 or more")
    d = _difference("smooth_l1_loss", input, target)
    losses = _huber(d, beta) / beta if beta > 0 else abs(d)
    return _reduce("smooth_l1_loss", losses, reduction)


@operation(example("F.huber_loss(input, target)", input=real(2, 3), target=distinct(2, 3)), homes="F")
def huber_loss(input, target, reduction="mean", delta=1.0, weight=None):
    """d² / 2 where |d| < delta, else delta (|d| - delta / 2); d = input - target  (Huber 1964)"""
    _check_reduction("huber_loss", reduction)
    _check_weight("huber_loss", weight, input)
    expect_floating("huber_loss", input=input)
    if not delta > 0:
        raise RuntimeError(f"huber_loss: found delta {delta}, expected a positive number")
    d = _difference("huber_loss", input, target)
    losses = _huber(d, delta)
    losses = losses if weight is None else losses * weight
    if losses.dtype != input.dtype:
        losses = cast(losses, dtype=input.dtype)  # as PyTorch
    return _reduce("huber_loss", losses, reduction)


@operation(
    example(
        "F.gaussian_nll_loss(input, target, var)", input=real(2, 3), target=real(2, 3), var=positive(2, 3)
    ),
    homes="F",
)
def gaussian_nll_loss(input, target, var, full=False, eps=1e-6, reduction="mean"):
    """(log var + (input - target)² / var) / 2, plus log(2π) / 2 if full: the normal's negative log-likelihood.

    var: a number, the shape of input, or that without its last dimension.  It is raised to eps at least, and its
    gradient passes there as if it were not.
    """
    _check_reduction("gaussian_nll_loss", reduction)
    expect_floating("gaussian_nll_loss", input=input)
    if isinstance(var, numbers.Real):
        var = full(input.shape, var, dtype=input.dtype, device=input.device)
    elif var.shape != input.shape:
        var = unsqueeze(var, -1) if var.shape == input.shape[:-1] else var
        if var.shape != (*input.shape[:-1], 1):
            raise ShapeError(f"gaussian_nll_loss: var {var.shape} does not fit input {input.shape}")
    expect_floating("gaussian_nll_loss", var=var)
    if (var._data < 0).any():
        raise ValueError("gaussian_nll_loss: found a negative element of var, expected 0 or more")
    var = var + Tensor._wrap(np.maximum(var._data.dtype.type(eps) - var._data, 0))
    losses = 0.5 * (log(var) + square(input - target) / var)
    return _reduce("gaussian_nll_loss", losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


# two classes


@primitive
def _bce(x, target):
    """-target log x - (1 - target) log(1 - x), each logarithm at least -100"""
    xp = kernels.array_module(x)
    one, least = x.dtype.type(1), x.dtype.type(-100)
    return (target - one) * xp.maximum(xp.log1p(-x), least) - target * xp.maximum(xp.log(x), least)


_bce.vjp(  # -target / x + (1 - target) / (1 - x) = (x - target) / (x (1 - x))
    lambda g, x, target: g * (x - target) / clamp(x * (1 - x), min=1e-12),
    lambda g, x: g * (log1p(-x) - log(x)),  # not clamped: PyTorch's too is infinite where x is 0 or 1
)


@operation(
    example("F.binary_cross_entropy(input, target)", input=probability(2, 3), target=probability(2, 3)),
    homes="F",
)
def binary_cross_entropy(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    """-target log(input) - (1 - target) log(1 - input), input a probability; logarithms are at least -100"""
    _check_reduction("binary_cross_entropy", reduction, size_average, reduce)
    _same_shape("binary_cross_entropy", input, target)
    p = input._data
    if p.size and not (p.min() >= 0 and p.max() <= 1):
        found = f"{p.min():g} to {p.max():g}"
        raise RuntimeError(f"binary_cross_entropy: found input from {found}, expected probabilities, 0 to 1")
    return _reduce("binary_cross_entropy", _weighted(_bce(input, target), weight), reduction)


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
    """`binary_cross_entropy` of sigmoid(input), without overflow; pos_weight multiplies the term of target"""
    name = "binary_cross_entropy_with_logits"
    _check_reduction(name, reduction, size_average, reduce)
    _same_shape(name, input, target)
    expect_floating(name, input=input, target=target)
    if pos_weight is None:
        losses = _bce_with_logits(input, target)
    else:
        factor = (pos_weight - 1) * target + 1
        losses = (1 - target) * input + factor * softplus(-input, threshold=math.inf)
    losses = _weighted(losses, weight)
    if losses.dtype != target.dtype:
        losses = cast(losses, dtype=target.dtype)  # as PyTorch, which computes in place
    return _reduce(name, losses, reduction)


def _weighted(losses, weight):
    return losses if weight is None else losses * broadcast_to(weight, losses.shape)


# many classes


@primitive
def _pick_class(x, *, index):
    """x at one class for every place.  (N, C, D), index (N, D) -> (N, D)"""
    return kernels.pick_class(x, index)


@primitive
def _pick_class_grad(g, *, index, shape):
    """Zeros but for g at one class for every place.  (N, D) -> shape (N, C, D)"""
    return kernels.pick_class_grad(g, index, shape)


# picking is linear, its transpose puts g where x was picked and zeros elsewhere
_pick_class.vjp(lambda g, x_shape, index: _pick_class_grad(g, index=index, shape=x_shape))
_pick_class_grad.vjp(lambda g, index: _pick_class(g, index=index))


@primitive(keeps=("most", "log_sum"))
def _cross_entropy(x, *, index, weights):
    """-weights log softmax(x) at one class for every place, 0 where index is -1.  (N, C, D), (N, D) -> (N, D)"""
    return kernels.cross_entropy(x, index, weights)


def _cross_entropy_row(g, x, x_shape, index, weights):
    """∂/∂x_j of log Σ exp(x) - x_class is softmax(x)_j - [j = class]"""
    # what is ignored gives nothing, also where g is infinite: in a mean of nothing
    h = where(index < 0, 0.0, g * Tensor._wrap(weights))
    taken = _pick_class_grad(h, index=np.maximum(index, 0), shape=x_shape)
    return softmax(x, 1) * unsqueeze(h, 1) - taken


_cross_entropy.vjp(_cross_entropy_row)
_cross_entropy.fused(
    lambda g, x, index, weights, most, log_sum: (
        kernels.cross_entropy_grad(g, x, index, weights, most, log_sum),
    )
)


def _class_weights(operation: str, weight, input):
    """`weight` as an array, one for each class of input (N, C, …) or (C,)."""
    if weight is None:
        return None
    classes = input.shape[1] if input.ndim > 1 else input.shape[0]
    if weight.shape != (classes,):
        raise ShapeError(f"{operation}: found weight {weight.shape}, expected ({classes},), one per class")
    expect_one_dtype(operation, input=input, weight=weight)
    return weight._data.copy()  # the tape keeps it, and the caller may write to the original


def _labels(operation: str, input, target, ignore_index: int):
    """input as (N, C, D), the class of each place and whether it counts as (N, D), target's shape checked."""
    shapes = f"input {input.shape}, target {target.shape}"
    if input.ndim == 0 or target.shape != ((*input.shape[:1], *input.shape[2:]) if input.ndim > 1 else ()):
        raise ShapeError(
            f"{operation}: found {shapes}, expected input (N, C, …) and target (N, …), or (C,) and ()"
        )
    if target.dtype != np.int64 and not (target.dtype == np.uint8 and input.ndim == 2):
        raise DtypeError(f"{operation}: found target dtype {target.dtype}, expected int64; use target.long()")
    expect_floating(operation, input=input)
    N, C = input.shape[:2] if input.ndim > 1 else (1, *input.shape)
    D = math.prod(input.shape[2:])
    labels = target._data.reshape(N, D)
    counts = labels != ignore_index
    index = kernels.array_module(labels).where(counts, labels, 0)
    if index.size and not (0 <= index.min() and index.max() < C):
        wrong = index.min() if index.min() < 0 else index.max()
        raise IndexError(f"{operation}: found class {wrong}, expected 0 to {C - 1}; {shapes}")
    return reshape(input, N, C, D), index, counts


def _per_place(operation: str, values, weights, shape: tuple, reduction: str):
    """Reduce (N, D) values already multiplied by `weights`; their mean is divided by the mean weight."""
    if reduction == "mean":
        return mean(values) / Tensor._wrap(kernels.mean(weights, (0, 1)))
    return _reduce(operation, reshape(values, shape), reduction)


@operation(example("F.nll_loss(input, target)", input=real(4, 3), target=whole(4)), homes="F")
def nll_loss(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"):
    """-weight[target] · input[target], input log-probabilities.  (N, C, …), (N, …) of integers -> (N, …)

    Places whose target is ignore_index count nothing; the mean is over the sum of weights.
    """
    _check_reduction("nll_loss", reduction, size_average, reduce)
    x, index, counts = _labels("nll_loss", input, target, ignore_index)
    by_class, x = _class_weights("nll_loss", weight, x), widened(x)
    weights = (counts if by_class is None else counts * by_class[index]).astype(x.dtype)
    values = where(counts, -_pick_class(x, index=index) * Tensor._wrap(weights), 0.0)
    return narrowed(_per_place("nll_loss", values, weights, target.shape, reduction), input.dtype)


@operation(example("F.cross_entropy(input, target)", input=real(4, 3), target=whole(4)), homes="F")
def cross_entropy(
    input,
    target,
    weight=None,
    size_average=None,
    ignore_index=-100,
    reduce=None,
    reduction="mean",
    label_smoothing=0.0,
):
    """-Σ over classes of weight · q · log_softmax(input).  (N, C, …) or (C,) -> (N, …) or ()

    target: class numbers (N, …), or probabilities q in the shape of input.  label_smoothing mixes q with 1/C.
    """
    _check_reduction("cross_entropy", reduction, size_average, reduce)
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"cross_entropy: found label_smoothing {label_smoothing}, expected 0 to 1")
    if input.ndim == 0:
        raise ShapeError("cross_entropy: found input (), expected (N, C, …) or (C,)")
    by_class = _class_weights("cross_entropy", weight, input)
    if target.is_floating_point():
        rest = by_class, ignore_index, reduction, label_smoothing
        return by_float32(_soft_cross_entropy, input, target, *rest)
    x = widened(input)
    x = log_softmax(x, 1 if x.ndim > 1 else 0) if label_smoothing else x
    x, index, counts = _labels("cross_entropy", x, target, ignore_index)
    weights = (counts if by_class is None else counts * by_class[index]).astype(x.dtype)
    if label_smoothing:
        values = _smoothed(x, index, counts, by_class, weights, label_smoothing)
    else:
        index = kernels.array_module(index).where(counts, index, -1)
        values = _cross_entropy(x, index=index, weights=weights)
    return narrowed(_per_place("cross_entropy", values, weights, target.shape, reduction), input.dtype)


def _smoothed(log_p, index, counts, by_class, weights, label_smoothing):
    """A share of the loss is that of all classes alike.  log_p (N, C, D), by_class (C,), the others (N, D) -> (N, D)"""
    values = -_pick_class(log_p, index=index) * Tensor._wrap(weights)
    each = log_p if by_class is None else log_p * Tensor._wrap(by_class[:, None])
    values = (1 - label_smoothing) * values - (label_smoothing / log_p.shape[1]) * sum(each, 1)
    return where(counts, values, 0.0)


def _soft_cross_entropy(x, target, by_class, ignore_index, reduction, label_smoothing):
    """Against probabilities; the mean is over places, whatever the weights."""
    _same_shape("cross_entropy", x, target)
    if ignore_index >= 0:
        raise RuntimeError("cross_entropy: ignore_index is for class numbers, found target probabilities")
    dim = 1 if x.ndim > 1 else 0
    classes = x.shape[dim]
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / max(classes, 1)
    losses = log_softmax(x, dim) * target
    if by_class is not None:
        losses = losses * Tensor._wrap(by_class.reshape(-1, *[1] * (x.ndim - dim - 1)))
    return _reduce("cross_entropy", -sum(losses, dim), reduction)


@operation(
    example("F.kl_div(input, target, reduction='batchmean')", input=real(2, 3), target=probability(2, 3)),
    homes="F",
)
def kl_div(input, target, size_average=None, reduce=None, reduction="mean", log_target=False):
    """target (log target - input), input log-probabilities: KL(target ‖ exp(input)) when summed.

    reduction "batchmean" divides the sum by the batch; log_target: target holds log-probabilities too.  A target of 0
    adds nothing, to its gradient only -input (PyTorch: nan).
    """
    _check_reduction("kl_div", reduction, size_average, reduce, more=("batchmean",))
    if reduction == "mean":
        warnings.warn(
            "kl_div: reduction 'mean' divides by the batch and the support; 'batchmean' only by the batch, which is "
            "what the KL divergence is",
            stacklevel=3,  # past what exports it
        )
    expect_floating("kl_div", input=input, target=target)
    if log_target:
        losses = exp(target) * (target - input)
    else:
        nothing = target == 0
        losses = where(nothing, 0.0, target * log(where(nothing, 1.0, target))) - target * input
    if reduction == "batchmean":
        return by_float32(_over_batch, losses, input.shape[0] if input.ndim else 1)
    return _reduce("kl_div", losses, reduction)


def _over_batch(losses, count: int):
    return sum(losses) / count
