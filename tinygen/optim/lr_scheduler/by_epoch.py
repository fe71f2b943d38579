"""Schedules that set the rate as a function of the epoch."""

from __future__ import annotations

import math
from collections import Counter

from tinygen.engine.errors import refusal
from tinygen.optim.lr_scheduler.base import LRScheduler


class LambdaLR(LRScheduler):
    """The initial rate times lr_lambda(epoch), whatever the current rate is; lr_lambda for all groups, or one each."""

    def __init__(self, optimizer, lr_lambda, last_epoch: int = -1) -> None:
        groups = len(optimizer.param_groups)
        self.lr_lambdas = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else [lr_lambda] * groups
        if len(self.lr_lambdas) != groups:
            raise refusal(
                type(self).__name__,
                ValueError,
                f"found {len(self.lr_lambdas)} functions, expected {groups}: one per group",
            )
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return [base * f(self.last_epoch) for base, f in zip(self.base_lrs, self.lr_lambdas)]

    def _restart(self) -> None:
        self.last_epoch = 0
        self._set(self.get_lr())

    def state_dict(self) -> dict:
        """Functions are left out; of callable objects the attributes are kept."""
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
    """The current rate times lr_lambda(epoch), from epoch 1 on."""

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
    """Times `gamma` at each of the `milestones`; twice at one that is listed twice."""

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
            raise refusal("ConstantLR", ValueError, f"found factor {factor}, expected one in [0, 1]")
        _expect_epochs(self, total_iters=total_iters)
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def scale(self, epoch):
        return self.factor if epoch < self.total_iters else 1.0


class LinearLR(LRScheduler):
    """A warm-up: from start_factor to end_factor times the initial rate over `total_iters` epochs."""

    def __init__(
        self,
        optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not (0 < start_factor <= 1 and 0 <= end_factor <= 1):
            raise refusal(
                "LinearLR",
                ValueError,
                f"found factors {start_factor} and {end_factor}, expected at most 1, the first above 0",
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
                raise refusal(
                    "CosineAnnealingWarmRestarts",
                    ValueError,
                    f"found {name}={count!r}, expected a whole number of at least 1",
                )
        self.T_0, self.T_i, self.T_mult, self.eta_min, self.T_cur = T_0, T_0, T_mult, eta_min, -1
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        scale = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * scale for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Set the rates of the next epoch, or of any given one, which may be fractional."""
        if epoch is not None or self._is_initial:
            self._place(self.last_epoch + 1 if epoch is None else epoch)
        else:
            self.last_epoch, self.T_cur = self.last_epoch + 1, self.T_cur + 1
            if self.T_cur >= self.T_i:
                self.T_cur, self.T_i = self.T_cur - self.T_i, self.T_i * self.T_mult
        self._set(self.get_lr())

    def _place(self, epoch: float) -> None:
        """Find the last restart before `epoch`: the epochs since then, and the length of the current cycle."""
        if epoch < 0:
            raise refusal(
                "CosineAnnealingWarmRestarts", ValueError, f"found epoch {epoch}, expected at least 0"
            )
        self.last_epoch, self.T_cur, self.T_i = math.floor(epoch), epoch, self.T_0
        if self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        while self.T_cur >= self.T_i:
            self.T_cur, self.T_i = self.T_cur - self.T_i, self.T_i * self.T_mult

    def _restart(self) -> None:
        self._place(0)
        self._set(self.get_lr())


def _expect_epochs(schedule: LRScheduler, **counts: int) -> None:
    for name, count in counts.items():
        if not count > 0:
            raise refusal(
                type(schedule).__name__, ValueError, f"found {name}={count}, expected at least one epoch"
            )
