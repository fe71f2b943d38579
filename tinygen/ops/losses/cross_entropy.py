"""Losses of many classes: cross-entropy and the negative log-likelihood of class numbers."""

from __future__ import annotations

import math

import numpy as np

from tinygen import kernels
from tinygen.engine.dtypes import DtypeError, ShapeError
from tinygen.engine.errors import refusal
from tinygen.engine.primitive import primitive
from tinygen.engine.tensor import Tensor
from tinygen.ops.checks import expect_floating, expect_one_dtype, out_of_range
from tinygen.ops.declaration import example, operation, real, whole
from tinygen.ops.elementwise.choice import where
from tinygen.ops.losses.reduction import check_reduction, expect_same_shape, reduced
from tinygen.ops.reduce import mean, sum
from tinygen.ops.shape.reshape import reshape, unsqueeze
from tinygen.ops.softmax import log_softmax, softmax
from tinygen.ops.wide import by_float32, narrowed, widened


@primitive
def _pick_class(x, *, index):
    """The score of one class at every place.  (N, C, D), index (N, D) -> (N, D)"""
    return kernels.pick_class(x, index)


@primitive
def _pick_class_grad(g, *, index, shape):
    """g at one class for every place, zeros elsewhere.  (N, D) -> shape (N, C, D)"""
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
    # 0 for what is ignored, even where g is infinite: in the mean over nothing
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
    """`weight` as an array, with one number per class of input (N, C, …) or (C,)."""
    if weight is None:
        return None
    classes = input.shape[1] if input.ndim > 1 else input.shape[0]
    if weight.shape != (classes,):
        raise refusal(
            operation, ShapeError, f"found weight {weight.shape}, expected ({classes},), one per class"
        )
    expect_one_dtype(operation, input=input, weight=weight)
    return weight._data.copy()  # the tape keeps it, and the caller may write to the original


def _labels(operation: str, input, target, ignore_index: int):
    """input as (N, C, D), and as (N, D) the class of each place and whether it counts; checks target."""
    shapes = f"input {input.shape}, target {target.shape}"
    if input.ndim == 0 or target.shape != ((*input.shape[:1], *input.shape[2:]) if input.ndim > 1 else ()):
        raise refusal(
            operation,
            ShapeError,
            f"found {shapes}, expected input (N, C, …) and target (N, …), or (C,) and ()",
        )
    if target.dtype != np.int64 and not (target.dtype == np.uint8 and input.ndim == 2):
        raise refusal(
            operation, DtypeError, f"found target dtype {target.dtype}, expected int64; use target.long()"
        )
    expect_floating(operation, input=input)
    N, C = input.shape[:2] if input.ndim > 1 else (1, *input.shape)
    D = math.prod(input.shape[2:])
    labels = target._data.reshape(N, D)
    counts, xp = labels != ignore_index, kernels.array_module(labels)
    index = xp.where(counts, labels, 0)
    if out_of_range(index, 0, C):
        wrong = index.min() if index.min() < 0 else index.max()
        raise refusal(operation, IndexError, f"found class {wrong}, expected 0 to {C - 1}; {shapes}")
    if xp is not np:  # nobody has looked: what is no class makes the loss nan
        known = (index >= 0) & (index < C)
        index, counts = xp.where(known, index, 0), xp.where(known, counts, np.float32("nan"))
    return reshape(input, N, C, D), index, counts


def _per_place(operation: str, values, weights, shape: tuple, reduction: str):
    """Reduce (N, D) values that are already multiplied by `weights`; "mean" divides by the mean weight."""
    if reduction == "mean":
        return mean(values) / Tensor._wrap(kernels.mean(weights, (0, 1)))
    return reduced(operation, reshape(values, shape), reduction)


@operation(example("F.nll_loss(input, target)", input=real(4, 3), target=whole(4)), homes="F")
def nll_loss(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"):
    """-weight[target] · input[target], input log-probabilities.  (N, C, …), (N, …) of integers -> (N, …)

    Places whose target is ignore_index do not count; the mean is taken over the sum of weights.
    """
    check_reduction("nll_loss", reduction, size_average, reduce)
    x, index, counts = _labels("nll_loss", input, target, ignore_index)
    by_class, x = _class_weights("nll_loss", weight, x), widened(x)
    weights = (counts if by_class is None else counts * by_class[index]).astype(x.dtype)
    values = where(counts != 0, -_pick_class(x, index=index) * Tensor._wrap(weights), 0.0)
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

    A number that is no class is refused; on a GPU it makes the loss nan, as the host does not read target.

    target: class numbers (N, …), or probabilities q in the shape of input.  label_smoothing mixes q with 1/C.
    """
    check_reduction("cross_entropy", reduction, size_average, reduce)
    if not 0 <= label_smoothing <= 1:
        raise refusal(
            "cross_entropy", RuntimeError, f"found label_smoothing {label_smoothing}, expected 0 to 1"
        )
    if input.ndim == 0:
        raise refusal("cross_entropy", ShapeError, "found input (), expected (N, C, …) or (C,)")
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
    """Part of the loss counts all classes equally.  log_p (N, C, D), by_class (C,), others (N, D) -> (N, D)"""
    values = -_pick_class(log_p, index=index) * Tensor._wrap(weights)
    each = log_p if by_class is None else log_p * Tensor._wrap(by_class[:, None])
    values = (1 - label_smoothing) * values - (label_smoothing / log_p.shape[1]) * sum(each, 1)
    return where(counts != 0, values, 0.0)


def _soft_cross_entropy(x, target, by_class, ignore_index, reduction, label_smoothing):
    """The loss against probabilities; the mean is over places, regardless of the weights."""
    expect_same_shape("cross_entropy", x, target)
    if ignore_index >= 0:
        raise refusal(
            "cross_entropy", RuntimeError, "ignore_index is for class numbers, found target probabilities"
        )
    dim = 1 if x.ndim > 1 else 0
    classes = x.shape[dim]
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / max(classes, 1)
    losses = log_softmax(x, dim) * target
    if by_class is not None:
        losses = losses * Tensor._wrap(by_class.reshape(-1, *[1] * (x.ndim - dim - 1)))
    return reduced("cross_entropy", -sum(losses, dim), reduction)
