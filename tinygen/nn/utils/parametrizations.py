"""Weight and spectral normalisation as parametrizations: computed whenever the weight is read."""

from __future__ import annotations

from tinygen import random
from tinygen.engine.grad_mode import no_grad
from tinygen.engine.tensor import Tensor
from tinygen.nn.module import Module
from tinygen.nn.utils.parametrize import register_parametrization
from tinygen.nn.utils.reparametrize import (
    as_matrix,
    is_transposed,
    norm_except,
    normalized,
    over_sigma,
    with_length,
)


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
    """weight / sigma, sigma = uᵀ W v of the weight as a matrix; u and v by power iteration  (arXiv 1802.05957).

    A vector is divided by its length.
    """

    def __init__(self, weight, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexError(
                f"spectral_norm: found dim {dim}, expected {-weight.ndim} to {weight.ndim - 1} for {weight.shape}"
            )
        if n_power_iterations < 1:
            raise ValueError(
                f"spectral_norm: found n_power_iterations {n_power_iterations}, expected at least 1"
            )
        self.dim, self.eps, self.n_power_iterations = dim % weight.ndim, eps, n_power_iterations
        if weight.ndim > 1:
            matrix, stream = as_matrix(weight.detach(), self.dim), random.default_stream()
            for name, n in zip(("_u", "_v"), matrix.shape):
                start = Tensor._wrap(stream.normal((n,)).astype(weight.dtype)).to(weight.device)
                self.register_buffer(name, normalized(start, eps))
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
    """Write a parameter as length times direction: parametrizations.NAME.original0 and original1.

    dim   the dimension that keeps lengths of its own; None: one length of the whole
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

    Every reading in training improves u and v by power iteration.  dim   which dimension counts the outputs: 1 for
    transposed convolutions, else 0
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"spectral_norm: found no parameter or buffer {name!r} in {type(module).__name__}")
    dim = int(is_transposed(module)) if dim is None else dim
    return register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))
