"""What this machine has, what each missing piece would enable, and how to install it."""

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import sys
import timeit
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tinygen.kernels.runtime import blas

PACKAGES = {  # what each enables, how to install it
    "numba": ("compiled CPU kernels", "pip install numba"),
    "matplotlib": ("loss curves, and the fonts of the glyphs data", "pip install matplotlib"),
    "safetensors": ("checkpoints", "pip install safetensors"),
    "tqdm": ("progress bars", "pip install tqdm"),
    "cupy": ("arrays and kernels on an NVIDIA GPU", "pip install 'tinygen[cuda12]' or 'tinygen[cuda13]'"),
    "numba_cuda": ("GPU kernels in Python", "pip install 'tinygen[cuda12]' or 'tinygen[cuda13]'"),
    "torch": ("parity tests and benchmarks; not used elsewhere", "pip install torch"),
    "pytest": ("the tests", "pip install 'tinygen[test]'"),
}
THREADS = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"


def report() -> Iterator[str]:
    """One line per fact; if a check fails, its line says so."""
    checks: dict[str, Callable[[], str]] = {
        "python": lambda: f"{platform.python_version()} at {sys.executable}",
        "system": lambda: f"{platform.system()} {platform.release()} {platform.machine()}",
        "numpy": lambda: f"{np.__version__}, BLAS {_blas()}",
        "blas": _kernels,
        "threads": _threads,
        "cpu": _cpu,
        "tiles": _tiles,
        "products": _products,
        **{name: lambda name=name: _package(name) for name in PACKAGES},
        "cuda": _cuda,
        "nvrtc": _nvrtc,
        "launches": _launches,
        "g++": _host_compiler,
        "cache": _cache,
    }
    for name, check in checks.items():
        yield f"{name:<14} {_try(check)}"
    yield from _data()


def _try(check):
    try:
        return check()
    except Exception as e:  # one broken check must not hide the others
        return f"cannot tell ({type(e).__name__}: {e})"


def _blas():
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{blas.get('name')} {blas.get('version')}"


def _kernels():
    """Which kernels the BLAS uses, how fast they are, and how to get better ones"""
    core = blas.core()
    a = np.ones((1024, 1024), np.float32)
    seconds = min(timeit.repeat(lambda: a @ a, number=1, repeat=5))
    speed = f"sgemm 1024³ at {2 * 1024**3 / seconds / 1e9:.0f} GFLOP/s"
    return "; ".join(filter(None, (f"{core or 'unknown'} kernels, {speed}", blas.advice(core))))


def _threads():
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    variables = ", ".join(f"{name}={os.environ[name]}" for name in THREADS if name in os.environ)
    return f"{usable} usable of {os.cpu_count()}; {variables or 'no *_NUM_THREADS is set'}"


def _cpu():
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    lines = dict(line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    facts = {key.strip(): value.strip() for key, value in lines.items()}
    flags = facts.get("flags", facts.get("Features", "")).split()
    wide = [flag for flag in ("avx2", "fma", "avx512f", "avx512_bf16", "amx_tile", "asimd") if flag in flags]
    return (
        f"{facts.get('model name', platform.processor() or 'unknown')}; {' '.join(wide) or 'no flags known'}"
    )


def _tiles():
    """The vector registers for which the compiled loops of conv2d, attention and products are cut"""
    from tinygen.kernels.conv2d import taps_tile_loops as taps
    from tinygen.kernels.matmul import register_loops as registers
    from tinygen.kernels.matmul import tile_loops as product

    floats = registers.BYTES // 4
    return (
        f"{registers.NAME}: {registers.COUNT} registers of {floats} float32; conv2d takes {taps.PIXELS} pixels x "
        f"{taps.VECTORS * floats} channels at a time, a product {product.ROWS} rows x {product.TILE_BYTES // 4} columns"
    )


def _products():
    """By whom a few typical products are computed, which depends on their shape"""
    from tinygen import kernels
    from tinygen.kernels.runtime.dispatch import trace

    ways = {}
    for M, K, N in (128, 784, 256), (64, 512, 784), (96, 3136, 288), (1024, 1024, 1024):
        a, b = np.ones((M, K), np.float32), np.ones((K, N), np.float32)
        with trace() as calls:
            kernels.matmul(a, b)
        ways.setdefault(calls[-1][1], []).append(f"{M}x{K}x{N}")
    by = {
        "reference": "BLAS",
        "one_thread": "BLAS on one thread",
        "blas_blocks": "BLAS for each block",
        "panels": "our own",
    }
    found = "; ".join(
        f"{by.get(way, f'our own loop {way!r}')} for {', '.join(shapes)}" for way, shapes in ways.items()
    )
    return f"{found} ({_reason()})"


def _reason():
    """Why a product is computed as it is"""
    from tinygen.kernels.matmul import panels

    if blas.maker() != "OpenBLAS":
        return f"NumPy's BLAS is {blas.maker() or 'unknown'}; our own was measured beside OpenBLAS only"
    known = json.loads(panels.MEASURED.read_text(encoding="utf-8"))
    if blas.cpu_family() not in known:
        return f"our own was not measured on {blas.cpu_family()}"
    return f"by what was faster for the most similar shape measured on {blas.cpu_family()}"


def _package(name):
    enables, command = PACKAGES[name]
    if importlib.util.find_spec(name) is None:
        return f"missing; would enable {enables}: {command}"
    distributions = importlib.metadata.packages_distributions().get(name, []) if name == "cupy" else [name]
    return " ".join(f"{importlib.metadata.version(d)} ({enables})" for d in distributions[:1])


def _cuda():
    """The GPU that `--device cuda` uses, or why there is none"""
    from tinygen import cuda
    from tinygen.engine import devices

    reason = devices.why_no_gpu()
    if reason is not None:
        return f"{reason}; a GPU would enable --device cuda"
    runtime = devices.gpu_runtime()
    capability, gigabytes = ".".join(map(str, cuda.get_device_capability())), runtime.memGetInfo()[1] / 2**30
    driver = runtime.driverGetVersion()
    return (
        f"{cuda.get_device_name()}, compute capability {capability}, {gigabytes:.0f} GiB, "
        f"driver for CUDA {driver // 1000}.{driver % 1000 // 10}"
    )


def _nvrtc():
    """The compiler of .cu files for a GPU, which needs no GPU itself"""
    from tinygen.kernels.runtime.sources import nvrtc

    try:
        found = nvrtc.load()
    except nvrtc.NvrtcMissing as missing:
        return f"missing; would enable python -m tinygen.kernels.runtime.compile_report: {missing}"
    return f"{found.version[0]}.{found.version[1]} (compiles the CUDA kernels)"


def _launches():
    """Whether a launch on a GPU is waited for"""
    from tinygen.kernels.runtime.sources import launching

    if launching.DEBUG:
        return "each is waited for, and a failure names its kernel (TINYGEN_DEBUG_LAUNCHES is set)"
    return "not waited for; TINYGEN_DEBUG_LAUNCHES=1 does, and names the kernel that failed"


def _host_compiler():
    """The compiler of .cu files for this CPU"""
    from tinygen.kernels.hostcuda import build

    try:
        return f"{build.compiler()} (runs the CUDA kernels on the CPU: kernels.use(..., on='host'))"
    except build.CompileError as missing:
        return f"missing; would enable the CUDA kernels on the CPU: {missing}"


def _cache():
    from tinygen.data import cache_dir

    folder = cache_dir()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    writable = (
        "writable" if os.access(there, os.W_OK) and there.is_dir() else "NOT writable; set XDG_CACHE_HOME"
    )
    return f"{folder}, {shutil.disk_usage(there).free / 2**30:.1f} GiB free, {writable}"


def _data():
    """Where each dataset would be loaded from; nothing is read or downloaded."""
    from tinygen.data import DATASETS, cache_dir

    folders = [Path(p) for p in (os.environ.get("TINYGEN_DATA"), cache_dir()) if p]
    for name in DATASETS:
        yield f"{name:<14} {_try(lambda name=name: _dataset(name, folders))}"


def _dataset(name, folders):
    if name == "glyphs":
        return "always available (drawn from fonts on first use, then cached)"
    if name == "cifar10":
        return _cifar10()
    from tinygen.data.fetch import FOLDERS, PARTS

    for base in folders:
        for folder in (*(base / sub for sub in FOLDERS[name]), base):
            if all(any((folder / f"{part}-ubyte{end}").exists() for end in ("", ".gz")) for part in PARTS):
                return f"found in {folder}"
    return f"not found; --data {name} downloads it, or put its four IDX files into {folders[-1] / name}"


def _cifar10():
    from tinygen.data import DataError, cifar

    try:
        train, _ = cifar.find()
    except DataError as e:
        return f"not found: {str(e).split('; ')[-1]}"
    return f"found in {train[0].parent}, {len(train)} of 5 training files"
