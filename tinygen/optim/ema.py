"""An exponential moving average of the parameters, used for sampling and evaluation."""

from __future__ import annotations

from contextlib import contextmanager

from tinygen.engine.tensor import Tensor
from tinygen.kernels.runtime import capture
from tinygen.ops.lists import average_all
from tinygen.ops.tensor.conversion import as_tensor


class EMA:
    """average <- d average + (1 - d) parameter

    d = decay; with `warmup`, d = min(decay, (1 + n) / (10 + n)) at update n, so that the random initial weights do not
    linger in the average.
    """

    def __init__(self, module, decay: float = 0.9999, warmup: bool = True) -> None:
        self.module, self.decay, self.warmup, self.updates = module, decay, warmup, 0
        self.average = {name: Tensor._wrap(p._data.copy()) for name, p in module.named_parameters()}

    def __repr__(self) -> str:
        options = f"decay={self.decay}, warmup={self.warmup}, updates={self.updates}"
        return f"EMA of {len(self.average)} parameters of {type(self.module).__name__} ({options})"

    def update(self) -> None:
        """Add the current parameters to the average."""
        rest = capture.numbers(1, self._advance)
        parameters = dict(self.module.named_parameters())
        for name, p in parameters.items():
            self.average[name] = self.average[name].to(p.device)  # the module may have moved
        average_all([self.average[name] for name in parameters], list(parameters.values()), rest)

    def _advance(self) -> list[float]:
        """The weight of the parameters in the next update"""
        n = self.updates = self.updates + 1
        return [1 - (min(self.decay, (1 + n) / (10 + n)) if self.warmup else self.decay)]

    @contextmanager
    def applied(self):
        """A `with` block in which the module has the averaged parameters."""
        kept = {name: p._data.copy() for name, p in self.module.named_parameters()}
        try:
            for name, p in self.module.named_parameters():
                p._write(self.average[name].to(p.device)._data)
            yield self.module
        finally:
            for name, p in self.module.named_parameters():
                p._write(kept[name])

    def state_dict(self) -> dict:
        return {"updates": self.updates, "average": dict(self.average)}

    def load_state_dict(self, state_dict: dict) -> None:
        given = {name: as_tensor(value) for name, value in state_dict["average"].items()}
        wrong = sorted(set(given) ^ set(self.average))
        if wrong:
            raise ValueError(f"load_state_dict of EMA: missing or unexpected {', '.join(wrong)}")
        for name, own in self.average.items():
            if given[name].shape != own.shape:
                raise ValueError(
                    f"load_state_dict of EMA: size of {name}: found {given[name].shape}, expected {own.shape}"
                )
        for name, own in self.average.items():
            own._write(given[name].to(own.device)._data)
        self.updates = state_dict["updates"]
