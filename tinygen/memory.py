"""Who else sees these bytes: what is known of a piece of memory, and of the Tensors that are views of one another.

Two things follow from a write.  The tape may have saved the old values: the guard's version tells backward.  And other
views of the memory now hold values with another history: the family finds them, so that each gets a new place in the
graph (`tinygen/ops/inplace.py`).
"""

from __future__ import annotations

import os
import threading
import weakref

import numpy as np

from tinygen.grad_mode import _mode


class Guard:
    """What all Tensors over one piece of memory share, so that mutate-then-backward is never silent.

    version   raised by every write through the Tensor API; backward compares it with the one it saved
    saves     how many tape entries hold this memory: while any does, `.numpy()` hands out a read-only view (cupy's
              arrays cannot be read-only: on a GPU the version alone tells)
    exposed   somebody outside may hold a writable NumPy array of it: what the tape saves of it is a copy
    holders   the Tensors over this memory, if there ever was more than one
    """

    __slots__ = ("holders", "saves", "shared", "version", "views")

    def __init__(self, shared: bool = False) -> None:
        self.version = self.saves = 0
        self.shared, self.holders = shared, None  # shared: the memory was somebody else's from the start
        self.views: tuple = ()  # weak references to the writable views that were handed out

    @property
    def exposed(self) -> bool:
        return self.shared or any(view() is not None for view in self.views)

    def expose(self, view) -> None:
        """Remember a view; every view made of it must keep it alive."""
        self.views = (*(known for known in self.views if known() is not None), weakref.ref(view))

    def hold(self, *tensors) -> None:
        """Know these Tensors as holders."""
        if self.holders is None:
            self.holders = Holders()
        self.holders.add(*tensors)

    def others(self, tensor) -> list:
        """The living holders but `tensor`."""
        if self.holders is None:
            return []
        living = [known() for known in list(self.holders.known.values())]
        return [t for t in living if t is not None and t is not tensor and t._guard is self]

    def __reduce__(self):
        return Guard, ()  # copied or unpickled memory is new: nothing is saved of it


class Holders:
    """Weak references to Tensors, by identity; those to Tensors that are gone are dropped now and then."""

    __slots__ = ("known", "limit")
    lock = threading.RLock()  # several threads may take views of one parameter, and so may a signal's handler

    def __init__(self) -> None:
        self.known, self.limit = {}, 8

    def add(self, *tensors) -> None:
        with self.lock:
            if len(self.known) >= self.limit:
                self.known = {key: t for key, t in self.known.items() if t() is not None}
                self.limit = 8 + 2 * len(self.known)
            for tensor in tensors:
                self.known[id(tensor)] = weakref.ref(tensor)


def _open_lock() -> None:
    """In a forked child there is no other thread to open it."""
    Holders.lock = threading.RLock()


os.register_at_fork(after_in_child=_open_lock)


class Family:
    """Stands for the Tensors that view operations made from one another.  A detached Tensor has none, or its own.

    unrecorded   they are views, made under no_grad, of a Tensor that requires a gradient: the graph does not know them
    """

    __slots__ = ("unrecorded",)

    def __init__(self, unrecorded: bool = False) -> None:
        self.unrecorded = unrecorded


def alias(tensor, other) -> None:
    """Let a new Tensor outside the graph share the guard of another one over the same memory."""
    if other._guard is None:
        other._guard = Guard()
    tensor._guard = other._guard
    tensor._guard.hold(other, tensor)


def join(view, tensor) -> None:
    """Make the result of a view operation on `tensor` one of its family."""
    alias(view, tensor)
    if tensor._requires_grad and not _mode.recording:
        view._family = Family(unrecorded=True)
        return
    if tensor._family is None:
        tensor._family = Family()
    view._family = tensor._family


def other_views(tensor) -> list:
    """The living views of a Tensor's memory that its graph knows, itself not among them."""
    family = tensor._family
    return [] if family is None else [t for t in tensor._guard.others(tensor) if t._family is family]


def is_shared(tensor) -> bool:
    """Whether anything but the Tensor itself may look at its memory."""
    guard = tensor._guard
    return guard is not None and (guard.exposed or bool(guard.others(tensor)))


def owner(array):
    """The array that owns the memory `array` looks at."""
    base = array.base
    while base is not None:
        if isinstance(base, (np.ndarray, type(array))):  # cupy's arrays are of one type
            array = base
        base = getattr(base, "base", None)  # as_strided puts an object of its own between the two arrays
    return array


def shares(a, b) -> bool:
    return owner(a) is owner(b)
