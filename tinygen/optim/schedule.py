"""The base of learning-rate schedules, and schedules made of schedules."""

from __future__ import annotations

import weakref
from bisect import bisect_right

from tinygen.optim.optimizer import Optimizer

_made_again = weakref.WeakKeyDictionary()  # optimiser: the schedules that were last made again on it


class LRScheduler:
    """Base: sets the rate of each group at once and again at every `step()`.

    A schedule is the initial rate's `scale` as a function of the epoch.  A step multiplies the rate by
    scale(epoch) / scale(epoch - 1), so that several schedules on one optimiser multiply, and a rate set by hand is
    kept.  A subclass may define `get_lr`, the new rates, instead.

    Made again with last_epoch=e, it sets the rates of epoch e + 1 as a run from epoch 0 would have, whatever rates the
    optimiser holds; several made again one after the other multiply.  (PyTorch goes on from the optimiser's rates, and
    may apply the last epoch's factor twice or never.)  A rate set by hand comes back with `load_state_dict`.
    """

    takes_metric = False  # whether `step` needs to be told how well it goes
    eta_min = 0.0  # the scale is that of the rate's distance from here

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        name = type(self).__name__
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{name}: found a {type(optimizer).__name__}, expected an Optimizer")
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch >= 0 and "initial_lr" not in group:
                raise KeyError(
                    f"{name}: last_epoch {last_epoch} needs initial_lr in group {i}: load the optimiser's state before"
                )
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self._begin(last_epoch)

    def _begin(self, last_epoch: int) -> None:
        """Epoch 0; or, made again, the epoch after `last_epoch`, all schedules run from the initial rates."""
        together = [self]
        if last_epoch >= 0:
            together = [*self._made_before(), self]
            _made_again[self.optimizer] = [weakref.ref(schedule) for schedule in together]
            for group in self.optimizer.param_groups:
                group["lr"] = group["initial_lr"]
        for schedule in together:
            schedule._start()
        for _ in range(last_epoch + 1):
            for schedule in together:
                schedule.step()

    def _made_before(self) -> list[LRScheduler]:
        """The schedules made again on this optimiser just before this one, which multiply with it."""
        before = [ref() for ref in _made_again.get(self.optimizer, ())]
        rates = [group["lr"] for group in self.optimizer.param_groups]
        gone = not before or None in before or before[-1].get_last_lr() != rates
        return [] if gone else [schedule for schedule in before if schedule not in self._parts()]

    def _parts(self) -> list[LRScheduler]:
        return []

    def _start(self) -> None:
        """Epoch 0, from the rates as they are."""
        self.last_epoch, self._is_initial = -1, True
        self.step()
        self._is_initial = False

    def __repr__(self) -> str:
        shown = {k: v for k, v in vars(self).items() if not k.startswith("_") and k != "optimizer"}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    def scale(self, epoch: int) -> float:
        """What the initial rate is multiplied with at an epoch."""
        raise NotImplementedError(f"{type(self).__name__}: define scale(epoch) or get_lr()")

    def get_lr(self) -> list[float]:
        """The rates of the groups at `last_epoch`, from those of the epoch before."""
        rates = [group["lr"] for group in self.optimizer.param_groups]
        epoch, floor = self.last_epoch, self.eta_min
        if epoch == 0:
            return [rate * self.scale(0) for rate in rates]
        before, now = self.scale(epoch - 1), self.scale(epoch)
        if before == 0:
            bases = self.base_lrs + rates[len(self.base_lrs) :]  # a group added since starts at its own rate
            return [rate + (base - floor) * now for rate, base in zip(rates, bases)]
        return [floor + (rate - floor) * (now / before) if now != before else rate for rate in rates]

    def step(self, epoch: int | None = None) -> None:
        """The next epoch's rates."""
        if epoch is not None:
            raise NotImplementedError(
                f"{type(self).__name__}: step(epoch) is not supported; call step() once an epoch"
            )
        self.last_epoch += 1
        self._set(self.get_lr())

    def _restart(self) -> None:
        """Epoch 0, from the initial rates whatever the rates are now."""
        self.last_epoch = 0
        self._set([base * self.scale(0) for base in self.base_lrs])

    def _set(self, rates: list[float]) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(rates):
            raise ValueError(
                f"{type(self).__name__}: found {len(groups)} parameter groups, expected {len(rates)}; "
                "make the schedule after the last add_param_group"
            )
        for group, rate in zip(groups, rates):
            group["lr"] = rate
        self._last_lr = list(rates)

    def get_last_lr(self) -> list[float]:
        """The rates this schedule set last."""
        return self._last_lr

    def state_dict(self) -> dict:
        """Everything but the optimiser, which has a state of its own: options, epoch, initial rates."""
        return {name: value for name, value in vars(self).items() if name not in ("optimizer", "_is_initial")}

    def load_state_dict(self, state_dict: dict) -> None:
        """Take over epoch and options; the rates are in the optimiser's state, as in PyTorch."""
        name, own = type(self).__name__, vars(self)
        given = {key: v for key, v in state_dict.items() if key in own or not key.startswith("_")}
        unknown = sorted(given.keys() - own.keys())
        if unknown:
            raise ValueError(
                f"load_state_dict of {name}: found {', '.join(unknown)}, expected {', '.join(self.state_dict())}"
            )
        for key in ("base_lrs", "min_lrs"):
            if len(given.get(key, ())) != len(own.get(key, ())) and key in given:
                raise ValueError(
                    f"load_state_dict of {name}: found {len(given[key])} {key}, expected {len(own[key])}"
                )
        own.update(given)


class _Several(LRScheduler):
    """What the schedules made of schedules share."""

    def __init__(self, optimizer, schedulers, nested: bool) -> None:
        name = type(self).__name__
        if not schedulers:
            raise ValueError(f"{name}: found no schedules, expected at least one")
        for i, schedule in enumerate(schedulers):
            if not isinstance(schedule, LRScheduler):
                raise TypeError(f"{name}: found a {type(schedule).__name__} at {i}, expected a schedule")
            if schedule.takes_metric or (isinstance(schedule, _Several) and not nested):
                raise ValueError(
                    f"{name}: found a {type(schedule).__name__} at {i}, which cannot be part of it"
                )
        self.optimizer = schedulers[0].optimizer if optimizer is None else optimizer
        for i, schedule in enumerate(schedulers):
            if schedule.optimizer is not self.optimizer:
                raise ValueError(
                    f"{name}: found a schedule of another optimiser at {i}, expected one optimiser"
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
    """All of the schedules at every step, each on what the one before it set."""

    def __init__(self, schedulers, optimizer: Optimizer | None = None) -> None:
        super().__init__(optimizer, schedulers, nested=True)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def step(self) -> None:
        for schedule in self._schedulers:
            schedule.step()
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


class SequentialLR(_Several):
    """One schedule after the other: schedule i starts, from the initial rates, at epoch milestones[i - 1].

    Made again with last_epoch=e it stands at epoch e + 1, whatever last_epoch its schedules were given.
    """

    def __init__(self, optimizer, schedulers, milestones, last_epoch: int = -1) -> None:
        super().__init__(optimizer, schedulers, nested=False)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR: found {len(milestones)} milestones, expected {len(schedulers) - 1}: "
                f"one between two of the {len(schedulers)} schedules"
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
