"""Who else sees these bytes: what is known of a piece of memory, and of the Tensors that are views of one another.

Two things follow from a write.  The tape may have saved the old values: the guard's version tells backward.  And other
views of the memory now hold values with another history: the family finds them, so that each gets a new place in the
graph (`tinygen/ops/tensor/inplace.py`).
"""

from __future__ import annotations

import os
import threading
import weakref

import numpy as np

from tinygen.engine.grad_mode import this_thread

lock = threading.RLock()  # held to change what threads share; a signal's handler may come in between


def _open_lock() -> None:
    """In a forked child there is no other thread to open it."""
    global lock
    lock = threading.RLock()


os.register_at_fork(after_in_child=_open_lock)


class Guard:
    """What all Tensors over one piece of memory share, so that mutate-then-backward is never silent.

    version   raised by every write through the Tensor API; backward compares it with the one it saved
    saves     how many tape entries hold this memory: while any does, `.numpy()` hands out a read-only view (cupy's
              arrays cannot be read-only: on a GPU the version alone tells)
    exposed   somebody outside may hold a writable NumPy array of it: what the tape saves of it is a copy
    holders   weak references to the Tensors over this memory, if there ever was more than one
    """

    __slots__ = ("holders", "limit", "saves", "shared", "version", "views")

    def __init__(self, shared: bool = False) -> None:
        self.version = self.saves = 0
        self.shared, self.holders = shared, None  # shared: the memory was somebody else's from the start
        self.views: tuple = ()  # weak references to the writable views that were handed out

    @property
    def exposed(self) -> bool:
        return self.shared or (bool(self.views) and any(view() is not None for view in self.views))

    def expose(self, view) -> None:
        """Remember a view; every view made of it must keep it alive."""
        self.views = (*(known for known in self.views if known() is not None), weakref.ref(view))

    def hold(self, tensor, family) -> None:
        """Know a Tensor as a holder.  Threads may do so at once: a list's append is whole."""
        tensor._guard, tensor._family = self, family
        if self.holders is None:
            self.holders, self.limit = [], 8
        self.holders.append(_ref(tensor))
        if len(self.holders) > self.limit:
            self._forget()

    def _forget(self) -> None:
        """Drop the references to Tensors that are gone."""
        with lock:
            known = list(self.holders)
            living = [holder for holder in known if holder() is not None]
            self.holders[: len(known)] = living  # what another thread appends meanwhile comes after these
            self.limit = 8 + 2 * len(living)

    def others(self, tensor) -> list:
        """The living holders but `tensor`."""
        living = [holder() for holder in list(self.holders or ())]
        return [t for t in living if t is not None and t is not tensor and t._guard is self]

    def __reduce__(self):
        return Guard, ()  # copied or unpickled memory is new: nothing is saved of it


_ref = weakref.ref


class Family:
    """Stands for the Tensors that view operations made from one another; a detached Tensor begins another one.

    unrecorded   they are views, made under no_grad, of a Tensor that requires a gradient: the graph does not know them
    """

    unrecorded = False


def _family(tensor) -> Family:
    """A Tensor's family; from its first view or alias on it has one, and its guard knows it as a holder."""
    if tensor._family is None:
        guard = Guard() if tensor._guard is None else tensor._guard
        guard.hold(tensor, Family())
    return tensor._family


def alias(tensor, other) -> None:
    """Let a new Tensor outside the graph share the guard of another one over the same memory."""
    _family(other)
    other._guard.hold(tensor, Family())


def join(view, tensor) -> None:
    """Make the result of a view operation on `tensor` one of its family."""
    family = tensor._family or _family(tensor)
    if tensor._requires_grad and not this_thread.recording:
        family = Family()
        family.unrecorded = True
    tensor._guard.hold(view, family)


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
