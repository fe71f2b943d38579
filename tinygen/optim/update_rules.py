"""The update rules: SGD, Adam, AdamW, RMSprop, Adagrad, Adadelta.  Options, groups and state as in torch.optim."""

from __future__ import annotations

from tinygen import kernels
from tinygen.engine.errors import refusal
from tinygen.kernels.optimizers.reference import adam_numbers
from tinygen.kernels.runtime import capture
from tinygen.optim.optimizer import Optimizer, moment


class SGD(Optimizer):
    """Gradient descent: p <- p - lr v with v = g, or with momentum v <- momentum v + (1 - dampening) g."""

    optional_moments = ("momentum_buffer",)
    capturable = True

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        options = dict(lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay)
        ways = dict(foreach=foreach, differentiable=differentiable, fused=fused)
        super().__init__(params, dict(**options, nesterov=nesterov, maximize=maximize, **ways))

    def _check_group(self, group) -> None:
        super()._check_group(group)
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise refusal("SGD", ValueError, "nesterov needs a momentum above 0 and no dampening")

    def _update(self, group, p, g, state) -> None:
        options = {k: group[k] for k in ("lr", "momentum", "dampening", "weight_decay", "nesterov")}
        first = "momentum_buffer" not in state
        velocity = moment(state, "momentum_buffer", p) if group["momentum"] != 0 else None
        kernels.sgd(p._data, g, velocity, first=first, **options)


class Adam(Optimizer):
    """Steps scaled by running moments of the gradient; `weight_decay` is added to the gradient  (arXiv 1412.6980).

    `amsgrad` divides by the largest second moment so far  (arXiv 1904.09237).
    """

    moments = ("step", "exp_avg", "exp_avg_sq")
    optional_moments = ("max_exp_avg_sq",)
    capturable, on_device = True, ("lr",)

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        options = dict(lr=lr, betas=tuple(betas), eps=eps, weight_decay=weight_decay, amsgrad=amsgrad)
        ways = dict(foreach=foreach, capturable=capturable, differentiable=differentiable, fused=fused)
        options.update(maximize=maximize, decoupled_weight_decay=decoupled_weight_decay, **ways)
        super().__init__(params, options)

    def _check_group(self, group) -> None:
        super()._check_group(group)
        if not all(0 <= beta < 1 for beta in group["betas"]):
            raise refusal(
                type(self).__name__, ValueError, f"found betas {group['betas']}, expected numbers in [0, 1)"
            )

    def _update_all(self, group, params, gradients) -> None:
        beta1, beta2 = group["betas"]
        options = {k: group[k] for k in ("lr", "eps", "weight_decay")}
        states = [self.state[p] for p in params]
        numbers = None
        if capture.here.recorder is not None:
            if len({state["step"] for state in states}) != 1:
                raise capture.Refused("some parameters of Adam have taken fewer steps than others")
            numbers = capture.numbers(4, lambda: _next_numbers(group, states))
        else:
            _count(states)
        moments = {
            name: [moment(state, name, p) for state, p in zip(states, params)]
            for name in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")[: 2 + group["amsgrad"]]
        }
        kernels.adam(
            [p._data for p in params],
            gradients,
            moments["exp_avg"],
            moments["exp_avg_sq"],
            largest=moments.get("max_exp_avg_sq"),
            beta1=beta1,
            beta2=beta2,
            decoupled=group["decoupled_weight_decay"],
            step=[state.get("step", 0) for state in states],
            numbers=numbers,
            **options,
        )


def _count(states: list[dict]) -> None:
    """One more step"""
    for state in states:
        state["step"] = state.get("step", 0) + 1


def _next_numbers(group: dict, states: list[dict]) -> list[float]:
    """Adam's numbers for the next step of parameters that have taken equally many"""
    _count(states)
    step = states[0]["step"]
    beta1, beta2 = group["betas"]
    options = {"lr": group["lr"], "weight_decay": group["weight_decay"]}
    return adam_numbers(step, beta1=beta1, beta2=beta2, decoupled=group["decoupled_weight_decay"], **options)


class AdamW(Adam):
    """Adam with decoupled weight decay, applied to the parameter itself  (arXiv 1711.05101)."""

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        ways = dict(foreach=foreach, capturable=capturable, differentiable=differentiable, fused=fused)
        options = dict(maximize=maximize, decoupled_weight_decay=True, **ways)
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, **options)

    def load_state_dict(self, state_dict) -> None:
        super().load_state_dict(state_dict)
        for group in self.param_groups:  # even if the state comes from Adam
            group["decoupled_weight_decay"] = True


class RMSprop(Optimizer):
    """Steps divided by the gradient's running root mean square  (Hinton, Coursera lecture 6e).

    `centered` subtracts the square of its running mean  (Graves, arXiv 1308.0850).
    """

    moments = ("step", "square_avg")
    optional_moments = ("momentum_buffer", "grad_avg")
    capturable = True

    def __init__(
        self,
        params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        options = dict(lr=lr, momentum=momentum, alpha=alpha, eps=eps, centered=centered)
        ways = dict(capturable=capturable, foreach=foreach, differentiable=differentiable)
        super().__init__(params, dict(**options, weight_decay=weight_decay, maximize=maximize, **ways))

    def _update(self, group, p, g, state) -> None:
        capture.every_step(lambda: _count([state]))
        square = moment(state, "square_avg", p)
        velocity = moment(state, "momentum_buffer", p) if group["momentum"] > 0 else None
        mean = moment(state, "grad_avg", p) if group["centered"] else None
        options = {k: group[k] for k in ("lr", "alpha", "eps", "weight_decay", "momentum")}
        kernels.rmsprop(p._data, g, square, mean, velocity, **options)


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of all squared gradients  (Duchi, Hazan & Singer 2011)."""

    moments = ("step", "sum")

    def __init__(
        self,
        params,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        options = dict(lr=lr, lr_decay=lr_decay, eps=eps, weight_decay=weight_decay, maximize=maximize)
        options["initial_accumulator_value"] = initial_accumulator_value
        super().__init__(params, dict(**options, foreach=foreach, differentiable=differentiable, fused=fused))
        for group in self.param_groups:
            for p in group["params"]:
                self._start(p)

    def _start(self, p):
        """The initial sum.  As in PyTorch it is the optimizer's default, not the group's option."""
        start = self.defaults["initial_accumulator_value"]
        return moment(self.state[p], "sum", p, start), self.state[p].setdefault("step", 0)

    def _update(self, group, p, g, state) -> None:
        total, steps = self._start(p)
        state["step"] = steps + 1
        lr = group["lr"] / (1 + steps * group["lr_decay"])
        kernels.adagrad(p._data, g, total, lr=lr, eps=group["eps"], weight_decay=group["weight_decay"])


class Adadelta(Optimizer):
    """Adagrad with running means, its steps in units of the parameter: it needs no learning rate  (arXiv 1212.5701)."""

    moments = ("step", "square_avg", "acc_delta")

    def __init__(
        self,
        params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        options = dict(lr=lr, rho=rho, eps=eps, weight_decay=weight_decay, maximize=maximize)
        ways = dict(foreach=foreach, capturable=capturable, differentiable=differentiable)
        super().__init__(params, dict(**options, **ways))

    def _check_group(self, group) -> None:
        super()._check_group(group)
        if group["rho"] > 1:
            raise refusal("Adadelta", ValueError, f"found rho={group['rho']}, expected at most 1")

    def _update(self, group, p, g, state) -> None:
        state["step"] = state.get("step", 0) + 1
        square, delta = moment(state, "square_avg", p), moment(state, "acc_delta", p)
        options = {k: group[k] for k in ("lr", "rho", "eps", "weight_decay")}
        kernels.adadelta(p._data, g, square, delta, **options)
