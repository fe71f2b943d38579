"""Module: parameters, buffers and sub-modules by name.  State keys and behaviour are PyTorch's."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from textwrap import indent
from typing import NamedTuple

import numpy as np

from tinygen.engine.devices import CPU, CUDA, checked, move
from tinygen.engine.hooks import RemovableHandle
from tinygen.engine.memory import alias
from tinygen.engine.tensor import Tensor, as_tensor
from tinygen.engine.tensor import tensor as new_tensor
from tinygen.nn.hooks import call_with_hooks, register


class Parameter(Tensor):
    """A leaf Tensor that a Module finds among its attributes and an optimiser updates.

    It shares the memory of a Tensor and copies anything else.
    """

    __slots__ = ()

    def __init__(self, data, requires_grad: bool = True) -> None:
        data = data if isinstance(data, Tensor) else new_tensor(data)
        self._data, self._edge, self._family, self.grad = data._data, None, None, None
        alias(self, data)
        self.requires_grad_(requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict(strict=False)` left alone."""

    missing_keys: list
    unexpected_keys: list

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class Module:
    """Base of every layer and network: set Parameters and Modules as attributes, write `forward`."""

    training: bool
    _hooked = False  # whether a hook was ever registered on this module
    _parametrized = False  # whether it has attributes that nn.utils.parametrize computes

    def __init__(self) -> None:
        object.__setattr__(self, "training", True)
        for store in ("_parameters", "_buffers", "_modules"):
            object.__setattr__(self, store, {})
        object.__setattr__(self, "_temporary", set())

    def forward(self, *args, **kwargs):
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, *args, **kwargs):
        if self._hooked:
            return call_with_hooks(self, args, kwargs)
        return self.forward(*args, **kwargs)

    def register_forward_pre_hook(
        self, hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call hook(module, args) before forward; what it returns (None: nothing) are the new args."""
        return register(self, "_forward_pre_hooks", hook, prepend, with_kwargs)

    def register_forward_hook(
        self, hook, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call hook(module, args, output) after forward; what it returns (None: nothing) is the new output."""
        if always_call:
            raise NotImplementedError(
                "register_forward_hook: always_call=True is not supported; use try … finally"
            )
        return register(self, "_forward_hooks", hook, prepend, with_kwargs)

    def register_full_backward_hook(self, hook, prepend: bool = False):
        raise NotImplementedError(
            "register_full_backward_hook is not supported; call y.retain_grad() in forward and read y.grad after "
            "backward, or use autograd.grad(loss, y)"
        )

    register_full_backward_pre_hook = register_backward_hook = register_full_backward_hook

    # attributes

    def __setattr__(self, name: str, value) -> None:
        stores = self.__dict__
        if "_parameters" not in stores:
            if isinstance(value, (Parameter, Module)):
                raise AttributeError(
                    f"{type(self).__name__}: call super().__init__() before assigning {name}"
                )
            return object.__setattr__(self, name, value)
        if self._parametrized and name in self._modules["parametrizations"]._modules:
            self._modules["parametrizations"]._modules[name].right_inverse(value)
        elif isinstance(value, Parameter):
            self._put("_parameters", name, value)
        elif isinstance(value, Module):
            self._put("_modules", name, value)
        else:
            for store, kind in (("_parameters", Parameter), ("_buffers", Tensor), ("_modules", Module)):
                if name in stores[store]:
                    if value is not None and not isinstance(value, kind):
                        found, expected = type(value).__name__, kind.__name__
                        raise TypeError(f"{name}: found a {found}, expected a {expected} or None")
                    stores[store][name] = value
                    return None
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str):
        for store in ("_parameters", "_buffers", "_modules"):
            found = self.__dict__.get(store, {})
            if name in found:
                return found[name]
        if self._parametrized and name in self._modules["parametrizations"]._modules:
            return self._modules["parametrizations"]._modules[name]()
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        for store in (self._parameters, self._buffers, self._modules):
            if name in store:
                del store[name]
                return
        object.__delattr__(self, name)

    def _put(self, store: str, name: str, value) -> None:
        """Store under `name`, at its old place if it has one there, and nowhere else."""
        for other in (self._parameters, self._buffers, self._modules, self.__dict__):
            if other is not self.__dict__[store]:
                other.pop(name, None)
        self._temporary.discard(name)
        self.__dict__[store][name] = value

    def _register(self, store: str, kind: type, name: str, value) -> None:
        where = f"register {name!r} in {type(self).__name__}"
        if "_parameters" not in self.__dict__:
            raise AttributeError(f"{where}: call super().__init__() before")
        if not isinstance(name, str):
            raise TypeError(f"{where}: found a {type(name).__name__} as name, expected a str")
        if not name or "." in name:
            raise KeyError(f"{where}: expected a name that is neither empty nor has a dot")
        if name not in self.__dict__[store] and hasattr(self, name):
            raise KeyError(f"{where}: there is an attribute of that name")
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"{where}: found a {type(value).__name__}, expected a {kind.__name__} or None")
        self.__dict__[store][name] = value

    def register_parameter(self, name: str, param) -> None:
        self._register("_parameters", Parameter, name, param)

    def register_buffer(self, name: str, tensor, persistent: bool = True) -> None:
        """A Tensor that belongs to the state but is not trained (running statistics)."""
        self._register("_buffers", Tensor, name, tensor)
        (self._temporary.discard if persistent else self._temporary.add)(name)

    def register_module(self, name: str, module) -> None:
        self._register("_modules", Module, name, module)

    add_module = register_module

    # walking

    def named_modules(self, memo: set | None = None, prefix: str = "", remove_duplicate: bool = True):
        """This module and every one below it, with dotted names; each once, or under each of its names."""
        seen = set() if memo is None else memo
        stack = [(prefix, self)]
        while stack:
            name, module = stack.pop()
            if module in seen:
                continue
            if remove_duplicate:
                seen.add(module)
            yield name, module
            children = [
                (f"{name}.{k}" if name else k, m) for k, m in module._modules.items() if m is not None
            ]
            stack.extend(reversed(children))

    def modules(self, remove_duplicate: bool = True):
        return (module for _, module in self.named_modules(remove_duplicate=remove_duplicate))

    def named_children(self):
        """The modules right below this one, each once."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self):
        return (module for _, module in self.named_children())

    def _named(self, store: str, prefix: str, recurse: bool, remove_duplicate: bool):
        seen = set()
        below = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        for name, module in below if recurse else [(prefix, self)]:
            for key, tensor in getattr(module, store).items():
                if tensor is not None and id(tensor) not in seen:
                    if remove_duplicate:
                        seen.add(id(tensor))
                    yield (f"{name}.{key}" if name else key), tensor

    def named_parameters(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True):
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True):
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True):
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True):
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str):
        """The module below of a dotted name; "" is this one."""
        module = self
        for name in target.split(".") if target else ():
            module = module._get(name, Module)
        return module

    def set_submodule(self, target: str, module, strict: bool = False) -> None:
        """Put a module in the place of the one of a dotted name, which must exist if strict."""
        if not target or not isinstance(module, Module):
            raise ValueError(
                f"set_submodule: found {target!r} and a {type(module).__name__}, expected a Module"
            )
        above, _, name = target.rpartition(".")
        parent = self.get_submodule(above)
        if strict or hasattr(parent, name):
            parent._get(name, Module)
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        above, _, name = target.rpartition(".")
        return self.get_submodule(above)._get(name, Parameter)

    def get_buffer(self, target: str) -> Tensor:
        above, _, name = target.rpartition(".")
        module = self.get_submodule(above)
        found = module._get(name, Tensor)
        if name not in module._buffers:
            raise AttributeError(f"{type(module).__name__}: {name} is a {type(found).__name__}, no buffer")
        return found

    def _get(self, name: str, kind: type):
        found = getattr(self, name)
        if not isinstance(found, kind):
            raise AttributeError(
                f"{type(self).__name__}: {name} is a {type(found).__name__}, expected a {kind.__name__}"
            )
        return found

    def apply(self, fn):
        """Call `fn` on every module below and then on this one."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # modes

    def train(self, mode: bool = True):
        if not isinstance(mode, bool):
            raise ValueError(f"train: found mode {mode!r}, expected True or False")
        object.__setattr__(self, "training", mode)
        for child in self.children():
            child.train(mode)
        return self

    def eval(self):
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True):
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        for parameter in self.parameters():
            if parameter.grad is not None:
                parameter.grad = None if set_to_none else parameter.grad.detach().zero_()

    def to(self, *targets, dtype=None, device=None):
        """Parameters and buffers on another device, and floating ones in another dtype, in place."""
        for target in targets:
            if isinstance(target, Tensor):
                dtype, device = target.dtype, target.device
            elif isinstance(target, (str, int)):
                device = target
            else:
                dtype = target
        if device is not None:
            self._move(checked(device))
        if dtype is None:
            return self
        if np.dtype(dtype).kind != "f":
            raise TypeError(f"to: found dtype {np.dtype(dtype)}, expected a floating dtype")
        for tensor in (*self.parameters(), *self.buffers()):
            if tensor.is_floating_point() and tensor.dtype != dtype:
                tensor._point_at(tensor._data.astype(dtype))
                tensor.grad = None if tensor.grad is None else tensor.grad.detach().to(dtype)
        return self

    def _move(self, device) -> None:
        """Point every parameter and buffer at memory there: they stay the same Tensors, which optimizers know."""
        for tensor in (*self.parameters(), *self.buffers()):
            if tensor.device is not device:
                tensor._point_at(move(tensor._data, device))
                tensor.grad = None if tensor.grad is None else tensor.grad.detach().to(device)

    def type(self, dst_type):
        return self.to(np.dtype(dst_type))

    def half(self):
        return self.to(np.float16)

    def float(self):
        return self.to(np.float32)

    def double(self):
        return self.to(np.float64)

    def bfloat16(self):
        raise NotImplementedError("bfloat16: there is no such dtype in NumPy; use half() or float()")

    def cpu(self):
        return self.to(CPU)

    def cuda(self, device=None):
        return self.to(CUDA if device is None else device)

    # state

    def state_dict(
        self, *, destination: dict | None = None, prefix: str = "", keep_vars: bool = False
    ) -> OrderedDict:
        """Parameters and persistent buffers by dotted name, sharing memory with the module.

        destination   a dict to put them into
        keep_vars     the parameters themselves, not what they hold
        """
        state = OrderedDict() if destination is None else destination
        state.update((name, t if keep_vars else t.detach()) for name, t in self._state(prefix))
        return state

    def _state(self, prefix: str = ""):
        """What the state consists of, by dotted name; what is shared comes under each of its names."""
        for store in (self._parameters, self._buffers):
            for name, tensor in store.items():
                if tensor is not None and name not in self._temporary:
                    yield prefix + name, tensor
        for name, child in self._modules.items():
            if child is not None:
                yield from child._state(f"{prefix}{name}.")

    def load_state_dict(self, state_dict, strict: bool = True, assign: bool = False) -> IncompatibleKeys:
        """Copy `state_dict` (Tensors or arrays by name) into the parameters and buffers.

        Nothing is written when a shape or kind of number does not fit or, if strict, a key is missing or unexpected;
        the error names every one of them.
        """
        if assign:
            raise NotImplementedError("load_state_dict: assign=True is not supported; call to(dtype) before")
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"load_state_dict: found a {type(state_dict).__name__}, expected a dict by name")
        own = dict(self._state())
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        given = {name: as_tensor(value) for name, value in state_dict.items() if name in own}
        wrong = [
            f"size of {name}: found {value.shape}, expected {own[name].shape}"
            for name, value in given.items()
            if value.shape != own[name].shape
        ] + [
            f"dtype of {name}: found {value.dtype}, expected {own[name].dtype}"
            for name, value in given.items()
            if value.is_floating_point() != own[name].is_floating_point()
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
            own[name]._write(move(value._data, own[name].device))
        return IncompatibleKeys(missing, unexpected)

    def __getstate__(self) -> dict:
        """What `copy` and `pickle` take along: of a weight that a hook computes, the numbers and not their graph."""
        state = dict(self.__dict__)
        for hook, _ in state.get("_forward_pre_hooks", {}).values():
            computed = state.get(getattr(hook, "computes", None))
            if computed is not None:
                state[hook.computes] = computed.detach()
        return state

    # printing

    def __dir__(self):
        named = [*self._parameters, *self._buffers, *self._modules]
        named += self._modules["parametrizations"]._modules if self._parametrized else ()
        return sorted({*super().__dir__(), *(name for name in named if not name[0].isdigit())})

    def _get_name(self) -> str:
        return f"{'Parametrized' if self._parametrized else ''}{type(self).__name__}"

    def extra_repr(self) -> str:
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        children = [f"({name}): {module!r}" for name, module in self._modules.items()]
        if not children and "\n" not in extra:
            return f"{self._get_name()}({extra})"
        lines = "\n".join([extra, *children] if extra else children)
        return f"{self._get_name()}(\n" + indent(lines, "  ") + "\n)"
