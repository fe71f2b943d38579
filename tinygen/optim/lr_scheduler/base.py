"""The base class of the learning-rate schedules."""

from __future__ import annotations

import weakref

from tinygen.engine.errors import refusal
from tinygen.optim.optimizer import Optimizer

_resumed = weakref.WeakKeyDictionary()  # optimizer -> the schedules last resumed on it, by weak reference


class LRScheduler:
    """Base class: sets the rate of each group when it is created and at every `step()`.

    A schedule defines `scale(epoch)`, a factor on the initial rate.  A step multiplies the rate by
    scale(epoch) / scale(epoch - 1), so that several schedules on one optimizer multiply, and a rate set by hand is
    kept.  A subclass may define `get_lr`, which returns the new rates, instead.

    Created with last_epoch=e, to resume, it sets the rates that a run from epoch 0 would have at epoch e + 1, whatever
    rates the optimizer holds; several schedules resumed one after the other multiply.  (PyTorch continues from the
    optimizer's rates, and may apply the last epoch's factor twice or never.)  A rate set by hand is restored by
    `load_state_dict`.
    """

    takes_metric = False  # whether `step` takes a metric
    eta_min = 0.0  # `scale` applies to the rate's distance from here

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        name = type(self).__name__
        if not isinstance(optimizer, Optimizer):
            raise refusal(name, TypeError, f"found a {type(optimizer).__name__}, expected an Optimizer")
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch >= 0 and "initial_lr" not in group:
                raise refusal(
                    name,
                    KeyError,
                    f"last_epoch {last_epoch} needs initial_lr in group {i}: load the optimizer's state before",
                )
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self._begin(last_epoch)

    def _begin(self, last_epoch: int) -> None:
        """Go to epoch 0; or, to resume, run all resumed schedules from the initial rates to last_epoch + 1."""
        together = [self]
        if last_epoch >= 0:
            together = [*self._resumed_before(), self]
            _resumed[self.optimizer] = [weakref.ref(schedule) for schedule in together]
            for group in self.optimizer.param_groups:
                group["lr"] = group["initial_lr"]
        for schedule in together:
            schedule._start()
        for _ in range(last_epoch + 1):
            for schedule in together:
                schedule.step()

    def _resumed_before(self) -> list[LRScheduler]:
        """The schedules resumed on this optimizer just before this one, which multiply with it."""
        before = [ref() for ref in _resumed.get(self.optimizer, ())]
        rates = [group["lr"] for group in self.optimizer.param_groups]
        gone = not before or None in before or before[-1].get_last_lr() != rates
        return [] if gone else [schedule for schedule in before if schedule not in self._parts()]

    def _parts(self) -> list[LRScheduler]:
        return []

    def _start(self) -> None:
        """Go to epoch 0, from the current rates."""
        self.last_epoch, self._is_initial = -1, True
        self.step()
        self._is_initial = False

    def __repr__(self) -> str:
        shown = {k: v for k, v in vars(self).items() if not k.startswith("_") and k != "optimizer"}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    def scale(self, epoch: int) -> float:
        """The factor on the initial rate at an epoch."""
        raise refusal(type(self).__name__, NotImplementedError, "define scale(epoch) or get_lr()")

    def get_lr(self) -> list[float]:
        """The groups' rates at `last_epoch`, computed from those of the epoch before."""
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
        """Set the rates of the next epoch."""
        if epoch is not None:
            raise refusal(
                type(self).__name__,
                NotImplementedError,
                "step(epoch) is not supported; call step() once an epoch",
            )
        self.last_epoch += 1
        self._set(self.get_lr())

    def _restart(self) -> None:
        """Go to epoch 0, from the initial rates, whatever the current ones are."""
        self.last_epoch = 0
        self._set([base * self.scale(0) for base in self.base_lrs])

    def _set(self, rates: list[float]) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(rates):
            raise refusal(
                type(self).__name__,
                ValueError,
                f"found {len(groups)} parameter groups, expected {len(rates)}; "
                "create the schedule after the last add_param_group",
            )
        for group, rate in zip(groups, rates):
            group["lr"] = rate
        self._last_lr = list(rates)

    def get_last_lr(self) -> list[float]:
        """The rates that this schedule set last."""
        return self._last_lr

    def state_dict(self) -> dict:
        """Options, epoch and initial rates; the optimizer has a state of its own."""
        return {name: value for name, value in vars(self).items() if name not in ("optimizer", "_is_initial")}

    def load_state_dict(self, state_dict: dict) -> None:
        """Load epoch and options; the rates are in the optimizer's state, as in PyTorch."""
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
