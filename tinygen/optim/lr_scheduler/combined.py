"""Schedules made of other schedules."""

from __future__ import annotations

from bisect import bisect_right

from tinygen.engine.errors import refusal
from tinygen.optim.lr_scheduler.base import LRScheduler
from tinygen.optim.optimizer import Optimizer


class _Several(LRScheduler):
    """What ChainedScheduler and SequentialLR share."""

    def __init__(self, optimizer, schedulers, nested: bool) -> None:
        name = type(self).__name__
        if not schedulers:
            raise refusal(name, ValueError, "found no schedules, expected at least one")
        for i, schedule in enumerate(schedulers):
            if not isinstance(schedule, LRScheduler):
                raise refusal(
                    name, TypeError, f"found a {type(schedule).__name__} at {i}, expected a schedule"
                )
            if schedule.takes_metric or (isinstance(schedule, _Several) and not nested):
                raise refusal(
                    name, ValueError, f"found a {type(schedule).__name__} at {i}, which cannot be part of it"
                )
        self.optimizer = schedulers[0].optimizer if optimizer is None else optimizer
        for i, schedule in enumerate(schedulers):
            if schedule.optimizer is not self.optimizer:
                raise refusal(
                    name, ValueError, f"found a schedule of another optimizer at {i}, expected one optimizer"
                )
        self._schedulers = list(schedulers)

    def _parts(self):
        return self._schedulers

    def state_dict(self) -> dict:
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict) -> None:
        parts = state_dict["_schedulers"]
        if len(parts) != len(self._schedulers):
            raise ValueError(
                f"load_state_dict of {type(self).__name__}: found {len(parts)} schedules, "
                f"expected {len(self._schedulers)}"
            )
        super().load_state_dict({name: v for name, v in state_dict.items() if name != "_schedulers"})
        for schedule, part in zip(self._schedulers, parts):
            schedule.load_state_dict(part)


class ChainedScheduler(_Several):
    """Runs all of the schedules at every step, each on the rates that the previous one set."""

    def __init__(self, schedulers, optimizer: Optimizer | None = None) -> None:
        super().__init__(optimizer, schedulers, nested=True)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def step(self) -> None:
        for schedule in self._schedulers:
            schedule.step()
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


class SequentialLR(_Several):
    """One schedule after the other: schedule i starts, from the initial rates, at epoch milestones[i - 1].

    Created with last_epoch=e it is at epoch e + 1, whatever last_epoch its schedules were given.
    """

    def __init__(self, optimizer, schedulers, milestones, last_epoch: int = -1) -> None:
        super().__init__(optimizer, schedulers, nested=False)
        if len(milestones) != len(schedulers) - 1:
            raise refusal(
                "SequentialLR",
                ValueError,
                f"found {len(milestones)} milestones, expected {len(schedulers) - 1}: "
                f"one between each two of the {len(schedulers)} schedules",
            )
        self._milestones = list(milestones)
        self._begin(last_epoch)

    def _start(self) -> None:
        self.last_epoch = 0
        for schedule in self._schedulers:
            schedule.last_epoch = -1
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._start()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:
        self.last_epoch += 1
        current = bisect_right(self._milestones, self.last_epoch)
        schedule = self._schedulers[current]
        if current > 0 and self._milestones[current - 1] == self.last_epoch:
            schedule._restart()
        else:
            schedule.step()
        self._last_lr = schedule.get_last_lr()
