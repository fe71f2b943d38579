"""Loading a Module's state: what does not fit, and what was left alone."""

from __future__ import annotations

from typing import NamedTuple


class IncompatibleKeys(NamedTuple):
    """The keys that `load_state_dict(strict=False)` left alone."""

    missing_keys: list
    unexpected_keys: list

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


def misfits(given: dict, own: dict) -> list[str]:
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
