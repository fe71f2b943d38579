"""What a run logs: sums of each step's numbers since the last line of metrics.jsonl, and numbers not read yet."""

from __future__ import annotations

import json
import math

from tinygen.engine import devices
from tinygen.run import checkpoint
from tinygen.run.unread import Unread


class NonFiniteLoss(ArithmeticError):
    """A loss or a parameter became inf or nan.  Names the step and the first non-finite parameter."""


class Log:
    """The sums of one run, and what its checkpoints hold of them."""

    def __init__(self) -> None:
        self.sums: dict = {}  # name -> [sum, count] since the last line of metrics.jsonl
        self.lines = (
            None  # how many lines it has up to the run's step; None if an older checkpoint does not say
        )
        self.last = "loss", math.nan  # the last value, for the progress bar
        self.reading = None  # the step whose values are being read
        self._unread = Unread()

    def when_read(self, step: int, function, *values) -> None:
        """Call function(*values): at once, or if values are on a GPU or such ones are waiting, in `read`."""
        values = [getattr(value, "_data", value) for value in values]
        late = self._unread or (devices.in_use and any(map(devices.is_device_array, values)))
        if late and self.reading is None:
            self._unread.add(step, function, values)
        else:
            function(*values)

    def read(self) -> None:
        """Read the values on a GPU, all of them at once, and call what waits for them, in order."""
        try:
            for step, function, values in self._unread.read() if self._unread else ():
                self.reading = step
                function(*values)
        finally:
            self.reading = None

    def add(self, run, names: list, *values) -> None:
        """Add values to the sums.  Raises NonFiniteLoss."""
        for name, value in zip(names, values):
            value = float(value.item() if hasattr(value, "item") else value)
            if not math.isfinite(value):
                late = f" after step {run.step}" if run.step > run.done else ""
                bad = checkpoint.first_non_finite(run.tracked)
                where = (
                    f"the first non-finite parameter{late} is {bad}" if bad else "all parameters are finite"
                )
                raise NonFiniteLoss(f"{name} is {value} at step {run.done}; {where}; {run.kept()}")
            sums = self.sums.setdefault(name, [0.0, 0])
            sums[0] += value
            sums[1] += 1
            if name == "loss" or "loss" not in names:
                self.last = name, value

    def means(self) -> dict[str, float]:
        return {name: total / count for name, (total, count) in self.sums.items()}

    def write_line(self, file, step: int, seconds: float, keep) -> None:
        """Write a line of metrics.jsonl.  `keep` the sums if the line is there only because the run ends."""
        self.read()
        if self.sums:
            record = {"step": step, "seconds": round(seconds, 3), **self.means()}
            file.write((json.dumps(record) + "\n").encode())
            file.flush()
            self.lines += 1
        if not keep:
            self.sums = {}
