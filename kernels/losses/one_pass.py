"""Binary cross-entropy of logits and its gradient, in one compiled pass."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.losses.reference import bce_with_logits, bce_with_logits_grad

SMALL = 4096  # elements; with fewer, NumPy is done before numba is imported


def _usable(x, target) -> bool:
    """Many float32 of one shape, contiguous."""
    return (
        x.size > SMALL
        and x.dtype == target.dtype == np.float32
        and x.shape == target.shape
        and x.flags.c_contiguous
        and target.flags.c_contiguous
    )


@bce_with_logits.variant("one_pass", usable=_usable)
def bce_with_logits_one_pass(x, target):
    """One compiled pass, including exponential and logarithm: reads 8 and writes 4 bytes per element."""
    from tinygen.kernels.losses import one_pass_loops as loops

    out = np.empty_like(x)
    loops.bce_with_logits(x.reshape(-1), target.reshape(-1), out.reshape(-1))
    return out


@bce_with_logits_grad.variant("one_pass", usable=lambda g, x, target: _usable(x, target))
def bce_with_logits_grad_one_pass(g, x, target):
    """One compiled pass: reads 12 and writes 4 bytes per element, or reads 8 if g is one number, broadcast."""
    from tinygen.kernels.losses import one_pass_loops as loops

    out, g = np.empty_like(x), np.broadcast_to(np.asarray(g, x.dtype), x.shape)
    flat = x.reshape(-1), target.reshape(-1), out.reshape(-1)
    if not g.size or any(g.strides):
        loops.bce_with_logits_grad(np.ascontiguousarray(g).reshape(-1), *flat)
    else:
        loops.bce_with_logits_grad_of_sum(g[(0,) * g.ndim], *flat)
    return out
