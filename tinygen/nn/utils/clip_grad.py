"""Clipping the gradients of many parameters."""

from __future__ import annotations

import math

import numpy as np

from tinygen.engine.errors import refusal
from tinygen.engine.grad_mode import no_grad
from tinygen.engine.tensor import Tensor
from tinygen.ops.tensor.conversion import tensor


def _as_list(tensors) -> list:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _gradients(operation: str, parameters, foreach) -> list:
    if foreach:
        raise refusal(operation, NotImplementedError, "foreach=True is not supported; leave it out")
    return [p.grad for p in _as_list(parameters) if p.grad is not None]


def get_total_norm(
    tensors, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Tensor:
    """The norm of all elements of the Tensors, taken as one vector.  -> a 0-d Tensor"""
    if foreach:
        raise refusal("get_total_norm", NotImplementedError, "foreach=True is not supported; leave it out")
    tensors = _as_list(tensors)
    dtype = np.result_type(*(t.dtype for t in tensors)) if tensors else None
    with no_grad():
        norms = [t.norm(float(norm_type)).item() for t in tensors]
    total = float(np.linalg.norm(norms, float(norm_type))) if norms else 0.0
    if error_if_nonfinite and not math.isfinite(total):
        raise refusal(
            "clip_grad_norm_", RuntimeError, f"the norm of the gradients is {total}, expected a finite number"
        )
    return tensor(total, dtype, tensors[0].device if tensors else None)


def clip_grads_with_norm_(
    parameters, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale all gradients, whose total norm is `total_norm`, so that it becomes at most `max_norm`."""
    gradients = _gradients("clip_grads_with_norm_", parameters, foreach)
    factor = float(max_norm) / (float(total_norm) + 1e-6)
    if factor >= 1:
        return
    with np.errstate(all="ignore"):
        for g in gradients:
            g._touch()
            g._data *= factor  # one pass; g.mul_ would make an array and copy it


def clip_grad_norm_(
    parameters,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients so that their total norm is at most `max_norm`; return the norm before that."""
    parameters = _as_list(parameters)
    gradients = _gradients("clip_grad_norm_", parameters, foreach)
    total = get_total_norm(gradients, norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, total)
    return total


def clip_grad_value_(parameters, clip_value: float, foreach: bool | None = None) -> None:
    """Clip every element of the gradients to [-clip_value, clip_value]."""
    clip_value = float(clip_value)
    with no_grad():
        for g in _gradients("clip_grad_value_", parameters, foreach):
            g.clamp_(-clip_value, clip_value)
