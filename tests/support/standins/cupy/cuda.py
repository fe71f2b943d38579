"""cupy.cuda: one device that is always available, and the errors that cupy raises without one."""

import time
import types


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

runtime = types.SimpleNamespace(
    CUDARuntimeError=CUDARuntimeError,
    getDeviceCount=lambda: 1,
    getDevice=lambda: 0,
    getDeviceProperties=lambda device: dict(PROPERTIES),
    driverGetVersion=lambda: 13000,
    runtimeGetVersion=lambda: 13000,
    deviceSynchronize=lambda: None,
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


class Event:
    """The time at which the preceding work is finished: here, immediately."""

    def __init__(self, block=False, disable_timing=False, interprocess=False) -> None:
        self._seconds = None

    def record(self, stream=None) -> None:
        self._seconds = time.perf_counter()

    def synchronize(self) -> None:
        pass


def get_elapsed_time(start_event, end_event) -> float:
    """Milliseconds."""
    return 1e3 * (end_event._seconds - start_event._seconds)


class MemoryPool:
    def used_bytes(self) -> int:
        return 0

    def total_bytes(self) -> int:
        return 0

    def free_all_blocks(self, stream=None) -> None:
        pass
