"""Clipping the gradients of many parameters."""

from __future__ import annotations

import math

import numpy as np

from tinygen.engine.errors import refusal
from tinygen.engine.grad_mode import no_grad
from tinygen.engine.tensor import Tensor
from tinygen.ops.lists import clip_all, norm_of_all
from tinygen.ops.shape.join import stack
from tinygen.ops.tensor.conversion import as_tensor, tensor


def _as_list(tensors) -> list:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _gradients(operation: str, parameters, foreach) -> list:
    if foreach:
        raise refusal(operation, NotImplementedError, "foreach=True is not supported; leave it out")
    return [p.grad for p in _as_list(parameters) if p.grad is not None]


def get_total_norm(
    tensors, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Tensor:
    """The norm of all elements of the Tensors, taken as one vector.  -> a 0-d Tensor, on a GPU not waited for"""
    if foreach:
        raise refusal("get_total_norm", NotImplementedError, "foreach=True is not supported; leave it out")
    tensors, norm_type = _as_list(tensors), float(norm_type)
    if not tensors:
        return tensor(0.0)
    with no_grad():
        if norm_type == 2:
            total = norm_of_all(tensors)
        else:
            dtype, device = np.result_type(*(t.dtype for t in tensors)), tensors[0].device
            norms = [t.norm(norm_type).to(device).to(dtype) for t in tensors]
            total = stack(norms).norm(norm_type)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise refusal(
            "clip_grad_norm_",
            RuntimeError,
            f"the norm of the gradients is {total.item()}, expected a finite number",
        )
    return total


def clip_grads_with_norm_(
    parameters, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale all gradients, whose total norm is `total_norm`, so that it becomes at most `max_norm`."""
    gradients = _gradients("clip_grads_with_norm_", parameters, foreach)
    clip_all(gradients, as_tensor(total_norm), float(max_norm))


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
