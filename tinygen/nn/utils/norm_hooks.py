"""Spectral and weight normalization by a hook that computes the weight before every forward.

The hook puts the computed weight where the layer looks for it.  The parameters that it is computed from are trained
and stored, under PyTorch's names.
"""

from __future__ import annotations

from tinygen.engine.errors import refusal
from tinygen.engine.grad_mode import no_grad
from tinygen.engine.tensor import Tensor
from tinygen.nn.module import Module
from tinygen.nn.parameter import Parameter
from tinygen.nn.utils.normalized_weights import (
    as_matrix,
    is_transposed,
    norm_except,
    normalized,
    over_sigma,
    start_vectors,
    with_length,
)


class _Computed:
    """A forward pre-hook that sets the attribute `name` of a module to `compute(module)`."""

    title = ""

    def __init__(self, name: str) -> None:
        self.name = self.computes = name  # `computes`: see Module.__getstate__

    def __repr__(self) -> str:
        return f"<{self.title} of {self.name}>"

    def __call__(self, module, args) -> None:
        setattr(module, self.name, self.compute(module, module.training))

    def compute(self, module, training: bool) -> Tensor:
        raise NotImplementedError

    def install(self, module, parameters: dict, buffers: dict, shown: Tensor) -> None:
        """Replace the parameter by `parameters` and `buffers`, given by the endings of their names.

        Until the first forward the module's weight is the Tensor `shown`.
        """
        delattr(module, self.name)
        for end, parameter in parameters.items():
            module.register_parameter(self.name + end, parameter)
        for end, buffer in buffers.items():
            module.register_buffer(self.name + end, buffer)
        self.ends = [*parameters, *buffers]
        setattr(module, self.name, shown)
        self.handle = module.register_forward_pre_hook(self)

    def remove(self, module) -> None:
        with no_grad():
            weight = self.compute(module, training=False)
        delattr(module, self.name)
        for end in self.ends:
            delattr(module, self.name + end)
        module.register_parameter(self.name, Parameter(weight))
        self.handle.remove()


def _found(kind: type, module, name: str):
    hooks = [hook for hook, _ in module._forward_pre_hooks.values()] if module._hooked else []
    return next((hook for hook in hooks if type(hook) is kind and hook.name == name), None)


def _parameter(kind: type, module, name: str) -> Parameter:
    if _found(kind, module, name):
        raise refusal(kind.title, RuntimeError, f"found one on {name} already, expected a plain parameter")
    weight = module._parameters[name]
    if weight is None:
        raise refusal(
            kind.title, ValueError, f"found no parameter {name} but None in {type(module).__name__}"
        )
    return weight


def _removed(kind: type, module, name: str):
    hook = _found(kind, module, name)
    if hook is None:
        raise ValueError(f"remove_{kind.title}: found none of {name!r} in {module}")
    hook.remove(module)
    return module


class SpectralNorm(_Computed):
    """weight / sigma, where sigma is the largest singular value of the weight as a matrix.

    Power iteration (arXiv 1802.05957, algorithm 1):  v <- normalize(Wᵀ u),  u <- normalize(W v),  sigma = uᵀ W v.
    The gradient flows through W / (uᵀ W v), with u and v as constants.
    """

    title = "spectral_norm"

    def __init__(self, name: str, n_power_iterations: int, eps: float, dim: int) -> None:
        super().__init__(name)
        self.n_power_iterations, self.eps, self.dim = n_power_iterations, eps, dim

    def compute(self, module, training: bool) -> Tensor:
        weight, u, v = (getattr(module, self.name + end) for end in ("_orig", "_u", "_v"))
        matrix = as_matrix(weight, self.dim)
        if training:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    v._write(normalized(matrix.t() @ u, self.eps)._data)
                    u._write(normalized(matrix @ v, self.eps)._data)
        u, v = u.clone(), v.clone()  # the next forward may write to them before this one's backward
        return over_sigma(weight, matrix, u, v)


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a parameter by its largest singular value before every forward  (arXiv 1802.05957).

    The module then has the parameter name_orig and the buffers name_u and name_v, which each forward in training
    improves by power iteration.

    dim   the dimension of the outputs: by default 1 for transposed convolutions, else 0
    """
    if n_power_iterations < 1:
        raise refusal(
            "spectral_norm", ValueError, f"found n_power_iterations {n_power_iterations}, expected at least 1"
        )
    weight = _parameter(SpectralNorm, module, name)
    hook = SpectralNorm(name, n_power_iterations, eps, int(is_transposed(module)) if dim is None else dim)
    with no_grad():
        u, v = start_vectors(as_matrix(weight, hook.dim), eps)
    # shares memory, so that an initialization that follows writes to weight_orig through it
    hook.install(module, {"_orig": weight}, {"_u": u, "_v": v}, weight.detach())
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Make the normalized weight a plain parameter again."""
    return _removed(SpectralNorm, module, name)


class WeightNorm(_Computed):
    """g v / |v|, with a length g for each index of `dim`, or one length for all  (arXiv 1602.07868, eq. 2)."""

    title = "weight_norm"

    def __init__(self, name: str, dim: int | None) -> None:
        super().__init__(name)
        self.dim = dim

    def compute(self, module, training: bool) -> Tensor:
        g, v = getattr(module, self.name + "_g"), getattr(module, self.name + "_v")
        return with_length(v, g, self.dim)


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Write a parameter as a length name_g times a direction name_v  (arXiv 1602.07868).

    dim   the dimension whose indices have a length each; None: one length for the whole weight
    """
    weight = _parameter(WeightNorm, module, name)
    hook = WeightNorm(name, dim)
    with no_grad():
        length = norm_except(weight, hook.dim)
    parts = {"_g": Parameter(length), "_v": Parameter(weight.detach())}
    hook.install(module, parts, {}, weight.detach())
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Make the computed weight a plain parameter again."""
    return _removed(WeightNorm, module, name)
