"""Copies between devices, which gradients pass through."""

from __future__ import annotations

from tinygen.engine import devices
from tinygen.engine.primitive import primitive
from tinygen.engine.tensor import Tensor


@primitive(name="to")
def _move(x, *, device, source):
    """x copied to another device; the gradient is copied back"""
    return devices.move(x, device)


_move.vjp(lambda g, device, source: _move(g, device=source, source=device))


def to_device(x, device):
    """x itself if it is on `device`, else a copy there"""
    device = devices.checked(device)
    return x if device is x.device else _move(x, device=device, source=x.device)


def beside(x, array):
    """A Tensor on the device of x, from a NumPy array that nobody else writes to"""
    return Tensor._wrap(array if not x.is_cuda else devices.move(array, x.device))
