# ruff: noqa: F401
"""The names that the compiled loops use from numba.  Importing this file imports numba, completely (0.5 s)."""

from tinygen.kernels.runtime.lazy_import import interrupts_wait

with interrupts_wait():
    import llvmlite.binding as llvm
    from llvmlite import ir
    from numba import carray, from_dtype, get_num_threads, njit, prange, types
    from numba.core import caching, cgutils, config, event
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.registry import cpu_target
    from numba.core.serialize import dumps
    from numba.extending import intrinsic, overload
    from numba.np.arrayobj import populate_array
    from numba.np.ufunc import parallel

    # register the functions that numba knows, which it would otherwise do in its first compilation
    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()
