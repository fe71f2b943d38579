"""The schedule that lowers the rate when a metric stops improving."""

from __future__ import annotations

import math

from tinygen.engine.errors import refusal
from tinygen.optim.lr_scheduler.base import LRScheduler
from tinygen.optim.optimizer import Optimizer


class ReduceLROnPlateau(LRScheduler):
    """Times `factor` when the metric given to `step` has not improved for more than `patience` epochs.

    A metric has improved if it beats the best so far by `threshold`, relative to |best| ("rel") or absolute ("abs").
    (PyTorch gives the relative threshold of a negative best the wrong sign, so that a slightly worse metric counts as
    improved.)
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
            raise refusal(
                "ReduceLROnPlateau", TypeError, f"found a {type(optimizer).__name__}, expected an Optimizer"
            )
        if not factor < 1:
            raise refusal("ReduceLROnPlateau", ValueError, f"found factor {factor}, expected one below 1")
        for name, value, known in (
            ("mode", mode, ("min", "max")),
            ("threshold_mode", threshold_mode, ("rel", "abs")),
        ):
            if value not in known:
                raise refusal(
                    "ReduceLROnPlateau",
                    ValueError,
                    f"found {name} {value!r}, expected {known[0]!r} or {known[1]!r}",
                )
        rates = [group["lr"] for group in optimizer.param_groups]
        self.min_lrs = list(min_lr) if isinstance(min_lr, (list, tuple)) else [min_lr] * len(rates)
        if len(self.min_lrs) != len(rates):
            raise refusal(
                "ReduceLROnPlateau",
                ValueError,
                f"found {len(self.min_lrs)} min_lr, expected {len(rates)}: one per group",
            )
        self.default_min_lr = None if isinstance(min_lr, (list, tuple)) else min_lr
        self.optimizer, self.mode, self.factor, self.patience = optimizer, mode, factor, patience
        self.threshold, self.threshold_mode, self.cooldown = threshold, threshold_mode, cooldown
        self.eps = eps
        self.best = self.mode_worse = math.inf if mode == "min" else -math.inf
        self.last_epoch = self.cooldown_counter = self.num_bad_epochs = 0
        self._last_lr = rates

    def step(self, metrics, epoch: int | None = None) -> None:
        """Compare this epoch's metric (a number or a one-element Tensor) with the best so far."""
        if epoch is not None:
            raise refusal(
                "ReduceLROnPlateau",
                NotImplementedError,
                "step(metrics, epoch) is not supported; leave epoch out",
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
                raise refusal(
                    "ReduceLROnPlateau",
                    RuntimeError,
                    f"found {len(groups)} parameter groups, expected {len(self.min_lrs)} as min_lr",
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, least in zip(groups, self.min_lrs):
            rate = max(group["lr"] * self.factor, least)
            if group["lr"] - rate > self.eps:
                group["lr"] = rate
