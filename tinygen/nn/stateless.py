"""Layers without parameters: how a function of `nn.functional` becomes a layer, and the simplest of them."""

from __future__ import annotations

import inspect
import sys

from tinygen.engine.errors import refusal
from tinygen.engine.tensor import Tensor
from tinygen.nn import functional as F
from tinygen.nn.module import Module


class FunctionLayer(Module):
    """A function of `nn.functional` as a layer; the constructor takes the function's options, by name or position."""

    function = None
    shown: tuple = ()  # the options that the repr shows
    refused = ("size_average", "reduce")  # PyTorch's losses keep these deprecated options in their signatures

    def __init__(self, *args, **kwargs) -> None:
        super().__init__()
        try:
            options = type(self).__signature__.bind(*args, **kwargs)
        except TypeError as error:
            raise refusal(type(self).__name__, TypeError, f"{error}") from None
        options.apply_defaults()
        for name, value in options.arguments.items():
            if name in self.refused and value is not None:
                raise refusal(
                    type(self).__name__, NotImplementedError, f"{name} is not supported; use reduction"
                )
            if isinstance(value, Tensor):
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)
        self.options = [name for name in options.arguments if name not in self.refused]
        if "kernel_size" in self.options and self.stride is None:
            self.stride = self.kernel_size

    def forward(self, *inputs):
        return type(self).function(*inputs, **{name: getattr(self, name) for name in self.options})

    def extra_repr(self) -> str:
        values = [(name, getattr(self, name)) for name in self.shown]
        return ", ".join(f"{n}={v!r}" for n, v in values if (n, v) != ("inplace", False))


def layer(name: str, function, shown: str = "", **options):
    """A class that calls `function`.  `shown` names the options in its repr; `...` as a default means there is none."""
    kind, empty = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.empty
    parameters = [
        inspect.Parameter(option, kind, default=empty if default is ... else default)
        for option, default in options.items()
    ]
    body = {
        "function": staticmethod(function),
        "shown": tuple(shown.split()),
        "__signature__": inspect.Signature(parameters),
        "__doc__": function.__doc__,
        "__module__": sys._getframe(1).f_globals["__name__"],  # as namedtuple does: pickle looks there
    }
    return type(name, (FunctionLayer,), body)


class Identity(Module):
    """x -> x"""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__()

    def forward(self, x):
        return x


class Flatten(Module):
    """(N, ...) -> (N, product of the rest)"""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x):
        return x.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Split one dimension into several: (N, 784), 1, (1, 28, 28) -> (N, 1, 28, 28)"""

    def __init__(self, dim: int, unflattened_size) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, x):
        return x.unflatten(self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Dropout(Module):
    """In training, zero each element with probability p and scale the rest by 1/(1-p)."""

    function = staticmethod(F.dropout)

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise refusal(type(self).__name__, ValueError, f"found p={p}, expected a probability")
        self.p, self.inplace = p, inplace

    def forward(self, x):
        return self.function(x, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout2d(Dropout):
    """Dropout of whole channels."""

    function = staticmethod(F.dropout2d)
