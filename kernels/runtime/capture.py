"""What a step does about capture: numbers that change from step to step, kept where a CUDA graph can read them.

A graph repeats its launches with the arguments they were recorded with.  So whatever differs from one step to the next
has to lie in device memory, and what the host does in a step has to be done again before each replay:

    rate, shrink = numbers(2, compute)    a list of floats; in a recorded step an array of float32 on the device
    n = counter(compute)                  an int; in a recorded step a Counter, which Philox reads on the device
    every_step(function)                  called now; in a recorded step before each replay
    fixed("lr", options)                  options that the graph has for good; where they change it is recorded anew

Outside of a recorded step these cost one test.  `kernels/capture` records and replays.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np


class Refused(RuntimeError):
    """The step cannot be captured; the message says why."""


class _Here(threading.local):
    """Per thread: the recorder of the step that is running, if it is recorded."""

    recorder = None


here = _Here()


class Counter:
    """A whole number of a step in device memory: `array` () uint64.  The host cannot know it."""

    __slots__ = ("array",)

    def __init__(self, array) -> None:
        self.array = array

    def _refuse(self, *_):
        raise Refused(
            "the host computes with the number of the step; compute it before the captured function"
        )

    __int__ = __index__ = __float__ = __bool__ = __eq__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __mod__ = __floordiv__ = __truediv__ = (
        _refuse
    )
    __hash__ = None


def numbers(count: int, compute: Callable):
    """`compute()`, a list of `count` numbers; in a recorded step their place on the device, (count,) float32."""
    if here.recorder is None:
        return compute()
    return here.recorder.place(compute, np.float32, count)


def counter(compute: Callable):
    """`compute()`, a whole number; in a recorded step a Counter."""
    if here.recorder is None:
        return compute()
    return Counter(here.recorder.place(lambda: [compute()], np.uint64, 1)[0])


def every_step(function: Callable) -> None:
    """Call a function of the host, now or before each replay."""
    if here.recorder is None:
        function()
    else:
        here.recorder.place(lambda: function() or [], np.float32, 0)


def fixed(name: str, value: Callable) -> None:
    """Note that the recorded step holds only as long as `value()` stays equal."""
    if here.recorder is not None:
        here.recorder.fix(name, value)


def constant(array: np.ndarray):
    """A copy of a host array on the device that the graph has for good; None if no step is recorded."""
    return None if here.recorder is None else here.recorder.constant(array)
