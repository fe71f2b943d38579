"""What programs ask of a GPU, and of its memory.  Names and meaning are PyTorch's."""

from __future__ import annotations

from tinygen.engine import devices as _devices
from tinygen.engine.devices import CudaError as OutOfMemoryError  # noqa: F401  (what running out of its memory raises)


def is_available() -> bool:
    """Whether a GPU can be used; `python -m tinygen doctor` says why not"""
    return _devices.why_no_gpu() is None


def device_count() -> int:
    """1 where a GPU can be used: CUDA_VISIBLE_DEVICES chooses which; else 0"""
    return int(is_available())


def current_device() -> int:
    """The number of the GPU in use"""
    _devices.checked("cuda")
    return 0


def set_device(device) -> None:
    """Accepted for the GPU in use"""
    _devices.checked("cuda" if device is None else device)


def get_device_name(device=None) -> str:
    """What the GPU is called"""
    set_device(device)
    return _devices.gpu_name()


def get_device_capability(device=None) -> tuple[int, int]:
    """The compute capability, as (9, 0)"""
    set_device(device)
    card = _devices.gpu_runtime().getDeviceProperties(0)
    return card["major"], card["minor"]


def synchronize(device=None) -> None:
    """Wait until the GPU has done all that was asked of it"""
    set_device(device)
    _devices.gpu_runtime().deviceSynchronize()


def manual_seed(seed: int) -> None:
    """Seed the default generator: there is one for all devices, `tinygen.manual_seed`"""
    from tinygen import random

    random.manual_seed(seed)


manual_seed_all = manual_seed


def empty_cache() -> None:
    """Give memory that was kept for later back to the GPU"""
    if is_available():
        _devices.gpu_memory().free_all_blocks()


def memory_allocated(device=None) -> int:
    """Bytes that arrays hold now"""
    return _devices.gpu_memory().used_bytes() if is_available() else 0


def memory_reserved(device=None) -> int:
    """Bytes taken from the GPU: what arrays hold, and what is kept for later"""
    return _devices.gpu_memory().total_bytes() if is_available() else 0


def max_memory_allocated(device=None) -> int:
    raise NotImplementedError(
        "max_memory_allocated: cupy keeps no peak; use memory_reserved(), which only grows"
    )
