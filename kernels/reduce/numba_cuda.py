"""What one block of threads finds together, with numba.cuda: the sum and the largest of one number of each.

`values` is shared memory for one number a thread; the block has 2^n threads along x.  Half of them add (or compare)
what the other half brought, then a quarter what the second quarter has, …: n steps, and all threads get the result.

inline="always" because a call of another function would ask for the GPU when it is compiled, even with `Jitted.ptx`.
"""

from __future__ import annotations

from tinygen.kernels.runtime.numba_cuda import cuda


@cuda.jit(device=True, inline="always")
def block_sum(values, value):
    """Σ of every thread's value"""
    thread, half = cuda.threadIdx.x, cuda.blockDim.x // 2
    values[thread] = value
    cuda.syncthreads()
    while half > 0:
        if thread < half:
            values[thread] += values[thread + half]
        cuda.syncthreads()
        half //= 2
    result = values[0]
    cuda.syncthreads()  # everybody has it; values may be used again
    return result


@cuda.jit(device=True, inline="always")
def block_max(values, value):
    """The largest of every thread's value"""
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
