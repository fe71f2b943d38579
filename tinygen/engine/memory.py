"""Who else sees these bytes: the state that Tensors over the same memory share, and which of them are views.

A write matters in two ways.  The tape may have saved the old values: the guard's version lets backward notice.  And
other views of the memory now hold values with a different history: the family finds them, so that each gets a new
place in the graph (`tinygen/ops/tensor/overwrite.py`).
"""

from __future__ import annotations

import os
import threading
import weakref

import numpy as np

from tinygen.engine.grad_mode import this_thread

# Held while changing what threads share.  Reentrant, because a signal handler may interrupt.
lock = threading.RLock()


def _open_lock() -> None:
    """A forked child has no other thread that could release it."""
    global lock
    lock = threading.RLock()


os.register_at_fork(after_in_child=_open_lock)


class Guard:
    """Shared by all Tensors over the same memory, so that a write between forward and backward never goes unnoticed.

    version   incremented by every write through a Tensor; backward compares it with the version at saving
    saves     how many saved arrays use this memory.  While there are any, `.numpy()` returns a read-only view (cupy's
              arrays cannot be read-only: on a GPU only the version protects)
    exposed   code outside may hold a writable NumPy array of it, so the tape saves a copy: it owned the memory first
              (`from_outside`), or a view that `.numpy()` returned is alive (`views`)
    holders   weak references to the Tensors over this memory, once there has been more than one
    """

    __slots__ = ("from_outside", "holders", "limit", "saves", "version", "views")

    def __init__(self, from_outside: bool = False) -> None:
        self.version = self.saves = 0
        self.from_outside, self.holders = from_outside, None
        self.views: tuple = ()  # weak references to the writable views that were handed out

    @property
    def exposed(self) -> bool:
        return self.from_outside or (bool(self.views) and any(view() is not None for view in self.views))

    def expose(self, view) -> None:
        """Remember a writable view, which must stay alive as long as any view made of it."""
        self.views = (*(known for known in self.views if known() is not None), weakref.ref(view))

    def hold(self, tensor, family) -> None:
        """Register a Tensor as a holder.  Threads may do so at the same time: list.append is atomic."""
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
            self.holders[: len(known)] = living  # another thread may have appended more in the meantime
            self.limit = 8 + 2 * len(living)

    def others(self, tensor) -> list:
        """The live holders except `tensor`."""
        living = [holder() for holder in list(self.holders or ())]
        return [t for t in living if t is not None and t is not tensor and t._guard is self]

    def __reduce__(self):
        return Guard, ()  # copied or unpickled memory is new: nothing is saved of it


_ref = weakref.ref


class Family:
    """A mark that Tensors which are views of one another have in common; a detached Tensor starts a new family.

    An in-place write to one of them gives all of them a new place in the graph.

    unrecorded   True for a view made under no_grad of a Tensor that requires a gradient.  The graph does not know that
                 it is a view, so recorded in-place writes to it are refused
    """

    unrecorded = False


def _family(tensor) -> Family:
    """A Tensor's family, created with its first view or alias, when its guard also registers it."""
    if tensor._family is None:
        guard = Guard() if tensor._guard is None else tensor._guard
        guard.hold(tensor, Family())
    return tensor._family


def alias(tensor, other) -> None:
    """Let a new Tensor outside the graph share the guard of another one over the same memory."""
    _family(other)
    other._guard.hold(tensor, Family())


def join(view, tensor) -> None:
    """Put `view`, the result of a view operation on `tensor`, into its family."""
    family = tensor._family or _family(tensor)
    if tensor._requires_grad and not this_thread.recording:
        family = Family()
        family.unrecorded = True
    tensor._guard.hold(view, family)


def other_views(tensor) -> list:
    """The other live Tensors of its family: a recorded write to `tensor` changes their place in the graph too."""
    family = tensor._family
    return [] if family is None else [t for t in tensor._guard.others(tensor) if t._family is family]


def is_shared(tensor) -> bool:
    """Whether anything else may see this Tensor's memory."""
    guard = tensor._guard
    return guard is not None and (guard.exposed or bool(guard.others(tensor)))


def owner(array):
    """The array that owns the memory `array` looks at."""
    base = array.base
    while base is not None:
        if isinstance(base, (np.ndarray, type(array))):  # cupy's arrays are of one type
            array = base
        base = getattr(base, "base", None)  # as_strided puts another object between the two arrays
    return array


def share_memory(a, b) -> bool:
    """Whether two arrays are views of the same memory, overlapping or not."""
    return owner(a) is owner(b)
