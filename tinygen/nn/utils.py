"""Working on many parameters at once."""

from __future__ import annotations

import math

from tinygen.autograd import no_grad
from tinygen.tensor import Tensor


def clip_grad_norm_(
    parameters, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale all gradients so that their joint norm is at most `max_norm`; return the norm they had."""
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    gradients = [p.grad for p in parameters if p.grad is not None]
    with no_grad():
        norms = [g.norm(norm_type).item() for g in gradients]
        if math.isinf(norm_type):
            total = max(norms, default=0.0)
        else:
            total = sum(n**norm_type for n in norms) ** (1 / norm_type)
        if error_if_nonfinite and not math.isfinite(total):
            raise RuntimeError(
                f"clip_grad_norm_: the norm of the gradients is {total}, expected a finite number"
            )
        factor = max_norm / (total + 1e-6)
        if not factor >= 1:
            for g in gradients:
                g.mul_(factor)
    return Tensor(total)


def clip_grad_value_(parameters, clip_value: float) -> None:
    """Limit every element of the gradients to [-clip_value, clip_value]."""
    for p in [parameters] if isinstance(parameters, Tensor) else parameters:
        if p.grad is not None:
            with no_grad():
                p.grad.clamp_(-clip_value, clip_value)
