"""cupy.cuda: one device that is always there, with the errors that cupy raises where it is not."""

import types


class CUDARuntimeError(RuntimeError):
    """cupy_backends.cuda.api.runtime.CUDARuntimeError: the name of CUDA's error begins its text."""

    def __init__(self, text: str = "cudaErrorUnknown: unknown error") -> None:
        super().__init__(text)
        self.status = 0


class OutOfMemoryError(MemoryError):
    """cupy.cuda.memory.OutOfMemoryError"""


PROPERTIES = {"name": b"Stand-in on the CPU", "major": 9, "minor": 0, "totalGlobalMem": 1 << 30}

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


class MemoryPool:
    def used_bytes(self) -> int:
        return 0

    def total_bytes(self) -> int:
        return 0

    def free_all_blocks(self, stream=None) -> None:
        pass
