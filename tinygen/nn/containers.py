"""Lists and dicts of modules and parameters, registered as submodules and in the state."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from textwrap import indent

from tinygen.engine.errors import refusal
from tinygen.engine.tensor import Tensor
from tinygen.nn.module import Module
from tinygen.nn.parameter import Parameter


def _place(container, index: int) -> int:
    """A non-negative index; IndexError if it is out of range."""
    index, size = operator.index(index), len(container)
    if not -size <= index < size:
        raise refusal(type(container).__name__, IndexError, f"found index {index}, expected one of {size}")
    return index % size


def _expect_iterable(container, values) -> None:
    if not isinstance(values, Iterable) or isinstance(values, Tensor):
        raise refusal(
            type(container).__name__, TypeError, f"found a {type(values).__name__}, expected an iterable"
        )


class _ModuleSequence(Module):
    """What Sequential and ModuleList share: a list of submodules, named by their positions."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self):
        return iter(self._modules.values())

    def _key(self, index: int) -> str:
        return list(self._modules)[_place(self, index)]

    def __setitem__(self, index: int, module) -> None:
        setattr(self, self._key(index), module)

    def __delitem__(self, index) -> None:
        keys = list(self._modules)[index] if isinstance(index, slice) else [self._key(index)]
        for key in keys:
            del self._modules[key]
        self._renumber(list(self))

    def _renumber(self, modules: list) -> None:
        self._modules.clear()
        self._modules.update((str(i), module) for i, module in enumerate(modules))

    def append(self, module):
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules):
        _expect_iterable(self, modules)
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module):
        if not isinstance(module, Module):
            raise refusal("insert", TypeError, f"found a {type(module).__name__}, expected a Module")
        modules = list(self)
        if not -len(modules) <= index <= len(modules):
            raise refusal("insert", IndexError, f"found index {index}, expected one of {len(modules)}")
        modules.insert(index, module)
        self._renumber(modules)
        return self

    def pop(self, key):
        module = self[key]
        del self[key]
        return module


class Sequential(_ModuleSequence):
    """Modules applied one after the other."""

    def __init__(self, *args) -> None:
        super().__init__()
        named = args[0].items() if len(args) == 1 and isinstance(args[0], dict) else enumerate(args)
        for name, module in named:
            self.add_module(str(name), module)

    def forward(self, input):
        for module in self._modules.values():
            input = module(input)
        return input

    def __getitem__(self, index):
        if isinstance(index, slice):
            return type(self)(dict(list(self._modules.items())[index]))
        return self._modules[self._key(index)]

    def __add__(self, other):
        self._expect_sequential(other)
        return Sequential(*self, *other)

    def __iadd__(self, other):
        self._expect_sequential(other)
        return self.extend(other)

    def _expect_sequential(self, other) -> None:
        if not isinstance(other, Sequential):
            raise ValueError(f"Sequential +: found a {type(other).__name__}, expected a Sequential")

    def __mul__(self, times: int):
        self._expect_count(times)
        return Sequential(*list(self) * times)

    __rmul__ = __mul__

    def __imul__(self, times: int):
        self._expect_count(times)
        return self.extend(list(self) * (times - 1))

    def _expect_count(self, times) -> None:
        if not isinstance(times, int):
            raise TypeError(f"Sequential *: found a {type(times).__name__}, expected a whole number")
        if times < 1:
            raise ValueError(f"Sequential *: found {times}, expected at least 1")


class ModuleList(_ModuleSequence):
    """A list of Modules, registered as submodules."""

    def __init__(self, modules=None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return self._modules[self._key(index)]

    def __iadd__(self, modules):
        return self.extend(modules)

    def __add__(self, other):
        return ModuleList([*self, *other])

    def __repr__(self) -> str:
        """Consecutive modules with the same repr are printed once, with their count."""
        runs: list = []
        for i, text in enumerate(map(repr, self)):
            if runs and runs[-1][2] == text:
                runs[-1][1] = i
            else:
                runs.append([i, i, text])
        lines = [
            f"({first}): {text}" if first == last else f"({first}-{last}): {last - first + 1} x {text}"
            for first, last, text in runs
        ]
        inside = "\n" + indent("\n".join(lines), "  ") + "\n" if lines else ""
        return f"{self._get_name()}({inside})"


def _pairs(container, values):
    """(key, value) of a mapping or of an iterable of pairs."""
    name = type(container).__name__
    _expect_iterable(container, values)
    if hasattr(values, "items"):
        yield from values.items()
        return
    for i, pair in enumerate(values):
        if not isinstance(pair, Iterable):
            raise refusal(
                name, TypeError, f"found a {type(pair).__name__} at {i}, expected a pair of key and value"
            )
        if len(pair) != 2:
            raise refusal(
                name, ValueError, f"found {len(pair)} values at {i}, expected a pair of key and value"
            )
        yield pair


class ModuleDict(Module):
    """A dict of Modules, registered as submodules."""

    def __init__(self, modules=None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str):
        return self._modules[key]

    def __setitem__(self, key: str, module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self):
        return iter(self._modules)

    def __contains__(self, key) -> bool:
        return key in self._modules

    def clear(self) -> None:
        self._modules.clear()

    def pop(self, key: str):
        return self._modules.pop(key)

    def keys(self):
        return self._modules.keys()

    def items(self):
        return self._modules.items()

    def values(self):
        return self._modules.values()

    def update(self, modules) -> None:
        for key, module in _pairs(self, modules):
            self[key] = module


class _ParameterContainer(Module):
    """What ParameterList and ParameterDict share: Tensors become Parameters, other values are kept as they are."""

    def _put_value(self, name: str, value) -> None:
        if isinstance(value, Tensor) and not isinstance(value, Parameter):
            value = Parameter(value)
        setattr(self, name, value)

    def __call__(self, *args, **kwargs):
        raise RuntimeError(f"{type(self).__name__} cannot be called; call the Module that holds it")

    def _lines(self, items) -> str:
        lines = []
        for key, value in items:
            text = f"Object of type: {type(value).__name__}"
            if isinstance(value, Tensor):
                kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
                text = f"{kind} containing: [{value.dtype} of size {'x'.join(map(str, value.shape))}]"
            lines.append(f"  ({key}): {text}")
        return "\n".join(lines)


class ParameterList(_ParameterContainer):
    """A list of Parameters; Tensors become Parameters, other values are kept as they are."""

    def __init__(self, values=None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def __len__(self) -> int:
        return self._size

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index):
        if isinstance(index, slice):
            return type(self)([self[i] for i in range(*index.indices(len(self)))])
        return getattr(self, str(_place(self, index)))

    def __setitem__(self, index: int, value) -> None:
        self._put_value(str(_place(self, index)), value)

    def append(self, value):
        self._size += 1
        self[self._size - 1] = value
        return self

    def extend(self, values):
        _expect_iterable(self, values)
        for value in list(values):
            self.append(value)
        return self

    def __iadd__(self, values):
        return self.extend(values)

    def extra_repr(self) -> str:
        return self._lines(enumerate(self))


class ParameterDict(_ParameterContainer):
    """A dict of Parameters; Tensors become Parameters, other values are kept as they are."""

    def __init__(self, parameters=None) -> None:
        super().__init__()
        self._keys: dict = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str):
        return getattr(self, key)

    def __setitem__(self, key: str, value) -> None:
        if not isinstance(key, str):
            raise refusal("ParameterDict", TypeError, f"found a {type(key).__name__} as key, expected a str")
        self._put_value(key, value)
        self._keys[key] = None

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self):
        return iter(self._keys)

    def __reversed__(self):
        return reversed(self._keys)

    def __contains__(self, key) -> bool:
        return key in self._keys

    def keys(self):
        return self._keys.keys()

    def items(self):
        return ((key, self[key]) for key in self._keys)

    def values(self):
        return (self[key] for key in self._keys)

    def get(self, key: str, default=None):
        return self[key] if key in self else default

    def setdefault(self, key: str, default=None):
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str):
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple:
        key = next(reversed(self._keys))
        return key, self.pop(key)

    def clear(self) -> None:
        for key in list(self._keys):
            del self[key]

    def copy(self):
        return ParameterDict(OrderedDict(self.items()))

    def fromkeys(self, keys, default=None):
        return ParameterDict((key, default) for key in keys)

    def update(self, parameters) -> None:
        """Keys of a plain dict are added in sorted order, as in PyTorch; an OrderedDict keeps its order."""
        if isinstance(parameters, Mapping) and not isinstance(parameters, OrderedDict):
            parameters = OrderedDict(sorted(parameters.items()))
        for key, value in _pairs(self, parameters):
            self[key] = value

    def __or__(self, other):
        both = self.copy()
        both.update(other)
        return both

    def __ior__(self, other):
        self.update(other)
        return self

    def extra_repr(self) -> str:
        return self._lines(self.items())
