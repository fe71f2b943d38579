"""Module: parameters, buffers and sub-modules by name.  State keys and behaviour are PyTorch's."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import numpy as np

from tinygen.dtypes import DtypeError
from tinygen.tensor import Tensor, as_tensor, check_device


class Parameter(Tensor):
    """A leaf Tensor that a Module finds among its attributes and an optimiser updates."""

    __slots__ = ()

    def __init__(self, data, requires_grad: bool = True) -> None:
        data = as_tensor(data)
        super().__init__(0.0)
        self._data = data._data.copy() if data._guard is not None or not data.is_contiguous() else data._data
        self.requires_grad_(requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict(strict=False)` left alone."""

    missing_keys: list
    unexpected_keys: list


class Module:
    """Base of every layer and network: set Parameters and Modules as attributes, write `forward`."""

    training: bool

    def __init__(self) -> None:
        object.__setattr__(self, "training", True)
        for store in ("_parameters", "_buffers", "_modules"):
            object.__setattr__(self, store, {})
        object.__setattr__(self, "_temporary", set())

    def forward(self, *args, **kwargs):
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, *args, **kwargs):
        return self.forward(*args, **kwargs)

    # attributes

    def __setattr__(self, name: str, value) -> None:
        stores = self.__dict__
        if "_parameters" not in stores:
            if isinstance(value, (Parameter, Module)):
                raise AttributeError(
                    f"{type(self).__name__}: call super().__init__() before assigning {name}"
                )
            return object.__setattr__(self, name, value)
        if isinstance(value, Parameter):
            self._forget(name)
            self._parameters[name] = value
        elif isinstance(value, Module):
            self._forget(name)
            self._modules[name] = value
        elif name in self._parameters and value is not None:
            raise TypeError(
                f"{name} is a Parameter; found a {type(value).__name__}, expected a Parameter or None"
            )
        elif name in self._parameters:
            self._parameters[name] = None
        elif name in self._buffers and (value is None or isinstance(value, Tensor)):
            self._buffers[name] = value
        else:
            self._forget(name)
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str):
        for store in ("_parameters", "_buffers", "_modules"):
            found = self.__dict__.get(store, {})
            if name in found:
                return found[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        if not self._forget(name):
            object.__delattr__(self, name)

    def _forget(self, name: str) -> bool:
        known = [s for s in (self._parameters, self._buffers, self._modules, self.__dict__) if name in s]
        for store in known:
            del store[name]
        return bool(known)

    def register_parameter(self, name: str, parameter) -> None:
        self._parameters[name] = parameter

    def register_buffer(self, name: str, tensor, persistent: bool = True) -> None:
        """A Tensor that belongs to the state but is not trained (running statistics)."""
        self._buffers[name] = tensor
        if not persistent:
            self._temporary.add(name)

    def register_module(self, name: str, module) -> None:
        self._modules[name] = module

    add_module = register_module

    # walking

    def named_modules(self, prefix: str = ""):
        """This module and every one below it, with dotted names, each once."""
        seen = set()
        stack = [(prefix, self)]
        while stack:
            name, module = stack.pop()
            if module in seen:
                continue
            seen.add(module)
            yield name, module
            children = [
                (f"{name}.{k}" if name else k, m) for k, m in module._modules.items() if m is not None
            ]
            stack.extend(reversed(children))

    def modules(self):
        return (module for _, module in self.named_modules())

    def named_children(self):
        return ((name, module) for name, module in self._modules.items() if module is not None)

    def children(self):
        return (module for _, module in self.named_children())

    def _named(self, store: str, prefix: str = "", recurse: bool = True):
        seen = set()
        for name, module in self.named_modules(prefix) if recurse else [(prefix, self)]:
            for key, tensor in getattr(module, store).items():
                if tensor is not None and id(tensor) not in seen:
                    seen.add(id(tensor))
                    yield (f"{name}.{key}" if name else key), tensor

    def named_parameters(self, prefix: str = "", recurse: bool = True):
        return self._named("_parameters", prefix, recurse)

    def parameters(self, recurse: bool = True):
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True):
        return self._named("_buffers", prefix, recurse)

    def buffers(self, recurse: bool = True):
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def apply(self, function):
        """Call `function` on every module below and then on this one."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    # modes

    def train(self, mode: bool = True):
        for module in self.modules():
            object.__setattr__(module, "training", mode)
        return self

    def eval(self):
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True):
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        for parameter in self.parameters():
            parameter.grad = None if set_to_none or parameter.grad is None else parameter.grad.detach() * 0.0

    def to(self, *targets, dtype=None, device=None):
        """Floating parameters and buffers in another dtype, in place."""
        for target in targets:
            if isinstance(target, str) and not isinstance(target, np.dtype):
                device = target
            else:
                dtype = target
        check_device(device)
        if dtype is not None:
            for tensor in (*self.parameters(), *self.buffers()):
                if tensor.is_floating_point():
                    tensor._data = tensor._data.astype(dtype, copy=False)
                    tensor._guard = None
                    tensor.grad = None if tensor.grad is None else tensor.grad.to(dtype)
        return self

    def float(self):
        return self.to(np.float32)

    def double(self):
        return self.to(np.float64)

    def cpu(self):
        return self

    # state

    def state_dict(self, prefix: str = "") -> OrderedDict:
        """Parameters and persistent buffers by dotted name, sharing memory with the module."""
        state = OrderedDict()
        for name, module in self._modules_with_repeats(prefix):
            for store in ("_parameters", "_buffers"):
                for key, tensor in getattr(module, store).items():
                    if tensor is not None and key not in module._temporary:
                        state[name + key] = tensor.detach()
        return state

    def _modules_with_repeats(self, prefix: str):
        yield prefix, self
        for name, child in self.named_children():
            yield from child._modules_with_repeats(f"{prefix}{name}.")

    def load_state_dict(self, state_dict, strict: bool = True) -> IncompatibleKeys:
        """Copy `state_dict` (Tensors or arrays by name) into the parameters and buffers.

        Nothing is written when a shape does not fit or, if strict, a key is missing or unexpected; the error names
        every one of them.
        """
        own = {
            name + key: tensor
            for name, module in self._modules_with_repeats("")
            for store in ("_parameters", "_buffers")
            for key, tensor in getattr(module, store).items()
            if tensor is not None and key not in module._temporary
        }
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        given = {name: as_tensor(value) for name, value in state_dict.items() if name in own}
        wrong = [
            f"size of {name}: found {value.shape}, expected {own[name].shape}"
            for name, value in given.items()
            if value.shape != own[name].shape
        ]
        if strict:
            wrong = (
                [f"missing {name}" for name in missing]
                + [f"unexpected {name}" for name in unexpected]
                + wrong
            )
        if wrong:
            raise RuntimeError(f"load_state_dict of {type(self).__name__}: " + "; ".join(wrong))
        for name, value in given.items():
            if value.is_floating_point() != own[name].is_floating_point():
                raise DtypeError(f"load_state_dict: {name}: found {value.dtype}, expected {own[name].dtype}")
            own[name]._write(value._data)
        return IncompatibleKeys(missing, unexpected)

    # printing

    def extra_repr(self) -> str:
        return ""

    def __repr__(self) -> str:
        lines = [
            f"  ({name}): " + repr(module).replace("\n", "\n  ") for name, module in self.named_children()
        ]
        head = f"{type(self).__name__}({self.extra_repr()}"
        return head + ("\n" + "\n".join(lines) + "\n)" if lines else ")")


class Sequential(Module):
    """Modules applied one after the other."""

    def __init__(self, *modules) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], dict):
            named = modules[0].items()
        else:
            named = ((str(i), module) for i, module in enumerate(modules))
        for name, module in named:
            self.add_module(name, module)

    def forward(self, x):
        for module in self._modules.values():
            x = module(x)
        return x

    def append(self, module):
        self.add_module(str(len(self)), module)
        return self

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self):
        return iter(self._modules.values())

    def __getitem__(self, index):
        if isinstance(index, slice):
            return Sequential(dict(list(self._modules.items())[index]))
        return list(self._modules.values())[index]


class ModuleList(Module):
    """A list of Modules that are found as sub-modules."""

    def __init__(self, modules=()) -> None:
        super().__init__()
        self.extend(modules)

    def append(self, module):
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules):
        for module in modules:
            self.append(module)
        return self

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self):
        return iter(self._modules.values())

    def __getitem__(self, index):
        modules = list(self._modules.values())
        return ModuleList(modules[index]) if isinstance(index, slice) else modules[index]
