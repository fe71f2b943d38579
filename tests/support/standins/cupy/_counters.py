"""What the calls of this module would cost on a GPU: launches, waits of the host, copies, allocations.

A call is noted where cupy would do the work.  The number of launches is a lower bound: at least one for every ufunc,
reduction, copy, fill and product, more where cupy composes a function from several kernels of its own (LAUNCHES in
_functions.py and _array.py).  Views, and arguments of kernels such as Python numbers, cost nothing.

    counters.counts["launch", "add"]            calls since `clear`
    counters.bytes["copy to the device", "staged"]
    counters.seconds                            spent in this module, which on a GPU is spent elsewhere
    counters.listeners                          functions (kind, name, number, bytes), told of everything as it happens
"""

import contextlib
import functools
import time
from collections import Counter

import numpy as np

LAUNCH, OWN = "launch", "own launch"  # of cupy's kernels; of a kernel that the caller compiled
WAIT = "synchronization"  # the host waits until the device has finished
TO_DEVICE, FROM_DEVICE = "copy to the device", "copy from the device"
ALLOCATION = "allocation"  # from cupy's memory pool
# how a copy to the device starts: from pinned memory, or from other memory, which cupy first copies into pinned memory
PINNED, STAGED = "pinned", "staged"


class Counters:
    def __init__(self) -> None:
        self.listeners: list = []
        self.aside_depth = self.depth = 0
        self.clear()

    def clear(self) -> None:
        self.counts, self.bytes, self.seconds = Counter(), Counter(), 0.0

    def note(self, kind: str, name: str, number: int = 1, nbytes: int = 0) -> None:
        if self.aside_depth or not number:
            return
        self.counts[kind, name] += number
        self.bytes[kind, name] += nbytes
        for listener in self.listeners:
            listener(kind, name, number, nbytes)

    def total(self, kind: str) -> int:
        return sum(number for (found, _), number in self.counts.items() if found == kind)

    @contextlib.contextmanager
    def aside(self):
        """A `with` block whose calls are not noted, and whose time is not the caller's."""
        self.aside_depth += 1
        try:
            with self.inside():
                yield
        finally:
            self.aside_depth -= 1

    @contextlib.contextmanager
    def inside(self):
        """A `with` block whose time is added to `seconds`, once if blocks are nested."""
        begin = time.thread_time()
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1
            if not self.depth:
                self.seconds += time.thread_time() - begin


counters = Counters()


def clocked(function):
    """The time of the outermost call counts as time of this module."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        if counters.depth:
            return function(*args, **kwargs)
        begin = time.thread_time()
        counters.depth = 1
        try:
            return function(*args, **kwargs)
        finally:
            counters.depth = 0
            counters.seconds += time.thread_time() - begin

    return call


def launching(name: str, number: int = 1):
    """A decorator: each call is so many launches."""

    def decorate(function):
        @functools.wraps(function)
        def call(*args, **kwargs):
            counters.note(LAUNCH, name, number)
            return function(*args, **kwargs)

        return call

    return decorate


def waiting(name: str, nbytes: int) -> None:
    """The host reads so many bytes, for which it waits."""
    counters.note(WAIT, name)
    counters.note(FROM_DEVICE, name, 1, nbytes)


class PinnedMemoryPointer(bytearray):
    """cupy.cuda.PinnedMemoryPointer: memory of the host that the device can copy from by itself."""

    @property
    def ptr(self) -> int:
        return np.frombuffer(self, np.uint8).ctypes.data


def pinned_or_staged(host: np.ndarray) -> str:
    while isinstance(host, (np.ndarray, memoryview)):
        host = host.base if isinstance(host, np.ndarray) else host.obj
    return PINNED if isinstance(host, PinnedMemoryPointer) else STAGED
