"""Learning-rate schedules: names, numbers and state as in torch.optim.lr_scheduler."""

from __future__ import annotations

import math
from collections import Counter

from tinygen.face.calls import absent as _absent
from tinygen.optim.optimizer import Optimizer
from tinygen.optim.schedule import ChainedScheduler, LRScheduler, SequentialLR  # noqa: F401


class LambdaLR(LRScheduler):
    """The initial rate times lr_lambda(epoch), whatever the rate is now; one function for all groups or one each."""

    def __init__(self, optimizer, lr_lambda, last_epoch: int = -1) -> None:
        groups = len(optimizer.param_groups)
        self.lr_lambdas = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else [lr_lambda] * groups
        if len(self.lr_lambdas) != groups:
            raise ValueError(
                f"{type(self).__name__}: found {len(self.lr_lambdas)} functions, expected {groups}: one per group"
            )
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return [base * f(self.last_epoch) for base, f in zip(self.base_lrs, self.lr_lambdas)]

    def _restart(self) -> None:
        self.last_epoch = 0
        self._set(self.get_lr())

    def state_dict(self) -> dict:
        """Without functions; of callable objects the attributes."""
        kept = [dict(vars(f)) if not _is_function(f) else None for f in self.lr_lambdas]
        return {**super().state_dict(), "lr_lambdas": kept}

    def load_state_dict(self, state_dict) -> None:
        super().load_state_dict({name: v for name, v in state_dict.items() if name != "lr_lambdas"})
        for f, attributes in zip(self.lr_lambdas, state_dict.get("lr_lambdas", ())):
            if attributes is not None:
                vars(f).update(attributes)


def _is_function(f) -> bool:
    return not hasattr(f, "__dict__") or isinstance(f, type(_is_function))


class MultiplicativeLR(LambdaLR):
    """The rate so far times lr_lambda(epoch), from epoch 1 on."""

    def get_lr(self):
        rates = [group["lr"] for group in self.optimizer.param_groups]
        if self._is_initial:
            return rates
        return [rate * f(self.last_epoch) for rate, f in zip(rates, self.lr_lambdas)]


class StepLR(LRScheduler):
    """Times `gamma` every `step_size` epochs."""

    def __init__(self, optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        _expect_epochs(self, step_size=step_size)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def scale(self, epoch):
        return self.gamma ** (epoch // self.step_size)


class MultiStepLR(LRScheduler):
    """Times `gamma` at each of the `milestones`; twice at one that is there twice."""

    def __init__(self, optimizer, milestones, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def scale(self, epoch):
        return self.gamma ** sum(times for milestone, times in self.milestones.items() if milestone <= epoch)


class ConstantLR(LRScheduler):
    """Times `factor` until epoch `total_iters`."""

    def __init__(
        self, optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        if not 0 <= factor <= 1:
            raise ValueError(f"ConstantLR: found factor {factor}, expected one in [0, 1]")
        _expect_epochs(self, total_iters=total_iters)
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def scale(self, epoch):
        return self.factor if epoch < self.total_iters else 1.0


class LinearLR(LRScheduler):
    """From start_factor to end_factor times the initial rate over `total_iters` epochs: a warm-up."""

    def __init__(
        self,
        optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not (0 < start_factor <= 1 and 0 <= end_factor <= 1):
            raise ValueError(
                f"LinearLR: found factors {start_factor} and {end_factor}, expected at most 1, the first above 0"
            )
        _expect_epochs(self, total_iters=total_iters)
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def scale(self, epoch):
        done = min(epoch, self.total_iters) / self.total_iters
        return self.start_factor + (self.end_factor - self.start_factor) * done


class ExponentialLR(LRScheduler):
    """Times `gamma` every epoch."""

    def __init__(self, optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def scale(self, epoch):
        return self.gamma**epoch


class PolynomialLR(LRScheduler):
    """Times (1 - epoch / total_iters)^power: to zero over `total_iters` epochs."""

    def __init__(self, optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        _expect_epochs(self, total_iters=total_iters)
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def scale(self, epoch):
        return (1 - min(epoch, self.total_iters) / self.total_iters) ** self.power


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the initial rate to `eta_min` over `T_max` epochs  (SGDR, arXiv 1608.03983, eq. 5)."""

    def __init__(self, optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        _expect_epochs(self, T_max=T_max)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def scale(self, epoch):
        return (1 + math.cos(math.pi * epoch / self.T_max)) / 2


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half cosines to `eta_min` over T_0, T_0 T_mult, T_0 T_mult² … epochs  (SGDR, arXiv 1608.03983, section 3)."""

    def __init__(
        self, optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        for name, count in (("T_0", T_0), ("T_mult", T_mult)):
            if not isinstance(count, int) or count < 1:
                raise ValueError(
                    f"CosineAnnealingWarmRestarts: found {name}={count!r}, expected a whole number of at least 1"
                )
        self.T_0, self.T_i, self.T_mult, self.eta_min, self.T_cur = T_0, T_0, T_mult, eta_min, -1
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        scale = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * scale for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """The next epoch's rates, or those of any epoch, also a fractional one."""
        if epoch is not None or self._is_initial:
            self._place(self.last_epoch + 1 if epoch is None else epoch)
        else:
            self.last_epoch, self.T_cur = self.last_epoch + 1, self.T_cur + 1
            if self.T_cur >= self.T_i:
                self.T_cur, self.T_i = self.T_cur - self.T_i, self.T_i * self.T_mult
        self._set(self.get_lr())

    def _place(self, epoch: float) -> None:
        """Find the restart before `epoch`, the epochs since and the length of this one."""
        if epoch < 0:
            raise ValueError(f"CosineAnnealingWarmRestarts: found epoch {epoch}, expected at least 0")
        self.last_epoch, self.T_cur, self.T_i = math.floor(epoch), epoch, self.T_0
        if self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        while self.T_cur >= self.T_i:
            self.T_cur, self.T_i = self.T_cur - self.T_i, self.T_i * self.T_mult

    def _restart(self) -> None:
        self._place(0)
        self._set(self.get_lr())


class ReduceLROnPlateau(LRScheduler):
    """Times `factor` when the metric given to `step` has not improved for more than `patience` epochs.

    Improved is better than the best by `threshold`: a share of |best| ("rel"), or that much ("abs").  (Of a negative
    best PyTorch takes the share with the wrong sign: there a slightly worse metric counts as improved.)
    """

    takes_metric = True

    def __init__(
        self,
        optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr=0,
        eps: float = 1e-8,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"ReduceLROnPlateau: found a {type(optimizer).__name__}, expected an Optimizer")
        if not factor < 1:
            raise ValueError(f"ReduceLROnPlateau: found factor {factor}, expected one below 1")
        for name, value, known in (
            ("mode", mode, ("min", "max")),
            ("threshold_mode", threshold_mode, ("rel", "abs")),
        ):
            if value not in known:
                raise ValueError(
                    f"ReduceLROnPlateau: found {name} {value!r}, expected {known[0]!r} or {known[1]!r}"
                )
        rates = [group["lr"] for group in optimizer.param_groups]
        self.min_lrs = list(min_lr) if isinstance(min_lr, (list, tuple)) else [min_lr] * len(rates)
        if len(self.min_lrs) != len(rates):
            raise ValueError(
                f"ReduceLROnPlateau: found {len(self.min_lrs)} min_lr, expected {len(rates)}: one per group"
            )
        self.default_min_lr = None if isinstance(min_lr, (list, tuple)) else min_lr
        self.optimizer, self.mode, self.factor, self.patience = optimizer, mode, factor, patience
        self.threshold, self.threshold_mode, self.cooldown, self.eps = (
            threshold,
            threshold_mode,
            cooldown,
            eps,
        )
        self.best = self.mode_worse = math.inf if mode == "min" else -math.inf
        self.last_epoch = self.cooldown_counter = self.num_bad_epochs = 0
        self._last_lr = rates

    def step(self, metrics, epoch: int | None = None) -> None:
        """Compare this epoch's metric (a number or a Tensor of one element) with the best so far."""
        if epoch is not None:
            raise NotImplementedError(
                "ReduceLROnPlateau: step(metrics, epoch) is not supported; leave epoch out"
            )
        current = float(metrics)
        self.last_epoch += 1
        if self._is_better(current):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    @property
    def in_cooldown(self) -> bool:
        return self.cooldown_counter > 0

    def _is_better(self, current: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        if math.isinf(self.best):
            return sign * current > sign * self.best
        if self.threshold_mode == "rel":
            share = math.copysign(self.threshold, sign * self.best)  # of |best|
            return sign * current > sign * self.best * (1 + share)
        return sign * current > sign * self.best + self.threshold

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise RuntimeError(
                    f"ReduceLROnPlateau: found {len(groups)} parameter groups, expected {len(self.min_lrs)} as min_lr"
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, least in zip(groups, self.min_lrs):
            rate = max(group["lr"] * self.factor, least)
            if group["lr"] - rate > self.eps:
                group["lr"] = rate


def _expect_epochs(schedule: LRScheduler, **counts: int) -> None:
    for name, count in counts.items():
        if not count > 0:
            raise ValueError(f"{type(schedule).__name__}: found {name}={count}, expected at least one epoch")


__getattr__ = _absent("tinygen.optim.lr_scheduler", globals())
