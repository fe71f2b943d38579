"""SGD, Adam, AdamW.  Parameter groups, options and state as in torch.optim."""

from __future__ import annotations

import numpy as np

from tinygen import autograd, kernels
from tinygen.dtypes import ShapeError
from tinygen.tensor import Tensor


class Optimizer:
    """Base: parameter groups (each with its own options) and the state of each parameter.

    `state` maps a parameter to its moments; `param_groups` is a list of dicts with "params" and the options.
    """

    moments: tuple = ()  # the names in a parameter's state

    def __init__(self, params, defaults: dict) -> None:
        self.defaults, self.state, self.param_groups = defaults, {}, []
        if isinstance(params, (Tensor, dict)):
            raise TypeError(
                f"{type(self).__name__}: found a {type(params).__name__}, expected a list of Tensors or dicts"
            )
        params = list(params)
        if not params:
            raise ValueError(f"{type(self).__name__}: found no parameters")
        for group in params if isinstance(params[0], dict) else [{"params": params}]:
            self.add_param_group(group)

    def add_param_group(self, group: dict) -> None:
        """Add {"params": [...], option: value, ...}; options left out take the optimiser's defaults."""
        params = group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        known = {p for g in self.param_groups for p in g["params"]}
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(f"{type(self).__name__}: found a {type(p).__name__}, expected Tensors")
            if not p.is_leaf:
                raise ValueError(
                    f"{type(self).__name__}: cannot optimise a Tensor that is not a leaf; shape {p.shape}"
                )
            if p in known:
                raise ValueError(f"{type(self).__name__}: a parameter of shape {p.shape} is there twice")
            known.add(p)
        self.param_groups.append({**self.defaults, **group, "params": params})

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients (or set them to zero)."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad = None if set_to_none else p.grad.detach().zero_()

    def step(self, closure=None):
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with autograd.enable_grad():
                loss = closure()
        with np.errstate(
            all="ignore"
        ):  # what overflows is inf or nan without a warning, as in every operation
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        if p.grad.shape != p.shape:
                            raise ShapeError(
                                f"step: found a gradient {p.grad.shape} of a parameter {p.shape}"
                            )
                        p._touch()
                        self._update(group, p, self.state.setdefault(p, {}))
        return loss

    def _update(self, group: dict, p: Tensor, state: dict) -> None:
        raise NotImplementedError

    def state_dict(self) -> dict:
        """{"state": {number: {...}}, "param_groups": [{..., "params": [numbers]}]}, sharing memory."""
        numbers = {p: i for i, p in enumerate(p for g in self.param_groups for p in g["params"])}
        return {
            "state": {numbers[p]: dict(s) for p, s in self.state.items() if s},
            "param_groups": [{**g, "params": [numbers[p] for p in g["params"]]} for g in self.param_groups],
        }

    def load_state_dict(self, state_dict: dict) -> None:
        """Take over options and moments; the groups must have as many parameters, of the same shapes."""
        groups = state_dict["param_groups"]
        found, expected = [len(g["params"]) for g in groups], [len(g["params"]) for g in self.param_groups]
        if found != expected:
            raise ValueError(f"load_state_dict: found groups of {found} parameters, expected {expected}")
        params = [p for g in self.param_groups for p in g["params"]]
        numbers = [n for g in groups for n in g["params"]]
        state = {}
        for p, number in zip(params, numbers):
            moments = state_dict["state"].get(number) or {}
            moments = {name: value for name, value in moments.items() if value is not None}
            if moments and set(moments) != set(self.moments):
                raise ValueError(
                    f"load_state_dict of {type(self).__name__}: found {', '.join(sorted(moments))} of parameter "
                    f"{number}, expected {', '.join(sorted(self.moments)) or 'nothing'}"
                )
            if moments:
                state[p] = {name: _copied(name, value, p) for name, value in moments.items()}
        self.state = state
        for own, given in zip(self.param_groups, groups):
            own.update({name: value for name, value in given.items() if name != "params"})


def _copied(name: str, value, p: Tensor):
    """A moment as a Tensor of its own in the parameter's dtype; the number of steps as a number."""
    array = np.asarray(value._data if isinstance(value, Tensor) else value)
    if name == "step":
        return int(array)
    if array.shape != p.shape:
        raise ValueError(f"load_state_dict: {name}: found {array.shape}, expected {p.shape}")
    return Tensor._wrap(array.astype(p.dtype))


def _check(name: str, options: dict) -> None:
    for option, value in options.items():
        if not value >= 0:
            raise ValueError(f"{name}: found {option}={value}, expected at least 0")


def _zeros(p: Tensor) -> Tensor:
    return Tensor._wrap(np.zeros_like(p._data))


class SGD(Optimizer):
    """Gradient descent: p <- p - lr v with v = g, or with momentum v <- momentum v + (1 - dampening) g."""

    moments = ("momentum_buffer",)

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        _check("SGD", dict(lr=lr, momentum=momentum, weight_decay=weight_decay))
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("SGD: nesterov needs a momentum above 0 and no dampening")
        defaults = dict(
            lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay, nesterov=nesterov
        )
        super().__init__(params, defaults)

    def _update(self, group, p, state) -> None:
        options = {k: group[k] for k in ("lr", "momentum", "dampening", "weight_decay", "nesterov")}
        first = group["momentum"] != 0 and "momentum_buffer" not in state
        if first:
            state["momentum_buffer"] = _zeros(p)
        velocity = state["momentum_buffer"]._data if group["momentum"] else None
        kernels.sgd(p._data, p.grad._data, velocity, first=first, **options)


class Adam(Optimizer):
    """Steps scaled by running moments of the gradient; `weight_decay` adds to the gradient  (arXiv 1412.6980)."""

    moments = ("step", "exp_avg", "exp_avg_sq")
    decoupled = False

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        name = type(self).__name__
        _check(name, dict(lr=lr, eps=eps, weight_decay=weight_decay))
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"{name}: found betas {betas}, expected numbers in [0, 1)")
        super().__init__(params, dict(lr=lr, betas=tuple(betas), eps=eps, weight_decay=weight_decay))

    def _update(self, group, p, state) -> None:
        if not state:
            state.update(step=0, exp_avg=_zeros(p), exp_avg_sq=_zeros(p))
        state["step"] += 1
        beta1, beta2 = group["betas"]
        kernels.adam(
            p._data,
            p.grad._data,
            state["exp_avg"]._data,
            state["exp_avg_sq"]._data,
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            decoupled=self.decoupled,
            step=state["step"],
        )


class AdamW(Adam):
    """Adam with the weight decay applied to the parameter itself  (arXiv 1711.05101)."""

    decoupled = True

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay: float = 1e-2) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)
