"""Learning-rate schedules in closed form: the rate is a function of how often `step()` was called."""

from __future__ import annotations

import math


class LRScheduler:
    """Base: the rate of each group is set at once and again at every `step()`.

    It depends on the initial rate and the number of steps alone, so a second schedule on the same optimiser replaces
    the first, where PyTorch's multiply.
    """

    def __init__(self, optimizer, last_epoch: int = -1) -> None:
        self.optimizer, self.last_epoch = optimizer, last_epoch + 1
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch >= 0 and "initial_lr" not in group:
                raise KeyError(
                    f"{type(self).__name__}: last_epoch {last_epoch} needs initial_lr in group {i}"
                )
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self._apply()

    def rate(self, base_lr: float, group: int) -> float:
        """The learning rate of a group whose initial rate is `base_lr` at `self.last_epoch`."""
        raise NotImplementedError

    def step(self) -> None:
        self.last_epoch += 1
        self._apply()

    def _apply(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.base_lrs):
            raise ValueError(
                f"{type(self).__name__}: found {len(groups)} parameter groups, expected {len(self.base_lrs)}; "
                "make the schedule after the last add_param_group"
            )
        for i, group in enumerate(groups):
            group["lr"] = self.rate(self.base_lrs[i], i)

    def get_last_lr(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict:
        return {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state_dict: dict) -> None:
        base_lrs = list(state_dict["base_lrs"])
        if len(base_lrs) != len(self.base_lrs):
            raise ValueError(
                f"load_state_dict: found {len(base_lrs)} initial rates, expected {len(self.base_lrs)}"
            )
        self.last_epoch, self.base_lrs = state_dict["last_epoch"], base_lrs
        self._apply()


class LambdaLR(LRScheduler):
    """The initial rate times lr_lambda(epoch); one function for all groups or one each."""

    def __init__(self, optimizer, lr_lambda, last_epoch: int = -1) -> None:
        groups = len(optimizer.param_groups)
        self.lr_lambdas = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else [lr_lambda] * groups
        if len(self.lr_lambdas) != groups:
            raise ValueError(
                f"LambdaLR: found {len(self.lr_lambdas)} functions, expected {groups}: one per group"
            )
        super().__init__(optimizer, last_epoch)

    def rate(self, base_lr, group):
        return base_lr * self.lr_lambdas[group](self.last_epoch)


class StepLR(LRScheduler):
    """Times `gamma` every `step_size` epochs."""

    def __init__(self, optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, base_lr, group):
        return base_lr * self.gamma ** (self.last_epoch // self.step_size)


class LinearLR(LRScheduler):
    """From start_factor to end_factor times the initial rate over `total_iters` epochs: a warm-up."""

    def __init__(
        self, optimizer, start_factor=1.0 / 3, end_factor=1.0, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        if not (0 < start_factor <= 1 and 0 <= end_factor <= 1 and total_iters > 0):
            raise ValueError(
                f"LinearLR: found factors {start_factor} and {end_factor} over {total_iters} epochs, "
                "expected factors of at most 1 (the first above 0) and at least one epoch"
            )
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def rate(self, base_lr, group):
        done = min(self.last_epoch, self.total_iters) / self.total_iters
        return base_lr * (self.start_factor + (self.end_factor - self.start_factor) * done)


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the initial rate to `eta_min` over `T_max` epochs  (SGDR, arXiv 1608.03983, eq. 5)."""

    def __init__(self, optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def rate(self, base_lr, group):
        return (
            self.eta_min
            + (base_lr - self.eta_min) * (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        )
