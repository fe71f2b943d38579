"""What is needed of any network, whatever its paper."""

from __future__ import annotations

import copy


def device_of(net):
    """The device of a network's parameters."""
    return next(iter(net.parameters())).device


def averaged(net, ema):
    """A copy of the network in eval mode with averaged parameters; without an average (decay 0), with its own."""
    if not ema.decay:
        return copy.deepcopy(net).eval()
    with ema.applied():
        return copy.deepcopy(net).eval()
