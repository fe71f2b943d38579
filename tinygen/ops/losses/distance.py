"""Normalization of vectors, and distance and similarity between them."""

from __future__ import annotations

import numpy as np

from tinygen.engine.errors import refusal
from tinygen.engine.tensor import Tensor
from tinygen.ops.arguments import INT, NUMBER_OR_WORD
from tinygen.ops.declaration import distinct, example, operation, real
from tinygen.ops.elementwise.choice import clamp
from tinygen.ops.reduce import norm, sum
from tinygen.ops.shape.reshape import expand
from tinygen.ops.wide import by_float32


def _at_least(norms, eps: float):
    """norms, at least eps; the gradient passes unchanged"""
    return norms + Tensor._wrap(np.maximum(norms.dtype.type(eps) - norms._data, 0))


@operation(homes="F", p=NUMBER_OR_WORD)
def normalize(input, p=2.0, dim=1, eps=1e-12):
    """input / max(‖input‖_p, eps) along dim"""
    return by_float32(_over_norm, input, p, dim, eps)


def _over_norm(x, p, dim, eps):
    return x / clamp(norm(x, p, dim, keepdim=True), min=eps)


@operation(
    example("tinygen.cosine_similarity(x1, x2)", x1=real(2, 3), x2=distinct(2, 3)), homes="tinygen F", dim=INT
)
def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    """x1 · x2 / (‖x1‖ ‖x2‖) along dim, the norms at least eps; x1 and x2 broadcast.  (…, D, …) -> (…)"""
    if not eps >= 0:
        raise refusal("cosine_similarity", RuntimeError, f"found eps {eps}, expected 0 or more")
    x1, x2 = x1 * 1.0, x2 * 1.0  # integers to the default dtype
    shape = np.broadcast_shapes(x1.shape, x2.shape)
    x1, x2 = expand(x1, shape), expand(x2, shape)
    return by_float32(_cosine, x1, x2, dim, eps)


def _cosine(x1, x2, dim, eps):
    a, b = (x / _at_least(norm(x, 2, dim, keepdim=True), eps) for x in (x1, x2))
    return sum(a * b, dim)


@operation(example("tinygen.pairwise_distance(x1, x2)", x1=real(2, 3), x2=distinct(2, 3)), homes="tinygen F")
def pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False):
    """‖x1 - x2 + eps‖_p along the last dimension; x1 and x2 broadcast.  (…, D) -> (…)"""
    return norm(x1 - x2 + eps, p, -1, keepdim)
