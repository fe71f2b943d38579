"""The machine of a benchmark: CPU and software, load, and a roofline measured in the same run."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tinygen.kernels.runtime import blas

THREAD_VARIABLES = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"
# OpenBLAS threads spin for 2^26 cycles after a call, longer than the pause between turns, and would take cores away
# from PyTorch's turn; 2^24 cycles are over before it begins
PATIENCE = {"OPENBLAS_THREAD_TIMEOUT": "24"}
WIDE = "avx2", "fma", "avx512f", "avx512_bf16", "amx_tile", "asimd", "sve"


def usable_cores() -> list[int]:
    """The numbers of the cores that this process may use."""
    known = hasattr(os, "sched_getaffinity")
    return sorted(os.sched_getaffinity(0)) if known else list(range(os.cpu_count()))


def cores() -> int:
    """How many cores this process may use."""
    return len(usable_cores())


def maker(cpu: str) -> str:
    """Who made a CPU of this name: Intel, AMD, Apple; else the name's first word, such as aarch64."""
    found = (name for name in ("Intel", "AMD", "Apple") if name.lower() in cpu.lower())
    return next(found, re.split(r"\W+", f"{cpu} unknown".strip())[0])


def environment(threads: int) -> dict[str, str]:
    """Environment variables with which every library uses this many threads, and frees the cores in time."""
    return {**os.environ, **PATIENCE, **dict.fromkeys(THREAD_VARIABLES, str(threads))}


def describe(threads: int) -> dict:
    """CPU, instruction sets, cores, BLAS and the kernels that it chose."""
    facts = _cpuinfo()
    flags = facts.get("flags", facts.get("Features", "")).split()
    library = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "cpu": facts.get("model name", platform.processor() or platform.machine()),
        "cores": cores(),
        "threads": threads,
        "flags": [flag for flag in WIDE if flag in flags],
        "BLAS": f"{library['name']} {library['version']}",
        "BLAS core": blas.core() or "unknown",
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str | None]:
    def version(name):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    return {"python": platform.python_version()} | {
        n: version(n) for n in ("numpy", "numba", "torch", "tinygen")
    }


def load() -> list[float] | None:
    """The load average of the last 1, 5 and 15 minutes."""
    return [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None


def _cpuinfo() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().split("\n\n")[0].splitlines() if path.exists() else []
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def roofline(threads: int, torch=None, size: int = 2048, megabytes: int = 128, repeat: int = 7) -> dict:
    """Peak floating-point operations and bytes per second: of a large sgemm, and of a copy and a sum in main memory.

    The roof is the best of all measurements.  A copy counts bytes read and written, 8 per element.
    """
    a = np.ones((size, size), np.float32)
    gemm = {"numpy": lambda: a @ a}
    if torch is not None:
        t = torch.tensor(a)
        gemm["torch"] = lambda: t @ t
    flops = {name: 2 * size**3 / _fastest(call, repeat) / 1e9 for name, call in gemm.items()}
    n = megabytes * 2**20 // 4
    x, y, z = (np.ones(n, np.float32) for _ in range(3))
    parts = [slice(i * n // threads, (i + 1) * n // threads) for i in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        copy = lambda: list(pool.map(lambda part: np.copyto(y[part], x[part]), parts))
        add = lambda: list(pool.map(lambda part: np.add(x[part], y[part], out=z[part]), parts))
        bandwidth = {
            "copy": 8 * n / _fastest(copy, repeat) / 1e9,
            "add": 12 * n / _fastest(add, repeat) / 1e9,
        }
    rounded = lambda d: {name: round(value, 1) for name, value in d.items()}
    return {
        "gflops": round(max(flops.values()), 1),
        "gbps": round(max(bandwidth.values()), 1),
        "sgemm": f"{size}³",
        "sgemm_gflops": rounded(flops),
        "copy_megabytes": megabytes,
        "copy_gbps": rounded(bandwidth),
    }


def _fastest(call, repeat: int) -> float:
    call()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)
