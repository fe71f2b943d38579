# ruff: noqa: F401
"""What the compiled loops take of numba, which is imported on first use, and whole (0.5 s)."""

from tinygen.kernels.runtime.imports import interrupts_wait

with interrupts_wait():
    import llvmlite.binding as llvm
    from llvmlite import ir
    from numba import carray, from_dtype, get_num_threads, njit, prange, types
    from numba.core import caching, cgutils, config, event
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.registry import cpu_target
    from numba.core.serialize import dumps
    from numba.extending import intrinsic, overload
    from numba.np.ufunc import parallel

    # what numba leaves to its first compilation: which functions there are
    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()
