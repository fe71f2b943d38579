"""Shared by the losses: checks of their arguments, and `reduction`."""

from __future__ import annotations

import warnings

import numpy as np

from tinygen.engine.dtypes import ShapeError
from tinygen.engine.errors import refusal
from tinygen.ops.reduce import mean, sum
from tinygen.ops.wide import by_float32


def reduced(operation: str, losses, reduction: str):
    if reduction == "mean":
        return mean(losses)
    if reduction == "sum":
        return sum(losses)
    if reduction == "none":
        return losses
    raise refusal(operation, ValueError, f"found reduction {reduction!r}, expected 'mean', 'sum' or 'none'")


def check_reduction(operation: str, reduction: str, size_average=None, reduce=None, more=()) -> None:
    """Check the reduction before anything is computed; `more`: names besides "mean", "sum" and "none"."""
    for name, value in (("size_average", size_average), ("reduce", reduce)):
        if value is not None:
            raise refusal(operation, NotImplementedError, f"{name} is not supported; use reduction")
    known = ("mean", "sum", "none", *more)
    if reduction not in known:
        expected = ", ".join(map(repr, known))
        raise refusal(operation, ValueError, f"found reduction {reduction!r}, expected one of {expected}")


def expect_same_shape(operation: str, input, target) -> None:
    if input.shape != target.shape:
        raise refusal(
            operation,
            ShapeError,
            f"input and target differ in shape; input {input.shape}, target {target.shape}",
        )


def difference(operation: str, input, target):
    """input - target; different shapes broadcast, with a warning as in PyTorch"""
    if input.shape != target.shape:
        shapes = f"input {input.shape}, target {target.shape}"
        try:
            np.broadcast_shapes(input.shape, target.shape)
        except ValueError:
            raise refusal(operation, ShapeError, f"input and target do not broadcast; {shapes}") from None
        warnings.warn(
            f"{operation}: the shapes differ, {shapes}: they are broadcast, which is rarely what a loss should do",
            stacklevel=4,  # past the loss and its wrapper
        )
    return input - target


def check_weight(operation: str, weight, input) -> None:
    if weight is not None and weight.shape != input.shape:
        raise refusal(
            operation, ShapeError, f"found weight {weight.shape}, expected the shape of input {input.shape}"
        )


def weighted_mean(operation: str, losses, weight, reduction: str):
    """`reduced`; given a weight for every element, the mean is taken over their sum"""
    if weight is None:
        return reduced(operation, losses, reduction)
    if reduction == "mean":
        return by_float32(_mean_by_weight, losses, weight)
    return reduced(operation, losses * weight, reduction)


def _mean_by_weight(values, weight):
    """Σ values weight / Σ weight as a quotient of means: exact if all values are equal"""
    weighted = values * weight
    return mean(weighted) / mean(weight, dtype=weighted.dtype)
