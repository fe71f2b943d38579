"""Sum and maximum over a block of threads, one number from each, with numba.cuda.

`values` is shared memory for one number per thread; the block has 2^n threads along x.  Half of the threads add (or
compare) what the other half brought, then a quarter adds what the second quarter has, and so on: n steps, after which
every thread gets the result.

inline="always": calling a separate function would need a GPU at compile time, even with `Jitted.ptx`.
"""

from __future__ import annotations

from tinygen.kernels.runtime.numba_cuda import cuda


@cuda.jit(device=True, inline="always")
def block_sum(values, value):
    """The sum of all threads' values"""
    thread, half = cuda.threadIdx.x, cuda.blockDim.x // 2
    values[thread] = value
    cuda.syncthreads()
    while half > 0:
        if thread < half:
            values[thread] += values[thread + half]
        cuda.syncthreads()
        half //= 2
    result = values[0]
    cuda.syncthreads()  # all threads have read it: values may be reused
    return result


@cuda.jit(device=True, inline="always")
def block_max(values, value):
    """The largest of all threads' values"""
    thread, half = cuda.threadIdx.x, cuda.blockDim.x // 2
    values[thread] = value
    cuda.syncthreads()
    while half > 0:
        if thread < half:
            values[thread] = max(values[thread], values[thread + half])
        cuda.syncthreads()
        half //= 2
    result = values[0]
    cuda.syncthreads()
    return result
