"""Weight and spectral normalization as parametrizations, computed whenever the weight is read."""

from __future__ import annotations

from tinygen.engine.errors import refusal
from tinygen.engine.grad_mode import no_grad
from tinygen.engine.tensor import Tensor
from tinygen.nn.module import Module
from tinygen.nn.utils.normalized_weights import (
    as_matrix,
    is_transposed,
    norm_except,
    normalized,
    over_sigma,
    start_vectors,
    with_length,
)
from tinygen.nn.utils.parametrize import register_parametrization


class _WeightNorm(Module):
    """g v / |v|, with a length g for each index of `dim`, or one length for all  (arXiv 1602.07868, eq. 2)."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, weight_g, weight_v):
        return with_length(weight_v, weight_g, self.dim)

    def right_inverse(self, weight):
        return norm_except(weight, self.dim), weight


class _SpectralNorm(Module):
    """weight / sigma with sigma = uᵀ W v, W the weight as a matrix; u and v by power iteration  (arXiv 1802.05957).

    A 1-d weight is divided by its length.
    """

    def __init__(self, weight, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise refusal(
                "spectral_norm",
                IndexError,
                f"found dim {dim}, expected {-weight.ndim} to {weight.ndim - 1} for {weight.shape}",
            )
        if n_power_iterations < 1:
            raise refusal(
                "spectral_norm",
                ValueError,
                f"found n_power_iterations {n_power_iterations}, expected at least 1",
            )
        self.dim, self.eps, self.n_power_iterations = dim % weight.ndim, eps, n_power_iterations
        if weight.ndim > 1:
            matrix = as_matrix(weight.detach(), self.dim)
            for name, start in zip(("_u", "_v"), start_vectors(matrix, eps)):
                self.register_buffer(name, start)
            self._iterate(matrix, 15)

    def _iterate(self, matrix, times: int) -> None:
        with no_grad():
            for _ in range(times):
                self._u._write(normalized(matrix @ self._v, self.eps)._data)
                self._v._write(normalized(matrix.t() @ self._u, self.eps)._data)

    def forward(self, weight):
        if weight.ndim == 1:
            return normalized(weight, self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            self._iterate(matrix, self.n_power_iterations)
        u, v = (
            self._u.clone(),
            self._v.clone(),
        )  # the next reading may write to them before this one's backward
        return over_sigma(weight, matrix, u, v)

    def right_inverse(self, value):
        return value


def weight_norm(module: Module, name: str = "weight", dim: int = 0) -> Module:
    """Write a parameter as a length times a direction: parametrizations.NAME.original0 and original1.

    dim   the dimension whose indices have a length each; None: one length for the whole weight
    """
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a parameter by its largest singular value whenever it is read  (arXiv 1802.05957).

    In training, every reading improves u and v by power iteration.

    dim   the dimension of the outputs: by default 1 for transposed convolutions, else 0
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise refusal(
            "spectral_norm", ValueError, f"found no parameter or buffer {name!r} in {type(module).__name__}"
        )
    dim = int(is_transposed(module)) if dim is None else dim
    return register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))
