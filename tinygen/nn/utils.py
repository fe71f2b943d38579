"""Working on many parameters at once."""

from __future__ import annotations

import math

import numpy as np

from tinygen.autograd import no_grad
from tinygen.tensor import Tensor, tensor


def clip_grad_norm_(
    parameters, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale all gradients so that their joint norm is at most `max_norm`; return the norm they had."""
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    gradients = [p.grad for p in parameters if p.grad is not None]
    dtype = np.result_type(*(g.dtype for g in gradients)) if gradients else None
    with no_grad():
        norms = [g.norm(float(norm_type)).item() for g in gradients]
        total = float(np.linalg.norm([0.0, *norms], float(norm_type)))
        if error_if_nonfinite and not math.isfinite(total):
            raise RuntimeError(
                f"clip_grad_norm_: the norm of the gradients is {total}, expected a finite number"
            )
        factor = max_norm / (total + 1e-6)
        if not factor >= 1:
            for g in gradients:
                g.mul_(factor)
    return tensor(total, dtype)


def clip_grad_value_(parameters, clip_value: float) -> None:
    """Limit every element of the gradients to [-clip_value, clip_value]."""
    for p in [parameters] if isinstance(parameters, Tensor) else parameters:
        if p.grad is not None:
            with no_grad():
                p.grad.clamp_(-clip_value, clip_value)
