"""Module attributes computed from other parameters whenever they are read, as torch.nn.utils.parametrize has them.

    register_parametrization(net, "weight", Symmetric())      # Symmetric is a Module

`net.weight` is then Symmetric()(original).  The trained and stored parameter is `net.parametrizations.weight.original`,
or `original0`, `original1` … if the parametrization's `right_inverse` returns several Tensors.
"""

from __future__ import annotations

from tinygen.engine.dtypes import ShapeError
from tinygen.engine.errors import refusal
from tinygen.engine.grad_mode import no_grad
from tinygen.engine.tensor import Tensor
from tinygen.nn.containers import ModuleDict, ModuleList
from tinygen.nn.module import Module
from tinygen.nn.parameter import Parameter


class ParametrizationList(ModuleList):
    """The parametrizations of one attribute, applied one after the other, and the original Tensors."""

    def __init__(self, modules, original: Tensor, unsafe: bool = False) -> None:
        super().__init__(modules)
        self.unsafe = unsafe
        with no_grad():
            new = self._inverted(original)
        self.is_tensor = isinstance(new, Tensor)
        if self.is_tensor:
            if new is not original:
                original.data = new.detach()  # the same Parameter, which optimizers hold
            self._keep("original", original)
        else:
            self.ntensors = len(new)
            for i, tensor in enumerate(new):
                if isinstance(original, Parameter):
                    tensor = Parameter(tensor.detach(), original.requires_grad)
                self._keep(f"original{i}", tensor)

    def _keep(self, name: str, tensor: Tensor) -> None:
        if isinstance(tensor, Parameter):
            self.register_parameter(name, tensor)
        else:
            self.register_buffer(name, tensor)

    def _inverted(self, value, strict: bool = False):
        for module in reversed(list(self)):
            if hasattr(module, "right_inverse"):
                value = module.right_inverse(value)
            elif strict:
                raise RuntimeError(
                    f"{type(module).__name__} has no right_inverse: its result cannot be assigned"
                )
        return value

    def right_inverse(self, value: Tensor) -> None:
        """Assign `value` to the attribute by setting the originals to its inverse."""
        with no_grad():
            value = self._inverted(value, strict=True)
            if self.is_tensor:
                self.original.data = value.detach()
                return
            for i, tensor in enumerate(value):
                getattr(self, f"original{i}").data = tensor.detach()

    def forward(self) -> Tensor:
        names = ["original"] if self.is_tensor else [f"original{i}" for i in range(self.ntensors)]
        first, *rest = self
        x = first(*(getattr(self, name) for name in names))
        for module in rest:
            x = module(x)
        return x


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether any attribute, or the one called `tensor_name`, is computed by parametrizations."""
    return module._parametrized and (
        tensor_name is None or tensor_name in module._modules["parametrizations"]._modules
    )


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Compute a parameter or buffer by `parametrization`, applied after any that it already has.

    unsafe   allow a change of shape or dtype
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        before = getattr(module, tensor_name)
        parts = module._modules["parametrizations"][tensor_name]
        if not unsafe:
            _expect_alike(parametrization(before), before)
        parts.append(parametrization)
        return module
    before = module._parameters.get(tensor_name, module._buffers.get(tensor_name))
    if before is None:
        raise refusal(
            "register_parametrization",
            ValueError,
            f"found no parameter or buffer {tensor_name!r} in {type(module).__name__}",
        )
    shape, dtype = before.shape, before.dtype
    parts = ParametrizationList([parametrization], before, unsafe)
    if not unsafe:
        _expect_alike(parts(), Tensor._wrap(before._data), shape, dtype)
    delattr(module, tensor_name)
    if not module._parametrized:
        module.parametrizations = ModuleDict()
        vars(module)["_parametrized"] = True
    module.parametrizations[tensor_name] = parts
    return module


def _expect_alike(result, before, shape=None, dtype=None) -> None:
    shape, dtype = shape or before.shape, dtype or before.dtype
    if not isinstance(result, Tensor):
        raise refusal(
            "register_parametrization", ValueError, f"found a {type(result).__name__}, expected a Tensor"
        )
    if result.shape != shape or result.dtype != dtype:
        raise refusal(
            "register_parametrization",
            ShapeError,
            f"found {result.dtype} {result.shape}, expected {dtype} {shape} as before; pass unsafe=True",
        )


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make the attribute a plain parameter again, with its computed value, or else with its original one."""
    if not is_parametrized(module, tensor_name):
        raise refusal(
            "remove_parametrizations", ValueError, f"found none of {tensor_name!r} in {type(module).__name__}"
        )
    parts = module.parametrizations[tensor_name]
    if not parts.is_tensor and not leave_parametrized:
        raise refusal(
            "remove_parametrizations",
            ValueError,
            f"{tensor_name!r} has {parts.ntensors} originals, expected one for leave_parametrized=False",
        )
    value = getattr(module, tensor_name) if leave_parametrized else None
    if parts.is_tensor:
        kept = parts.original
        if value is not None:
            kept.data = value.detach()
    else:
        kept = Parameter(value.detach()) if value.requires_grad else value
    del module.parametrizations[tensor_name]
    if not len(module.parametrizations):
        del module._modules["parametrizations"], vars(module)["_parametrized"]
    if isinstance(kept, Parameter):
        module.register_parameter(tensor_name, kept)
    else:
        module.register_buffer(tensor_name, kept)
    return module
