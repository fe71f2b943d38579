"""Module: parameters, buffers and submodules by name.  State keys and behavior are PyTorch's."""

from __future__ import annotations

from collections import OrderedDict
from textwrap import indent

import numpy as np

from tinygen.engine.devices import CPU, CUDA, checked, move
from tinygen.engine.errors import refusal
from tinygen.engine.tensor import Tensor
from tinygen.nn.forward_hooks import RemovableHandle, call_with_hooks, register
from tinygen.nn.loading import IncompatibleKeys, load
from tinygen.nn.parameter import Parameter


class Module:
    """Base class of layers and networks: assign Parameters and Modules as attributes, and define `forward`."""

    training: bool
    _hooked = False  # whether a hook was ever registered on this module
    _parametrized = False  # whether nn.utils.parametrize computes any of its attributes

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
        """Call hook(module, args) before forward; unless it returns None, its result replaces args."""
        return register(self, "_forward_pre_hooks", hook, prepend, with_kwargs)

    def register_forward_hook(
        self, hook, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call hook(module, args, output) after forward; unless it returns None, its result replaces output."""
        if always_call:
            raise refusal(
                "register_forward_hook",
                NotImplementedError,
                "always_call=True is not supported; use try … finally",
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
                raise refusal(
                    type(self).__name__, AttributeError, f"call super().__init__() before assigning {name}"
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
                        raise refusal(name, TypeError, f"found a {found}, expected a {expected} or None")
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
        """Store `value` under `name`, in its old position if it has one there, and remove it from the other stores."""
        for other in (self._parameters, self._buffers, self._modules, self.__dict__):
            if other is not self.__dict__[store]:
                other.pop(name, None)
        self._temporary.discard(name)
        self.__dict__[store][name] = value

    def _register(self, store: str, kind: type, name: str, value) -> None:
        where = f"register {name!r} in {type(self).__name__}"
        if "_parameters" not in self.__dict__:
            raise refusal(where, AttributeError, "call super().__init__() first")
        if not isinstance(name, str):
            raise refusal(where, TypeError, f"found a {type(name).__name__} as name, expected a str")
        if not name or "." in name:
            raise refusal(where, KeyError, "expected a name that is not empty and has no dot")
        if name not in self.__dict__[store] and hasattr(self, name):
            raise refusal(where, KeyError, "there is already an attribute of that name")
        if value is not None and not isinstance(value, kind):
            raise refusal(
                where, TypeError, f"found a {type(value).__name__}, expected a {kind.__name__} or None"
            )
        self.__dict__[store][name] = value

    def register_parameter(self, name: str, param) -> None:
        self._register("_parameters", Parameter, name, param)

    def register_buffer(self, name: str, tensor, persistent: bool = True) -> None:
        """Add a Tensor that belongs to the state but is not trained, such as running statistics."""
        self._register("_buffers", Tensor, name, tensor)
        (self._temporary.discard if persistent else self._temporary.add)(name)

    def register_module(self, name: str, module) -> None:
        self._register("_modules", Module, name, module)

    add_module = register_module

    # iterating

    def named_modules(self, memo: set | None = None, prefix: str = "", remove_duplicate: bool = True):
        """This module and all submodules by dotted name; each once, or else under each of its names."""
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
        """The direct submodules, each once."""
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
        """The submodule of a dotted name; "" is this module."""
        module = self
        for name in target.split(".") if target else ():
            module = module._get(name, Module)
        return module

    def set_submodule(self, target: str, module, strict: bool = False) -> None:
        """Replace the submodule of a dotted name, which must exist if strict."""
        if not target or not isinstance(module, Module):
            raise refusal(
                "set_submodule",
                ValueError,
                f"found {target!r} and a {type(module).__name__}, expected a Module",
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
            raise refusal(
                type(module).__name__, AttributeError, f"{name} is a {type(found).__name__}, not a buffer"
            )
        return found

    def _get(self, name: str, kind: type):
        found = getattr(self, name)
        if not isinstance(found, kind):
            raise refusal(
                type(self).__name__,
                AttributeError,
                f"{name} is a {type(found).__name__}, expected a {kind.__name__}",
            )
        return found

    def apply(self, fn):
        """Call `fn` on every submodule and then on this module."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # modes

    def train(self, mode: bool = True):
        if not isinstance(mode, bool):
            raise refusal("train", ValueError, f"found mode {mode!r}, expected True or False")
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
        """Move parameters and buffers to another device, and convert floating-point ones to another dtype, in place."""
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
            raise refusal("to", TypeError, f"found dtype {np.dtype(dtype)}, expected a floating-point dtype")
        for tensor in (*self.parameters(), *self.buffers()):
            if tensor.is_floating_point() and tensor.dtype != dtype:
                tensor._point_at(tensor._data.astype(dtype))
                tensor.grad = None if tensor.grad is None else tensor.grad.detach().to(dtype)
        return self

    def _move(self, device) -> None:
        """Point every parameter and buffer at memory of the device: they stay the Tensors that optimizers hold."""
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
        raise refusal(
            "bfloat16", NotImplementedError, "there is no such dtype in NumPy; use half() or float()"
        )

    def cpu(self):
        return self.to(CPU)

    def cuda(self, device=None):
        return self.to(CUDA if device is None else device)

    # state

    def state_dict(
        self, *, destination: dict | None = None, prefix: str = "", keep_vars: bool = False
    ) -> OrderedDict:
        """Parameters and persistent buffers by dotted name, sharing memory with the module.

        destination   a dict to add them to
        keep_vars     return the parameters themselves, not detached Tensors
        """
        state = OrderedDict() if destination is None else destination
        state.update((name, t if keep_vars else t.detach()) for name, t in self._state(prefix))
        return state

    def _state(self, prefix: str = ""):
        """The Tensors of the state by dotted name; a shared one under each of its names."""
        for store in (self._parameters, self._buffers):
            for name, tensor in store.items():
                if tensor is not None and name not in self._temporary:
                    yield prefix + name, tensor
        for name, child in self._modules.items():
            if child is not None:
                yield from child._state(f"{prefix}{name}.")

    def load_state_dict(self, state_dict, strict: bool = True, assign: bool = False) -> IncompatibleKeys:
        """Copy `state_dict` (Tensors or arrays by name) into the parameters and buffers.

        If a shape or kind of number does not match or, if strict, a key is missing or unexpected, nothing is written,
        and the error lists all of them.
        """
        if assign:
            raise refusal(
                "load_state_dict", NotImplementedError, "assign=True is not supported; call to(dtype) first"
            )
        return load(f"load_state_dict of {type(self).__name__}", dict(self._state()), state_dict, strict)

    def __getstate__(self) -> dict:
        """The state for `copy` and `pickle`: of a weight that a hook computes, the numbers without their graph."""
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
