"""Numbers that a GPU computes and the host reads later, those of many steps at once.

To read a number, the host waits until the GPU has computed it, and the GPU then waits for its next work.
"""

from __future__ import annotations

import math

import numpy as np

from tinygen import kernels
from tinygen.engine import devices

ROOM = 4096  # numbers that are read at once; a line of metrics.jsonl needs some hundreds


class Unread:
    """What to call with numbers of a GPU once they are read.  Each step's numbers are copied, as a later step may
    overwrite them."""

    def __init__(self) -> None:
        self._calls: list = []  # (step, function, its arguments, or where they will be found)
        self._rooms: list = []  # arrays on the GPU, of which the last is being filled
        self._used = 0

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, step: int, function, values: list) -> None:
        """Have function(*values) called by the next `read`, with the arrays of a GPU as NumPy arrays."""
        arrays = [value for value in values if devices.is_device_array(value)]
        if arrays:
            room, place = self._room(arrays)
            self._used = kernels.collect(room, arrays, place)
        places = []
        for value in values:
            if devices.is_device_array(value):
                places.append(_Place(len(self._rooms) - 1, place, value.shape, value.dtype))
                place += value.size
            else:
                places.append(value)
        self._calls.append((step, function, places))

    def _room(self, arrays: list) -> tuple:
        """An array on the GPU and the place in it from which on it has room for all elements."""
        size = sum(array.size for array in arrays)
        if not self._rooms or self._used + size > self._rooms[-1].size:
            xp = kernels.array_module(arrays[0])
            self._rooms.append(xp.empty(max(ROOM, size), np.float64))
            self._used = 0
        return self._rooms[-1], self._used

    def read(self) -> list[tuple]:
        """(step, function, arguments) of every call that is due, in order; they are due no longer."""
        calls, self._calls = self._calls, []
        on_host = [devices.on_host(room) for room in self._rooms] if calls else []
        del self._rooms[:-1]
        self._used = 0
        return [
            (step, function, [x.found(on_host) if isinstance(x, _Place) else x for x in places])
            for step, function, places in calls
        ]


class _Place:
    """Where an array's elements lie, and what it looked like."""

    def __init__(self, room: int, start: int, shape: tuple, dtype) -> None:
        self.room, self.start, self.shape, self.dtype = room, start, shape, dtype

    def found(self, rooms: list) -> np.ndarray:
        numbers = rooms[self.room][self.start : self.start + math.prod(self.shape)]
        return numbers.astype(self.dtype).reshape(self.shape)
