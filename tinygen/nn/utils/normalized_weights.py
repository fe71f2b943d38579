"""The formulas of weight and spectral normalization, which the hooks and the parametrizations share."""

from __future__ import annotations

from tinygen import random
from tinygen.engine.tensor import Tensor
from tinygen.ops.wide import by_float32


def is_transposed(module) -> bool:
    """Whether the weight is (in, out, …), as in ConvTranspose."""
    return any(kind.__name__.startswith("ConvTranspose") for kind in type(module).__mro__)


def normalized(x: Tensor, eps: float) -> Tensor:
    """x scaled to length 1"""
    return by_float32(lambda x: x / x.norm().clamp(min=eps), x)


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """The weight as a matrix with a row for each output.  (…, out, …) -> (out, rest)"""
    if dim:
        weight = weight.permute(dim, *(d for d in range(weight.ndim) if d != dim))
    return weight.reshape(weight.shape[0], -1)


def norm_except(v: Tensor, dim: int | None) -> Tensor:
    """The length of v for each index of `dim`, or one length for all of it."""
    if dim in (None, -1):  # PyTorch takes -1 for None too
        return v.norm()
    rest = tuple(d for d in range(v.ndim) if d != dim)
    return v.norm(dim=rest, keepdim=True) if rest else v.abs()


def with_length(v: Tensor, g: Tensor, dim: int | None) -> Tensor:
    """g v / |v|"""
    return by_float32(lambda v, g: v * (g / norm_except(v, dim)), v, g)


def over_sigma(weight: Tensor, matrix: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """weight / (uᵀ W v), W the weight as a matrix"""
    return by_float32(lambda weight, matrix, u, v: weight / (u @ (matrix @ v)), weight, matrix, u, v)


def start_vectors(matrix: Tensor, eps: float) -> list[Tensor]:
    """Random u and v of length 1, from which power iteration starts.  (rows, columns) -> (rows,), (columns,)"""
    stream = random.default_stream()
    draws = (stream.normal((n,)).astype(matrix.dtype) for n in matrix.shape)
    return [normalized(Tensor._wrap(draw).to(matrix.device), eps) for draw in draws]
