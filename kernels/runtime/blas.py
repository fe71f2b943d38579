"""Which kernels NumPy's OpenBLAS uses for matrix products, and how many threads.

OpenBLAS picks its kernels for the CPU when it is loaded, and picks well: the AVX-512 ones on AMD and Intel CPUs that
have AVX-512 (measured: NumPy 1.26 and 2.4 on Zen 5).  If OPENBLAS_CORETYPE is set, OpenBLAS obeys it instead.  Some
clusters set it to "Haswell" so that all machines give the same bits; on an AVX-512 CPU that is half as fast.  We
report what the variable costs and leave it alone.  The bits of a product depend on the kernels.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading

import numpy as np

from tinygen.kernels.runtime.threads import blas_function, start

VARIABLE = "OPENBLAS_CORETYPE"
CBLAS_NAMES = "scipy_cblas_{}64_", "cblas_{}64_"  # with integers of 64 bits
AVX512 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}  # what those kernels are compiled for
AVX512_CORES = {"SkylakeX", "Cooperlake", "SapphireRapids"}


def core() -> str | None:
    """The name of the kernels that NumPy's OpenBLAS uses; None for another BLAS, or if OpenBLAS does not say."""
    name = blas_function("get_corename")
    if name is None:
        return None
    name.restype = ctypes.c_char_p
    return name().decode()


@functools.cache
def maker() -> str | None:
    """ "OpenBLAS", "MKL", "BLIS" or "Accelerate": whose BLAS NumPy uses; None if that cannot be told.

    A NumPy that finds its BLAS only when it is loaded (conda's) does not know the name; the process's libraries tell.
    """
    if core() is not None:
        return "OpenBLAS"
    config = np.show_config(mode="dicts") if np.lib.NumpyVersion(np.__version__) >= "1.25.0" else {}
    name = config.get("Build Dependencies", {}).get("blas", {}).get("name", "")
    text = f"{name} {_text('/proc/self/maps')}".lower()
    signs = {"MKL": ("mkl",), "BLIS": ("blis", "flame", "aocl"), "Accelerate": ("accelerate",)}
    return next((known for known, parts in signs.items() if any(part in text for part in parts)), None)


@functools.cache
def cpu_family() -> str:
    """The maker and the widest vectors of this CPU, as in "GenuineIntel avx512"; of others than x86, "unknown" """
    words = _text("/proc/cpuinfo").replace(":", " ").split()
    if "vendor_id" not in words:
        return "unknown"
    width = "avx512" if set(words) >= AVX512 else "avx2" if "avx2" in words else "sse"
    return f"{words[words.index('vendor_id') + 1]} {width}"


def threads() -> int | None:
    """How many threads NumPy's OpenBLAS may use for a product; None for another BLAS."""
    count = blas_function("get_num_threads")
    return None if count is None else count()


def get_num_threads() -> int:
    """How many threads a compiled loop called from this thread, and a matrix product, may use."""
    import numba

    return numba.get_num_threads()


def set_num_threads(num_threads: int) -> None:
    """Set how many threads compiled loops called from this thread, and matrix products, may use.

    At most the size of numba's pool: the number of cores, or NUMBA_NUM_THREADS if that was set at the start.
    """
    if not isinstance(num_threads, int) or isinstance(num_threads, bool):
        raise TypeError(f"set_num_threads: found a {type(num_threads).__name__}, expected a whole number")
    if num_threads < 1:
        raise RuntimeError(f"set_num_threads: found {num_threads}, expected a positive number")
    start()
    import numba

    count = min(num_threads, numba.config.NUMBA_NUM_THREADS)
    numba.set_num_threads(count)
    set_products = blas_function("set_num_threads")
    if set_products is not None:
        set_products(count)


@functools.cache
def in_loops() -> bool:
    """Let compiled loops call NumPy's OpenBLAS, as `tinygen_sgemm` and `tinygen_dgemm`.  -> whether they can

    Only where its integers have 64 bits, as in the OpenBLAS that NumPy's packages bring along.
    """
    found = {f"tinygen_{name}": blas_function(name, CBLAS_NAMES) for name in ("sgemm", "dgemm")}
    if None in found.values() or blas_function("set_num_threads") is None:
        return False
    from tinygen.kernels.runtime.with_numba import llvm

    for name, function in found.items():
        llvm.add_symbol(name, ctypes.cast(function, ctypes.c_void_p).value)
    return True


class _OneThread:
    """A block in which OpenBLAS starts no threads of its own.  Several Python threads may be in such blocks at once."""

    def __init__(self) -> None:
        self.lock, self.inside, self.before = threading.Lock(), 0, 1

    def __enter__(self) -> None:
        with self.lock:
            if not self.inside:
                self.before = threads()
                self.set(1)
            self.inside += 1

    def __exit__(self, *_) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self.set(self.before)

    def set(self, count: int | None) -> None:
        set_threads = blas_function("set_num_threads")
        if set_threads is not None and count is not None:
            set_threads(count)


one_thread = _OneThread()


def _in_child() -> None:
    """A forked child has no other thread that could leave its block; products then stay on one thread."""
    one_thread.lock = threading.Lock()


os.register_at_fork(after_in_child=_in_child)


def advice(core: str | None) -> str | None:
    """How to get faster kernels than `core`; None if these are the best for this CPU."""
    if core is None or core in AVX512_CORES or not AVX512 <= set(_text("/proc/cpuinfo").split()):
        return None
    if VARIABLE in os.environ:
        return f"{VARIABLE}={os.environ[VARIABLE]} is set; without it they would be AVX-512 ones"
    return f"this CPU has AVX-512: try {VARIABLE}=SkylakeX"


def _text(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:  # only Linux has this file
        return ""
