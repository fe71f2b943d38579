"""torch.cuda: queries about the GPU and its memory.  Names and meaning are PyTorch's."""

from __future__ import annotations

from tinygen.engine import devices as _devices
from tinygen.engine.devices import CudaError as OutOfMemoryError  # noqa: F401  raised when GPU memory runs out
from tinygen.engine.errors import refusal


def is_available() -> bool:
    """Whether a GPU can be used; if not, `python -m tinygen doctor` says why"""
    return _devices.why_no_gpu() is None


def device_count() -> int:
    """1 if a GPU can be used, else 0; CUDA_VISIBLE_DEVICES chooses which one"""
    return int(is_available())


def current_device() -> int:
    """The index of the GPU in use, always 0"""
    _devices.checked("cuda")
    return 0


def set_device(device) -> None:
    """Accepts only the GPU in use"""
    _devices.checked("cuda" if device is None else device)


def get_device_name(device=None) -> str:
    """The name of the GPU"""
    set_device(device)
    return _devices.gpu_name()


def get_device_capability(device=None) -> tuple[int, int]:
    """The compute capability, such as (9, 0)"""
    set_device(device)
    card = _devices.gpu_runtime().getDeviceProperties(0)
    return card["major"], card["minor"]


def synchronize(device=None) -> None:
    """Wait until the GPU has finished all its work"""
    set_device(device)
    _devices.gpu_runtime().deviceSynchronize()


def manual_seed(seed: int) -> None:
    """`tinygen.manual_seed`: there is one default generator for all devices"""
    from tinygen import random

    random.manual_seed(seed)


manual_seed_all = manual_seed


def empty_cache() -> None:
    """Return unused memory of the pool to the GPU"""
    if is_available():
        _devices.gpu_memory().free_all_blocks()


def memory_allocated(device=None) -> int:
    """Bytes held by arrays"""
    return _devices.gpu_memory().used_bytes() if is_available() else 0


def memory_reserved(device=None) -> int:
    """Bytes taken from the GPU: those held by arrays, and the unused rest of the pool"""
    return _devices.gpu_memory().total_bytes() if is_available() else 0


def max_memory_allocated(device=None) -> int:
    raise refusal(
        "max_memory_allocated",
        NotImplementedError,
        "cupy records no peak; use memory_reserved(), which only grows",
    )
