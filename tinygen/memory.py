"""Who else sees these bytes: what is known of a piece of memory, and of the Tensors that are views of one another.

Two things follow from a write.  The tape may have saved the old values: the guard's version tells backward.  And other
views of the memory now hold values with another history: the family finds them, so that each gets a new place in the
graph (`tinygen/ops/inplace.py`).
"""

from __future__ import annotations

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
    aliased   another Tensor outside the graph was made over this memory: by detach, `.data`, copy or Parameter
    """

    __slots__ = ("aliased", "saves", "shared", "version", "views")

    def __init__(self, shared: bool = False) -> None:
        self.version = self.saves = 0
        self.aliased, self.shared = False, shared  # shared: the memory was somebody else's from the start
        self.views: tuple = ()  # weak references to the writable views that were handed out

    @property
    def exposed(self) -> bool:
        return self.shared or any(view() is not None for view in self.views)

    def expose(self, view) -> None:
        """Remember a view; every view made of it must keep it alive."""
        self.views = (*(known for known in self.views if known() is not None), weakref.ref(view))

    def __reduce__(self):
        return Guard, ()  # copied or unpickled memory is new: nothing is saved of it


class Family:
    """Tensors made from one another by view operations, held weakly.  A detached Tensor begins a family of its own.

    unrecorded   they are views, made under no_grad, of a Tensor that requires a gradient: the graph does not know them
    """

    __slots__ = ("limit", "members", "unrecorded")
    lock = threading.Lock()  # several threads may take views of one parameter

    def __init__(self, first, unrecorded: bool = False) -> None:
        self.members, self.limit, self.unrecorded = [weakref.ref(first)], 8, unrecorded

    def add(self, tensor) -> None:
        with self.lock:
            if len(self.members) >= self.limit:
                self.members = [member for member in self.members if member() is not None]
                self.limit = 8 + 2 * len(self.members)
            self.members.append(weakref.ref(tensor))


def alias(tensor, other) -> None:
    """Let a new Tensor outside the graph share the guard of another one over the same memory."""
    if other._guard is None:
        other._guard = Guard()
    other._guard.aliased = True
    tensor._guard = other._guard


def join(view, tensor) -> None:
    """Make the result of a view operation on `tensor` one of its family."""
    if tensor._requires_grad and not _mode.recording:
        alias(view, tensor)
        view._family = Family(view, unrecorded=True)
        return
    if tensor._guard is None:
        tensor._guard = Guard()
    view._guard = tensor._guard
    if tensor._family is None:
        tensor._family = Family(tensor)
    view._family = tensor._family
    view._family.add(view)


def other_views(tensor) -> list:
    """The living views of a Tensor's memory, itself not among them."""
    family = tensor._family
    if family is None:
        return []
    members = [member() for member in family.members]
    return [m for m in members if m is not None and m is not tensor and m._family is family]


def is_shared(tensor) -> bool:
    """Whether anything but the Tensor itself may look at its memory."""
    guard = tensor._guard
    return guard is not None and (guard.aliased or guard.exposed or bool(other_views(tensor)))


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
