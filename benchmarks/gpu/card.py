"""The GPU of a benchmark: name and software, timing by events, memory, and a roofline measured in the same run.

All of it goes through cupy; PyTorch works on the same stream, so that the same events time both.
"""

from __future__ import annotations

import os
import shutil
import subprocess

import numpy as np

from tinygen.benchmarks import machine
from tinygen.engine import devices
from tinygen.kernels.runtime import cuda_device
from tinygen.kernels.runtime.sources import nvrtc

TF32 = "CUPY_TF32"  # read by cupy before its first product
TURN = 0.001  # seconds of work per turn: no threads spin between turns on a GPU, and every call is timed by itself
BUDGET = 4.0  # seconds for all turns of a case


def environment(threads: int) -> dict[str, str]:
    """As on the CPU, and with products of float32 computed in float32 by cuBLAS."""
    return machine.environment(threads) | {TF32: "0"}


def is_stand_in() -> bool:
    """Whether cupy is the tests' stand-in on the CPU (tests/support/standins), whose times mean nothing."""
    return "standin" in cuda_device.cupy().__version__


def describe(threads: int, torch=None) -> dict:
    """The GPU, its driver, the CPU, and where TF32 is on."""
    runtime = devices.gpu_runtime()
    card = runtime.getDeviceProperties(runtime.getDevice())
    tf32 = {"cuBLAS through cupy": os.environ.get(TF32, "0") != "0"}
    if torch is not None:
        tf32 |= {
            "torch.matmul": torch.backends.cuda.matmul.allow_tf32,
            "torch cuDNN": torch.backends.cudnn.allow_tf32,
        }
    return machine.describe(threads) | {
        "device": devices.gpu_name(),
        "stand_in": is_stand_in(),
        "compute capability": f"{card['major']}.{card['minor']}",
        "multiprocessors": card["multiProcessorCount"],
        "L2 MiB": round(card["l2CacheSize"] / 2**20, 2),
        "memory GiB": round(card["totalGlobalMem"] / 2**30, 1),
        "driver": driver(),
        "CUDA driver": _version(runtime.driverGetVersion()),
        "CUDA runtime": _version(runtime.runtimeGetVersion()),
        "tf32": tf32,
    }


def versions(torch=None) -> dict[str, str | None]:
    """As on the CPU, and those of the GPU libraries."""
    found = machine.versions() | {"cupy": cuda_device.cupy().__version__, "nvrtc": None}
    try:
        found["nvrtc"] = ".".join(map(str, nvrtc.load(cuda_device.driver()).version))
    except nvrtc.NvrtcMissing:
        pass
    if torch is not None:
        cudnn = torch.backends.cudnn.version()
        found |= {"torch's CUDA": torch.version.cuda, "cuDNN": cudnn and str(cudnn)}
    return found


def driver() -> str | None:
    """The version of the driver, such as 580.159.04."""
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    lines = subprocess.run(command, capture_output=True, text=True).stdout.split()
    return lines[0] if lines else None


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


class Events:
    """A stopwatch with CUDA events around each call, after a write of twice the L2 cache's size that empties it.

    Inputs then come from memory, as they do after the other layers of a network, and the launch latency of the call is
    hidden behind the write.
    """

    def __init__(self) -> None:
        self._cuda = cuda_device.cupy().cuda
        runtime = devices.gpu_runtime()
        cache = runtime.getDeviceProperties(runtime.getDevice())["l2CacheSize"]
        self._wiper = cuda_device.cupy().zeros(max(2 * cache, 1), "int8")

    def __call__(self, call, times: int) -> float:
        events = [(self._cuda.Event(), self._cuda.Event()) for _ in range(times)]
        for n, (start, end) in enumerate(events):
            self._wiper.fill(n % 100)
            start.record()
            call()
            end.record()
        end.synchronize()
        return sum(self._cuda.get_elapsed_time(start, end) for start, end in events) / 1e3


def turns(repeat: int) -> dict:
    """The arguments of `timing.interleaved` for a GPU."""
    return {
        "repeat": repeat,
        "turn": TURN,
        "budget": BUDGET,
        "stopwatch": Events(),
        "sleep": lambda seconds: None,
    }


def roofline(threads: int, torch=None, sizes=(4096, 8192), megabytes: int = 1024, repeat: int = 7) -> dict:
    """Peak floating-point operations and bytes per second: of large float32 products by cuBLAS, and of a large copy.

    The roof is the best of all measurements.  A copy counts bytes read and written, 8 per element.
    """
    stopwatch = Events()
    fastest = lambda call: min(stopwatch(call, 1) for _ in range(repeat + 1))
    flops = {name: 2 * n**3 / seconds / 1e9 for n in sizes for name, seconds in _products(n, torch, fastest)}
    n = megabytes * 2**20 // 4
    bandwidth = {name: 8 * n / seconds / 1e9 for name, seconds in _copies(n, torch, fastest)}
    free_memory(torch)
    rounded = lambda d: {name: round(value, 1) for name, value in d.items()}
    return {
        "gflops": round(max(flops.values()), 1),
        "gbps": round(max(bandwidth.values()), 1),
        "sgemm": ", ".join(f"{n}³" for n in sizes),
        "sgemm_gflops": rounded(flops),
        "copy_megabytes": megabytes,
        "copy_gbps": rounded(bandwidth),
    }


def _products(n: int, torch, fastest):
    """(library, seconds) for a product of n × n matrices."""
    a = cuda_device.cupy().asarray(_random(n * n).reshape(n, n))
    yield f"cupy {n}³", fastest(lambda: a @ a)
    if torch is not None:
        t = torch.tensor(a.get(), device="cuda")
        yield f"torch {n}³", fastest(lambda: t @ t)


def _copies(n: int, torch, fastest):
    """(library, seconds) for a copy of n floats."""
    cupy = cuda_device.cupy()
    x, y = cupy.asarray(_random(n)), cupy.zeros(n, "float32")
    yield "cupy", fastest(lambda: cupy.copyto(y, x))
    if torch is not None:
        t, u = torch.tensor(x.get(), device="cuda"), torch.zeros(n, device="cuda")
        yield "torch", fastest(lambda: u.copy_(t))


def _random(n: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(n, dtype=np.float32)


def free_memory(torch=None) -> None:
    """Return the free memory of both libraries' pools to the GPU."""
    devices.gpu_memory().free_all_blocks()
    if torch is not None:
        torch.cuda.empty_cache()


def peak_memory(case, side, calls: int = 5) -> dict[str, float]:
    """MiB of GPU memory that a case takes: the peak size of the library's pool over `calls` calls, less that before.

    For PyTorch also the peak of its tensors.  cupy records no peak, but its pool, emptied before, only grows.
    """
    torch = side.api if side.is_torch else None
    free_memory(torch)
    pool = devices.gpu_memory()
    before = torch.cuda.memory_reserved() if torch else pool.total_bytes()
    held = torch.cuda.memory_allocated() if torch else 0
    if torch:
        torch.cuda.reset_peak_memory_stats()
    call = case.make(side)
    for _ in range(calls):
        call()
    devices.gpu_runtime().deviceSynchronize()
    most = torch.cuda.max_memory_reserved() if torch else pool.total_bytes()
    found = {"mib": most - before}
    if torch:
        found["allocated_mib"] = torch.cuda.max_memory_allocated() - held
    return {name: round(value / 2**20, 1) for name, value in found.items()}
