"""numba.cuda for the operations' `numba_cuda.py`, the readable rungs of the GPU ladders.

A function under `@cuda.jit` says what one GPU thread does; `function[grid, block](*arrays)` starts grid x block
threads.  The code reads as in numba's documentation, but numba.cuda is imported, and the function compiled, at the
first launch.  For cupy arrays that is a launch on cupy's current stream.  For numpy arrays, under
`kernels.use(matmul="numba_tiled", on="simulator")`, numba's simulator runs the same function in Python threads.  That
is slow (good for sizes of tens), but `print` and a debugger work inside, and an index out of range is an IndexError
that names the thread and the block.  NUMBA_ENABLE_CUDASIM=1 must be set before numba is imported.

These rungs use shared memory and barriers but no warp functions, which the simulator does not have.  In the
simulator, two shared arrays created on one source line are the same array, and a barrier that not all threads reach
goes unnoticed.
"""

from __future__ import annotations

import functools
import math
import os

import numpy as np

from tinygen.kernels.runtime.dispatch import array_module, for_readers
from tinygen.kernels.runtime.lazy_import import whole

LARGEST_GRID = (2**31 - 1, 65535, 65535)  # blocks along x, y and z that CUDA can start


@functools.cache
def numba_cuda():
    """The module numba.cuda, imported on first use"""
    # we launch on cupy's stream, so numba need not wait for it
    os.environ.setdefault("NUMBA_CUDA_ARRAY_INTERFACE_SYNC", "0")
    try:
        whole("numba")
        cuda = whole("numba.cuda")
    except ImportError as error:
        raise ImportError(
            f"the numba_… variants need numba-cuda: pip install 'tinygen[cuda13]' or 'tinygen[cuda12]' ({error})"
        ) from error
    return cuda


class Jitted:
    """A function that numba.cuda compiles at its first launch"""

    def __init__(self, function, **options) -> None:
        functools.update_wrapper(self, function)
        self.function, self.options = function, options

    @functools.cached_property
    def compiled(self):
        """The function after numba.cuda.jit.  Its globals now hold the real `cuda` and compiled device functions."""
        names = self.function.__globals__
        for name in self.function.__code__.co_names:
            if names.get(name) is cuda:
                names[name] = numba_cuda()
            elif isinstance(names.get(name), Jitted):
                names[name] = names[name].compiled
        return numba_cuda().jit(**self.options)(self.function)

    def __getitem__(self, sizes: tuple):
        """function[grid, block], to be called with the arguments; blocks, and threads per block, as (x, y, z)"""
        return functools.partial(self.launch, *sizes)

    def launch(self, grid: tuple, block: tuple, *arguments) -> None:
        """Start grid x block threads; none if a grid size is 0."""
        if 0 in grid:
            return
        if any(n > most for n, most in zip(grid, LARGEST_GRID)):
            raise ValueError(f"{self.__name__}: a grid of {grid} blocks; CUDA starts at most {LARGEST_GRID}")
        if _simulated(self.__name__, arguments[0]):
            self.compiled[grid, block](*map(_for_the_simulator, arguments))
        else:
            self.compiled[grid, block, _current_stream()](*arguments)

    def ptx(self, *arguments, capability: tuple) -> str:
        """Its PTX for arguments of these types and a compute capability such as (9, 0).  Needs no GPU."""
        from numba import typeof

        types = tuple(map(typeof, arguments))
        return numba_cuda().compile_ptx(self.compiled.py_func, types, cc=capability)[0]


def _simulated(name: str, array) -> bool:
    """Whether the launch goes to the simulator, which takes numpy arrays only.

    RuntimeError for numpy arrays without the simulator, and for other arrays with it.
    """
    from numba.core import config

    on_numpy = array_module(array) is np
    if on_numpy and not config.ENABLE_CUDASIM:
        raise RuntimeError(
            f"{name}: numpy arrays need numba's simulator, which is off: set NUMBA_ENABLE_CUDASIM=1 before numba is "
            "imported"
        )
    if config.ENABLE_CUDASIM and not on_numpy:
        raise RuntimeError(
            f"{name}: numba's simulator is on (NUMBA_ENABLE_CUDASIM) and takes only numpy arrays"
        )
    return on_numpy


def _for_the_simulator(value):
    """The value in a form that the simulator takes: contiguous, and marked as an input if it is read-only."""
    if isinstance(value, np.ndarray) and not (value.flags.c_contiguous and value.flags.writeable):
        return numba_cuda().In(np.ascontiguousarray(value))
    return value


def _current_stream():
    """cupy's current stream, as numba takes it"""
    import cupy

    pointer = cupy.cuda.get_current_stream().ptr
    return numba_cuda().external_stream(pointer) if pointer else 0  # both call 0 CUDA's default stream


class _NumbaCuda:
    """Stands in for numba.cuda until the first launch, so that importing the file of a rung does not import numba"""

    @staticmethod
    def jit(function=None, **options):
        if function is None:
            return functools.partial(Jitted, **options)
        return Jitted(function, **options)

    def __getattr__(self, name: str):
        return getattr(numba_cuda(), name)


cuda = _NumbaCuda()


def rung(kernel, name: str):
    """Register the next variant of a kernel's GPU ladder as one that is there to be read."""
    return kernel.variant(name, devices=("cuda",), usable=for_readers, on="simulator")


def require(name: str, holds: bool, expected: str, **arrays) -> None:
    """ValueError with what a variant expected and what it found, unless `holds`; arrays that are None are left out."""
    if not holds:
        found = ", ".join(f"{k} {v.dtype} {v.shape}" for k, v in arrays.items() if v is not None)
        raise ValueError(f"{name}: expected {expected}; {found}")


def same_float(*arrays) -> bool:
    """Whether the arrays that are not None are all float32 or all float64"""
    dtypes = {a.dtype for a in arrays if a is not None}
    return len(dtypes) == 1 and dtypes <= {np.dtype(np.float32), np.dtype(np.float64)}


def leading(*arrays) -> tuple:
    """The shape that all but the last two dimensions of the arrays broadcast to"""
    return np.broadcast_shapes(*(a.shape[:-2] for a in arrays))


def flattened(x, lead: tuple, kept: int = 1):
    """x broadcast to the leading dimensions `lead`, with all but the last `kept - 1` of them merged into one.

    (…, M, K) -> (B, M, K), or (N, H, M, K) with kept=2.  A view if the strides allow it.
    """
    lead = (1,) * (kept - len(lead)) + tuple(lead)
    cut = len(lead) - kept + 1
    wide = array_module(x).broadcast_to(x, lead + x.shape[-2:])
    return wide.reshape((math.prod(lead[:cut]), *lead[cut:], *x.shape[-2:]))
