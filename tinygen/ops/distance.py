"""How far or how alike vectors are."""

from __future__ import annotations

import numpy as np

from tinygen.dtypes import DtypeError
from tinygen.ops.reduce import norm, sum
from tinygen.tensor import Tensor


def _at_least(norms, eps: float):
    """norms raised to eps; the gradient passes as if they were not"""
    return norms + Tensor._wrap(np.maximum(norms.dtype.type(eps) - norms._data, 0))


def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    """x1 · x2 / (‖x1‖ ‖x2‖) along dim, the norms at least eps; x1 and x2 broadcast.  (…, D, …) -> (…)"""
    for name, x in (("x1", x1), ("x2", x2)):
        if not x.is_floating_point():
            raise DtypeError(f"cosine_similarity: found {name} of dtype {x.dtype}, expected a floating dtype")
    if x1.ndim != x2.ndim:
        ndim = max(x1.ndim, x2.ndim)
        x1, x2 = (x.reshape((1,) * (ndim - x.ndim) + x.shape) for x in (x1, x2))
    a, b = (x / _at_least(norm(x, 2, dim, keepdim=True), eps) for x in (x1, x2))
    return sum(a * b, dim)


def pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False):
    """‖x1 - x2 + eps‖_p along the last dimension; x1 and x2 broadcast.  (…, D) -> (…)"""
    return norm(x1 - x2 + eps, p, -1, keepdim)
