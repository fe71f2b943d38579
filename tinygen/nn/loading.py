"""Loading a Module's state: check all of it, then copy it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tinygen.engine.devices import move
from tinygen.engine.errors import refusal
from tinygen.ops.tensor.conversion import as_tensor


class IncompatibleKeys(NamedTuple):
    """The keys that `load_state_dict(strict=False)` left alone."""

    missing_keys: list
    unexpected_keys: list

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


def load(what: str, own: dict, state_dict, strict: bool) -> IncompatibleKeys:
    """Copy `state_dict` into the Tensors `own`, or raise an error that lists all that does not fit.

    what   begins the error
    """
    if not isinstance(state_dict, Mapping):
        raise refusal(
            "load_state_dict", TypeError, f"found a {type(state_dict).__name__}, expected a dict by name"
        )
    missing = [name for name in own if name not in state_dict]
    unexpected = [name for name in state_dict if name not in own]
    given = {name: as_tensor(value) for name, value in state_dict.items() if name in own}
    wrong = _misfits(given, own)
    if strict:
        keys = [*(f"missing {name}" for name in missing), *(f"unexpected {name}" for name in unexpected)]
        wrong = keys + wrong
    if wrong:
        raise RuntimeError(f"{what}: " + "; ".join(wrong))
    for name, value in given.items():
        own[name]._write(move(value._data, own[name].device))
    return IncompatibleKeys(missing, unexpected)


def _misfits(given: dict, own: dict) -> list[str]:
    """A message for every Tensor whose shape, or whose kind of number, is not that of its counterpart in `own`."""
    return [
        f"size of {name}: found {value.shape}, expected {own[name].shape}"
        for name, value in given.items()
        if value.shape != own[name].shape
    ] + [
        f"dtype of {name}: found {value.dtype}, expected {own[name].dtype}"
        for name, value in given.items()
        if value.is_floating_point() != own[name].is_floating_point()
    ]
