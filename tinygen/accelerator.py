"""What programs ask of an accelerator, of whatever make, before they use one: here it is an NVIDIA GPU."""

from __future__ import annotations

from tinygen import cuda
from tinygen.cuda import device_count, is_available, synchronize  # noqa: F401
from tinygen.engine.devices import device


def current_accelerator(check_available: bool = False) -> device | None:
    """The device to compute on, or None"""
    return device("cuda") if cuda.is_available() else None
