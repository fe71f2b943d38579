"""A function of the device as a CUDA graph: recorded, rehearsed, replayed."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import NamedTuple

import numpy as np

from tinygen.kernels.capture.reference import set_words
from tinygen.kernels.runtime import cuda_device
from tinygen.kernels.runtime.capture import Refused, here

WORDS = 512  # 64-bit words for the numbers of a step


class Place(NamedTuple):
    """`compute()` of the host, and the words on the device that get its numbers."""

    compute: object
    dtype: type
    first: int
    count: int  # of words

    def words(self) -> list[int]:
        values = np.zeros(8 * self.count // np.dtype(self.dtype).itemsize, self.dtype)
        found = self.compute()
        values[: len(found)] = found
        return values.view(np.uint64).tolist()


class Recorder:
    """Records a step; `replay` computes its numbers, writes them to the device and launches the graph.

    Arrays that the step makes come from a pool of its own, so that nobody else is given their memory between replays.
    """

    def __init__(self) -> None:
        self.cupy = cuda_device.cupy()
        self.stream = self.cupy.cuda.Stream(non_blocking=True)
        self.pool = self.cupy.cuda.MemoryPool()
        self.memory = self.cupy.zeros(WORDS, np.uint64)
        self.graph, self._rehearsed = None, None
        self._forget()

    def _forget(self) -> None:
        self.places: list[Place] = []
        self.fixed: list = []  # (name, function, value) of what the graph has for good
        self.constants: list = []  # arrays on the device that the graph reads, copied from the host once

    @contextmanager
    def recording(self):
        """A `with` block whose work on the device is recorded, and not done."""
        self.graph = None
        self._forget()
        with self._here(), self.stream, self.cupy.cuda.using_allocator(self.pool.malloc):
            self.stream.begin_capture()
            try:
                yield
            except BaseException:
                with suppress(Exception):
                    self.stream.end_capture()
                raise
            graph = self.stream.end_capture()
        self.graph = graph

    @contextmanager
    def rehearsing(self):
        """A `with` block that does what the graph does, kernel by kernel, with numbers at the graph's places."""
        self._rehearsed = iter(self.places)
        try:
            with self._here():
                yield
        finally:
            self._rehearsed = None

    @contextmanager
    def _here(self):
        here.recorder = self
        try:
            yield
        finally:
            here.recorder = None

    def replay(self) -> None:
        """Do the recorded step once more, with new numbers."""
        set_words(self.memory, [word for place in self.places for word in place.words()])
        self.relaunch()

    def relaunch(self) -> None:
        """Do it with the numbers that are there."""
        self.graph.launch()

    def changed(self) -> str | None:
        """The name of something that the graph has for good and that is no longer so."""
        return next((name for name, value, before in self.fixed if value() != before), None)

    # -- called by the step through runtime/capture.py ------------------------------------------------------------

    def place(self, compute, dtype, count: int):
        """The array on the device that gets the numbers of `compute`.  -> (count,)"""
        words = -(-count * np.dtype(dtype).itemsize // 8)
        if self._rehearsed is not None:
            place = next(self._rehearsed, None)
            if place is None or (place.dtype, place.count) != (dtype, words):
                raise Refused("the step does not always do the same")
            place = place._replace(compute=compute)
            set_words(self.memory[place.first :], place.words())
        else:
            first = sum(place.count for place in self.places)
            if first + words > WORDS:
                raise Refused(f"the step has more than {WORDS} numbers")
            place = Place(compute, dtype, first, words)
            self.places.append(place)
        return self.memory[place.first : place.first + words].view(dtype)[:count]

    def fix(self, name: str, value) -> None:
        if self._rehearsed is None:
            self.fixed.append((name, value, value()))

    def constant(self, array: np.ndarray):
        """A place on the device for a host array; outside of a recording None: it is copied as ever."""
        if self._rehearsed is not None:
            return None
        default = self.cupy.get_default_memory_pool().malloc
        with self.cupy.cuda.Stream.null, self.cupy.cuda.using_allocator(default):  # beside the recording
            self.constants.append(self.cupy.asarray(array))
        return self.constants[-1]
