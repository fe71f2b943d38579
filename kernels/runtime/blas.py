"""Which kernels the matrix product runs on, and on how many threads.

OpenBLAS picks them when it is loaded, by what the CPU can do, and picks well: on AMD and Intel CPUs with AVX-512 the
AVX-512 ones (measured: NumPy 1.26 and 2.4 on Zen 5).  Where OPENBLAS_CORETYPE is set, it obeys that instead, and
"Haswell", which some clusters set so that all machines give the same bits, is half as fast there.  The variable is
its owner's: we say what it costs and leave it alone.  The bits of a product depend on the kernels.
"""

from __future__ import annotations

import ctypes
import os

from tinygen.kernels.runtime.threads import blas_function, start

VARIABLE = "OPENBLAS_CORETYPE"
AVX512 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}  # what those kernels are compiled for
AVX512_CORES = {"SkylakeX", "Cooperlake", "SapphireRapids"}


def core() -> str | None:
    """The name of the kernels that NumPy's OpenBLAS uses; None for another BLAS, or where it cannot be told."""
    name = blas_function("get_corename")
    if name is None:
        return None
    name.restype = ctypes.c_char_p
    return name().decode()


def threads() -> int | None:
    """How many threads NumPy's OpenBLAS may take for a product; None for another BLAS."""
    count = blas_function("get_num_threads")
    return None if count is None else count()


def get_num_threads() -> int:
    """How many threads a loop of this thread, and a product, may take."""
    import numba

    return numba.get_num_threads()


def set_num_threads(num_threads: int) -> None:
    """Let loops of this thread, and products, take that many threads: at most those of numba's pool.

    The pool is as large as there are cores, or as NUMBA_NUM_THREADS said at the start.
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


def advice(core: str | None) -> str | None:
    """What gives better kernels than these; None where nothing does."""
    if core is None or core in AVX512_CORES or not AVX512 <= set(_text("/proc/cpuinfo").split()):
        return None
    if VARIABLE in os.environ:
        return f"{VARIABLE}={os.environ[VARIABLE]} is set; without it they would be AVX-512 ones"
    return f"this CPU has AVX-512: try {VARIABLE}=SkylakeX"


def _text(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:  # Linux alone has these files
        return ""
