"""torch.accelerator: what programs ask before they use an accelerator of any make.  Here that is an NVIDIA GPU."""

from __future__ import annotations

from tinygen import cuda
from tinygen.cuda import device_count, is_available, synchronize  # noqa: F401
from tinygen.engine.devices import device


def current_accelerator(check_available: bool = False) -> device | None:
    """The GPU as a device, or None"""
    return device("cuda") if cuda.is_available() else None
