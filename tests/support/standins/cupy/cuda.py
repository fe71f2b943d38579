"""cupy.cuda: one device that is always available, its streams and events, and the errors that cupy raises without one.

Copies from pinned memory on a stream other than the default one are done late: when something waits for that stream.
So what reads the target without waiting finds the data of before, as it may on a GPU.
"""

import threading
import time
import types

from cupy._counters import WAIT, PinnedMemoryPointer, counters
from cupy._graphs import Capturing
from cupy._graphs import Graph as Graph
from cupy._graphs import MemoryPool as MemoryPool
from cupy._graphs import using_allocator as using_allocator


class CUDARuntimeError(RuntimeError):
    """cupy_backends.cuda.api.runtime.CUDARuntimeError: its text begins with the name of the CUDA error."""

    def __init__(self, text: str = "cudaErrorUnknown: unknown error") -> None:
        super().__init__(text)
        self.status = 0


class OutOfMemoryError(MemoryError):
    """cupy.cuda.memory.OutOfMemoryError"""


PROPERTIES = {
    "name": b"Stand-in on the CPU",
    "major": 9,
    "minor": 0,
    "totalGlobalMem": 1 << 30,
    "multiProcessorCount": 1,
    "l2CacheSize": 1 << 12,
}


def _device_synchronize() -> None:
    counters.note(WAIT, "deviceSynchronize")
    for stream in _streams:
        stream._catch_up()


runtime = types.SimpleNamespace(
    CUDARuntimeError=CUDARuntimeError,
    getDeviceCount=lambda: 1,
    getDevice=lambda: 0,
    getDeviceProperties=lambda device: dict(PROPERTIES),
    driverGetVersion=lambda: 13000,
    runtimeGetVersion=lambda: 13000,
    deviceSynchronize=_device_synchronize,
    memGetInfo=lambda: (1 << 30, 1 << 30),
)
memory = types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError)


def is_available() -> bool:
    return runtime.getDeviceCount() > 0


class Device:
    def __init__(self, device=None) -> None:
        self.id = 0 if device is None else int(device)

    compute_capability = "90"

    def synchronize(self) -> None:
        runtime.deviceSynchronize()

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        pass


class Stream(Capturing):
    """A queue of copies that are not done yet; the default stream, null=True, does everything at once."""

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None) -> None:
        self.ptr = 0 if null else id(self)
        self._waiting: list = []
        _streams.append(self)

    def _do(self, work) -> None:
        if self.ptr:
            self._waiting.append(work)
        else:
            work()

    def _catch_up(self, last=None) -> None:
        """Do what waits, up to the event `last`."""
        while self._waiting:
            work = self._waiting.pop(0)
            if work is last:
                return
            if callable(work):
                work()

    def synchronize(self) -> None:
        counters.note(WAIT, "Stream.synchronize")
        self._catch_up()

    def record(self, event=None):
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event) -> None:
        """Let this stream wait; the host does not."""
        event._catch_up()

    def use(self):
        _here.stream = self
        return self

    def __enter__(self):
        self._outside = get_current_stream()
        return self.use()

    def __exit__(self, *_) -> None:
        self._outside.use()


_streams: list = []
_here = threading.local()
Stream.null = Stream(null=True)


def get_current_stream(device_id=-1):
    return getattr(_here, "stream", Stream.null)


class Event:
    """The time at which the preceding work is finished: here, immediately, but for the copies above."""

    def __init__(self, block=False, disable_timing=False, interprocess=False) -> None:
        self._seconds = self._stream = None

    def record(self, stream=None) -> None:
        self._seconds, self._stream = time.perf_counter(), stream or get_current_stream()
        if self._stream._waiting:
            self._stream._waiting.append(self)

    def _catch_up(self) -> None:
        if self._stream is not None and self in self._stream._waiting:
            self._stream._catch_up(self)

    @property
    def done(self) -> bool:
        return self._stream is None or self not in self._stream._waiting

    def synchronize(self) -> None:
        counters.note(WAIT, "Event.synchronize")
        self._catch_up()


def get_elapsed_time(start_event, end_event) -> float:
    """Milliseconds."""
    return 1e3 * (end_event._seconds - start_event._seconds)


def alloc_pinned_memory(size):
    return PinnedMemoryPointer(size)
