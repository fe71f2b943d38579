"""The base class of the optimizers: parameter groups, state, and the part of a step that all of them share."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from tinygen.engine import devices, grad_mode
from tinygen.engine.devices import move
from tinygen.engine.dtypes import ShapeError
from tinygen.engine.errors import refusal
from tinygen.engine.tensor import Tensor
from tinygen.kernels.runtime import capture
from tinygen.ops.creation import full_like

# PyTorch's choices of implementation for a step: there is only one here
_WAYS = ("foreach", "fused", "capturable", "differentiable")
# keys that a group may hold besides the options: set by schedules and by callers
_BESIDE = {"params", "param_names", "initial_lr", "name"}


class Optimizer:
    """Base class: parameter groups, each with its own options, and the state of each parameter.

    `param_groups` is a list of dicts with "params" and the options; `state` maps a parameter to its moments.
    """

    moments: tuple = ()  # the keys of a parameter's state
    optional_moments: tuple = ()  # keys that only some options add
    capturable: bool = False  # whether `_update` leaves the step's numbers to `runtime.capture`
    on_device: tuple = ()  # options that a captured step reads on the device, so that they may change

    def __init__(self, params, defaults: dict) -> None:
        self.defaults, self.state, self.param_groups = defaults, defaultdict(dict), []
        if isinstance(params, (Tensor, dict, set)):
            raise refusal(
                type(self).__name__,
                TypeError,
                f"found a {type(params).__name__}, expected a list of Tensors or dicts",
            )
        params = list(params)
        if not params:
            raise refusal(type(self).__name__, ValueError, "found no parameters")
        for group in params if isinstance(params[0], dict) else [{"params": params}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict) -> None:
        """Add {"params": [...], option: value, ...}; missing options take the optimizer's defaults.

        The parameters may be (name, parameter) pairs, as from `named_parameters`.
        """
        name = type(self).__name__
        if not isinstance(param_group, dict):
            raise refusal(name, TypeError, f"found a {type(param_group).__name__}, expected a dict as group")
        params = param_group["params"]
        if isinstance(params, set):
            raise refusal(name, TypeError, "found a set, expected an ordered collection of parameters")
        params = [params] if isinstance(params, Tensor) else list(params)
        group = {**self.defaults, **param_group}
        names = [p[0] for p in params if isinstance(p, tuple)]
        if names:
            params = [p[1] if isinstance(p, tuple) else p for p in params]
            group["param_names"] = names
        group["params"] = params
        self._check_group(group)
        self.param_groups.append(group)

    def _check_group(self, group: dict) -> None:
        name, params = type(self).__name__, group["params"]
        unknown = [option for option in group if option not in self.defaults and option not in _BESIDE]
        if unknown:
            raise refusal(
                name,
                ValueError,
                f"found option {unknown[0]!r} in a group, expected one of {', '.join(self.defaults)}",
            )
        _check(name, group)
        names = group.get("param_names")
        if any(("param_names" in g) != (names is not None) for g in self.param_groups) or (
            names is not None and len(names) != len(params)
        ):
            raise refusal(name, ValueError, "found names for some of the parameters, expected all or none")
        known = {p for g in self.param_groups for p in g["params"]}
        for p in params:
            if not isinstance(p, Tensor):
                raise refusal(name, TypeError, f"found a {type(p).__name__}, expected Tensors")
            if not p.is_leaf:
                raise refusal(
                    name, ValueError, f"cannot optimize a Tensor that is not a leaf; shape {p.shape}"
                )
            if p in known:
                raise refusal(name, ValueError, f"a parameter of shape {p.shape} occurs twice")
            known.add(p)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients, or set them to zero."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad = None if set_to_none else p.grad.detach().zero_()

    def step(self, closure=None):
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with grad_mode.enable_grad():
                loss = closure()
        with np.errstate(all="ignore"):  # overflow gives inf or nan without a warning, as in every operation
            for group in self.param_groups:
                every = [p for p in group["params"] if p.grad is not None]
                for params in _by_device(every):
                    try:
                        self._step(group, params)
                    except MemoryError as error:
                        raise devices.out_of_memory("step", error) from error
        return loss

    def _step(self, group: dict, params: list[Tensor]) -> None:
        """Update parameters that are all on one device."""
        if capture.here.recorder is not None:
            self._check_capture(group, params)
        for p in params:
            if p.grad._data.shape != p._data.shape:
                raise refusal("step", ShapeError, f"found a gradient {p.grad.shape} of a parameter {p.shape}")
            p._touch()
        gradients = [-p.grad._data if group["maximize"] else p.grad._data for p in params]
        if params:
            self._update_all(group, params, gradients)

    def _check_capture(self, group: dict, params: list[Tensor]) -> None:
        name, moving = type(self).__name__, {"params", *self.on_device}
        if not self.capturable:
            raise capture.Refused(f"{name} has no form with its numbers on the device")
        if any(p.dtype != np.float32 for p in params):
            raise capture.Refused(f"{name} has its numbers on the device in float32, and a parameter is not")
        for option in group.keys() - moving:
            capture.fixed(f"{option} of {name}", lambda option=option: group[option])

    def _update_all(self, group: dict, params: list[Tensor], gradients: list[np.ndarray]) -> None:
        """Update all parameters of a group in place from their gradients."""
        for p, g in zip(params, gradients):
            self._update(group, p, g, self.state[p])

    def _update(self, group: dict, p: Tensor, g: np.ndarray, state: dict) -> None:
        """Update `p` in place from its gradient `g`; `state` is the state of this parameter."""
        raise NotImplementedError

    def state_dict(self) -> dict:
        """{"state": {number: {...}}, "param_groups": [{..., "params": [numbers]}]}, sharing memory."""
        numbers = {p: i for i, p in enumerate(p for g in self.param_groups for p in g["params"])}
        return {
            "state": {numbers[p]: dict(s) for p, s in self.state.items() if s},
            "param_groups": [{**g, "params": [numbers[p] for p in g["params"]]} for g in self.param_groups],
        }

    def load_state_dict(self, state_dict: dict) -> None:
        """Load options and moments; the groups must hold as many parameters as here, of the same shapes."""
        groups = state_dict["param_groups"]
        found, expected = [len(g["params"]) for g in groups], [len(g["params"]) for g in self.param_groups]
        if found != expected:
            raise refusal(
                "load_state_dict", ValueError, f"found groups of {found} parameters, expected {expected}"
            )
        params = [p for g in self.param_groups for p in g["params"]]
        numbers = [n for g in groups for n in g["params"]]
        state = {}
        for p, number in zip(params, numbers):
            moments = state_dict["state"].get(number) or {}
            moments = {name: value for name, value in moments.items() if value is not None}
            if not moments:
                continue
            if not set(self.moments) <= set(moments) <= {*self.moments, *self.optional_moments}:
                raise ValueError(
                    f"load_state_dict of {type(self).__name__}: found {', '.join(sorted(moments))} of parameter "
                    f"{number}, expected {', '.join(sorted(self.moments + self.optional_moments)) or 'nothing'}"
                )
            state[p] = {name: _copied(name, value, p) for name, value in moments.items()}
        self.state = defaultdict(dict, state)
        for own, given in zip(self.param_groups, groups):
            own.update({name: value for name, value in given.items() if name != "params"})

    def __repr__(self) -> str:
        lines = []
        for i, group in enumerate(self.param_groups):
            lines += [f"\nParameter Group {i}"]
            lines += [f"    {name}: {group[name]}" for name in sorted(group) if name != "params"]
        return f"{type(self).__name__} (" + "\n".join(lines) + "\n)"


def _by_device(params: list[Tensor]) -> list[list[Tensor]]:
    """The parameters grouped by device: a kernel takes arrays of one device."""
    if not devices.in_use:
        return [params]
    return [[p for p in params if p.is_cuda == there] for there in {p.is_cuda for p in params}]


def moment(state: dict, name: str, p: Tensor, value: float = 0.0) -> np.ndarray:
    """The array of a moment, filled with `value` at first."""
    if name not in state:
        state[name] = full_like(p, value).detach()
    elif devices.in_use:  # the parameter may have changed device
        state[name] = state[name].to(p.device)
    return state[name]._data


def _copied(name: str, value, p: Tensor):
    """A copy of a moment as a Tensor of the parameter's dtype; the step count as an int."""
    array = value._data if isinstance(value, Tensor) else np.asarray(value)
    if name == "step":
        return int(array)
    if array.shape != p.shape:
        raise refusal("load_state_dict", ValueError, f"{name}: found {array.shape}, expected {p.shape}")
    return Tensor._wrap(move(array.astype(p.dtype), p.device))


def _check(name: str, options: dict) -> None:
    """Reject negative rates and factors, and PyTorch's choices of implementation that do not exist here."""
    for option in _WAYS:
        if options.get(option):
            raise refusal(
                name,
                NotImplementedError,
                f"{option}={options[option]!r} is not supported; leave it out: a step is one pass over each "
                "parameter, outside the graph",
            )
    for option in options.keys() - {*_WAYS, *_BESIDE, "betas", "dampening"}:
        value = options[option]
        if isinstance(value, Tensor):
            raise refusal(name, NotImplementedError, f"{option} as a Tensor is not supported; use .item()")
        if not value >= 0:
            raise refusal(name, ValueError, f"found {option}={value}, expected at least 0")
