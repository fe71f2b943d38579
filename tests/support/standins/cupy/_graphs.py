"""CUDA graphs: a simulated capture, in which what CUDA forbids raises.

While a stream captures, its operations are recorded and do not happen: the stand-in runs each of them, so that shapes
and Python go on, and at the end puts all memory back as it was and fills what was new with bytes that are no number.
`Graph.launch` runs the recorded operations in order, on the same memory.

Stricter than CUDA: memory that does not come from a pool of its own is refused, since cupy's shared pool would give it
to somebody else between two launches.
"""

from __future__ import annotations

import contextlib
import gc

import numpy as np

from cupy import _hook
from cupy._array import ndarray, root
from cupy._counters import FROM_DEVICE, LAUNCH, TO_DEVICE, WAIT, counters

UNSUPPORTED = "cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing"
INVALIDATED = "cudaErrorStreamCaptureInvalidated: operation failed due to a previous error during capture"
ILLEGAL = "cudaErrorIllegalState: the operation cannot be performed in the present state"
SYNCHRONOUS = "the current stream is capturing, so synchronous API calls are disallowed"
FROM_HOST = "the current stream is capturing, so H2D transfers are disallowed"

_allocators: list = []  # the innermost `using_allocator` is the last


class MemoryPool:
    """Memory is NumPy's; the pool only says whose it is."""

    def __init__(self, allocator=None) -> None:
        pass

    def malloc(self, size):
        raise NotImplementedError("stand-in: memory is NumPy's")

    def used_bytes(self) -> int:
        return 0

    def total_bytes(self) -> int:
        return 0

    def free_all_blocks(self, stream=None) -> None:
        pass


@contextlib.contextmanager
def using_allocator(allocator=None):
    """Take memory from `allocator`, such as MemoryPool().malloc."""
    _allocators.append(allocator)
    try:
        yield
    finally:
        _allocators.pop()


def _memory_of_its_own() -> bool:
    return bool(_allocators) and isinstance(getattr(_allocators[-1], "__self__", None), MemoryPool)


class Capturing:
    """What a stream can do about graphs."""

    _recording = None

    def begin_capture(self, mode=None) -> None:
        if self.ptr == 0:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if self._recording is not None:
            raise _error(ILLEGAL)
        self._recording = Recording(self)
        counters.listeners.append(self._recording.refuse)
        _hook.listen(self._recording.around)

    def end_capture(self):
        recording, self._recording = self._recording, None
        if recording is None:
            raise _error(ILLEGAL)
        counters.listeners.remove(recording.refuse)
        _hook.stop()
        recording.put_back()
        if recording.invalid:
            raise _error(INVALIDATED)
        return Graph._of(recording.nodes)

    def is_capturing(self) -> bool:
        return self._recording is not None


def _error(text: str):
    from cupy import cuda

    return cuda.CUDARuntimeError(text)


class Graph:
    """What a stream has captured."""

    def __init__(self, *args, **kwargs) -> None:
        raise NotImplementedError(
            "currently this class cannot be initiated by the user and must be created via stream capture"
        )

    @classmethod
    def _of(cls, nodes: list):
        graph = object.__new__(cls)
        graph._nodes = nodes
        return graph

    def launch(self, stream=None) -> None:
        counters.note(LAUNCH, "Graph.launch")
        with counters.aside():
            for operation, results in self._nodes:
                found = operation.function(*operation.args, **operation.kwargs)
                for kept, new in zip(results, _arrays(found)):
                    if kept is not None:
                        kept._host[...] = new._host

    def upload(self, stream=None) -> None:
        pass


class Recording:
    """The operations of a capture, and the memory as it was before."""

    def __init__(self, stream) -> None:
        self.stream, self.nodes, self.new, self.invalid = stream, [], [], False
        live = [x for x in gc.get_objects() if isinstance(x, ndarray)]
        owners = {
            id(owner): owner for owner in (root(x._host) for x in live) if isinstance(owner, np.ndarray)
        }
        self.before = [(owner, owner.copy()) for owner in owners.values()]

    def here(self) -> bool:
        from cupy import cuda

        return cuda.get_current_stream() is self.stream

    def refuse(self, kind: str, name: str, number: int, nbytes: int) -> None:
        """Raise cupy's error, or CUDA's, for what must not happen in a capture."""
        if not self.here():
            return
        if kind == WAIT and name.endswith(
            "ynchronize"
        ):  # CUDA refuses these, and with them the whole capture
            self.invalid = True
            raise _error(UNSUPPORTED)
        if kind in (WAIT, FROM_DEVICE):  # these cupy refuses itself
            raise RuntimeError(SYNCHRONOUS)
        if kind == TO_DEVICE:
            raise RuntimeError(FROM_HOST)

    def around(self, operation: _hook.Operation, proceed):
        if not self.here():
            return proceed()
        operation = operation._replace(args=tuple(map(_kept, operation.args)), kwargs=dict(operation.kwargs))
        found = proceed()
        given = [x for value in (*operation.args, *operation.kwargs.values()) for x in _arrays(value)]
        results = [
            x if x.base is None and not any(x is y for y in given) else None for x in _arrays(found)
        ]  # None: a view, or written in place
        fresh = [x for x in results if x is not None]
        if fresh and not _memory_of_its_own():
            self.invalid = True
            raise _error(UNSUPPORTED)
        self.new += fresh
        if operation.name not in ("empty", "empty_like"):
            self.nodes.append((operation, results))
        return found

    def put_back(self) -> None:
        for owner, content in self.before:
            owner[...] = content
        for array in self.new:
            if array._host.size:
                array._host.reshape(-1, order="A").view(np.uint8)[...] = 0xFF


def _kept(value):
    """A list that the caller may change later is copied."""
    return list(value) if isinstance(value, list) else value


def _arrays(value) -> list:
    """The device arrays in a result or an argument."""
    if isinstance(value, ndarray):
        return [value]
    if isinstance(value, (list, tuple)):
        return [x for item in value for x in _arrays(item)]
    return []
