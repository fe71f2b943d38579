"""Parameter: a Tensor that belongs to a Module and is trained."""

from __future__ import annotations

from tinygen.engine.memory import alias
from tinygen.engine.tensor import Tensor
from tinygen.ops.tensor.conversion import tensor


class Parameter(Tensor):
    """A leaf Tensor that a Module finds among its attributes and an optimizer updates.

    It shares the memory of a Tensor and copies anything else.
    """

    __slots__ = ()

    def __init__(self, data, requires_grad: bool = True) -> None:
        data = data if isinstance(data, Tensor) else tensor(data)
        self._data, self._edge, self._family, self.grad = data._data, None, None, None
        alias(self, data)
        self.requires_grad_(requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"
