"""numba.cuda as the files `numba_cuda.py` use it: the readable rungs of the GPU ladders.

A function under `@cuda.jit` says what one GPU thread does; `function[grid, block](*arrays)` starts grid x block of
them.  All reads as in numba's documentation, but numba.cuda is imported and the function compiled by the first launch.
On cupy arrays that is a launch on cupy's current stream.  On numpy arrays, under
`kernels.use(matmul="numba_tiled", on="simulator")`, numba's simulator runs the same function as Python threads: slow
(sizes of tens), but a `print` or a debugger works inside, and an index out of range is an IndexError that names thread
and block.  NUMBA_ENABLE_CUDASIM=1 has to be in the environment before numba is imported.

These rungs use shared memory and barriers, and nothing of a warp, which the simulator does not know.  In it, two shared
arrays made on one source line are one array, and a barrier that not all threads reach is not noticed.
"""

from __future__ import annotations

import functools
import math
import os

import numpy as np

from tinygen.kernels.runtime.dispatch import array_module, for_readers
from tinygen.kernels.runtime.imports import whole

LARGEST_GRID = (2**31 - 1, 65535, 65535)  # blocks along x, y and z that CUDA can start


@functools.cache
def numba_cuda():
    """The module numba.cuda, imported on first use"""
    # cupy's stream is the one we launch on: numba need not wait for it
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
    """A function that numba.cuda compiles when it is first launched"""

    def __init__(self, function, **options) -> None:
        functools.update_wrapper(self, function)
        self.function, self.options = function, options

    @functools.cached_property
    def compiled(self):
        """What numba.cuda.jit makes of it.  Its globals now hold the real `cuda` and device functions."""
        names = self.function.__globals__
        for name in self.function.__code__.co_names:
            if names.get(name) is cuda:
                names[name] = numba_cuda()
            elif isinstance(names.get(name), Jitted):
                names[name] = names[name].compiled
        return numba_cuda().jit(**self.options)(self.function)

    def __getitem__(self, sizes: tuple):
        """function[grid, block], to be called with the arguments: blocks, and threads in a block, as (x, y, z)"""
        return functools.partial(self.launch, *sizes)

    def launch(self, grid: tuple, block: tuple, *arguments) -> None:
        """One thread for each of grid x block; none where there is nothing to compute."""
        if 0 in grid:
            return
        if any(n > most for n, most in zip(grid, LARGEST_GRID)):
            raise ValueError(f"{self.__name__}: a grid of {grid} blocks; CUDA starts at most {LARGEST_GRID}")
        if _simulated(self.__name__, arguments[0]):
            self.compiled[grid, block](*map(_for_the_simulator, arguments))
        else:
            self.compiled[grid, block, _current_stream()](*arguments)

    def ptx(self, *arguments, capability: tuple) -> str:
        """What it becomes for arguments of such types on a card of a compute capability, (9, 0): no GPU is needed."""
        from numba import typeof

        types = tuple(map(typeof, arguments))
        return numba_cuda().compile_ptx(self.compiled.py_func, types, cc=capability)[0]


def _simulated(name: str, array) -> bool:
    """Whether the array is numpy's, which only the simulator takes.  RuntimeError where that is off, or on in vain."""
    from numba.core import config

    on_numpy = array_module(array) is np
    if on_numpy and not config.ENABLE_CUDASIM:
        raise RuntimeError(
            f"{name}: numpy arrays are for numba's simulator, which is off: set NUMBA_ENABLE_CUDASIM=1 before numba is "
            "imported"
        )
    if config.ENABLE_CUDASIM and not on_numpy:
        raise RuntimeError(
            f"{name}: numba's simulator is on (NUMBA_ENABLE_CUDASIM) and takes numpy arrays alone"
        )
    return on_numpy


def _for_the_simulator(value):
    """It takes contiguous arrays, and writes to those that are not marked as inputs."""
    if isinstance(value, np.ndarray) and not (value.flags.c_contiguous and value.flags.writeable):
        return numba_cuda().In(np.ascontiguousarray(value))
    return value


def _current_stream():
    """cupy's current stream for numba"""
    import cupy

    pointer = cupy.cuda.get_current_stream().ptr
    return numba_cuda().external_stream(pointer) if pointer else 0  # both call 0 CUDA's default stream


class _NumbaCuda:
    """Stands for the module numba.cuda until the first launch, so that reading a rung's file imports nothing"""

    @staticmethod
    def jit(function=None, **options):
        if function is None:
            return functools.partial(Jitted, **options)
        return Jitted(function, **options)

    def __getattr__(self, name: str):
        return getattr(numba_cuda(), name)


cuda = _NumbaCuda()


def rung(kernel, name: str):
    """Register the next variant of a kernel's GPU ladder, one that is there to be read."""
    return kernel.variant(name, devices=("cuda",), usable=for_readers, on="simulator")


def blocks(size: int, block: int) -> int:
    """How many blocks of so many threads cover `size`"""
    return -(-size // block)


def require(name: str, holds: bool, expected: str, **arrays) -> None:
    """ValueError that says what a variant takes and what it got, unless `holds`; arrays None are left out."""
    if not holds:
        found = ", ".join(f"{k} {v.dtype} {v.shape}" for k, v in arrays.items() if v is not None)
        raise ValueError(f"{name}: expected {expected}; {found}")


def same_float(*arrays) -> bool:
    """Whether the arrays (those that are not None) are all float32 or all float64"""
    dtypes = {a.dtype for a in arrays if a is not None}
    return len(dtypes) == 1 and dtypes <= {np.dtype(np.float32), np.dtype(np.float64)}


def leading(*arrays) -> tuple:
    """The shape that all but the last two dimensions of the arrays broadcast to"""
    return np.broadcast_shapes(*(a.shape[:-2] for a in arrays))


def flattened(x, lead: tuple, kept: int = 1):
    """x broadcast to the leading dimensions `lead`, of which all but the last `kept - 1` become one.

    (…, M, K) -> (B, M, K), or (N, H, M, K) with kept=2.  A view wherever its strides allow it.
    """
    lead = (1,) * (kept - len(lead)) + tuple(lead)
    cut = len(lead) - kept + 1
    wide = array_module(x).broadcast_to(x, lead + x.shape[-2:])
    return wide.reshape((math.prod(lead[:cut]), *lead[cut:], *x.shape[-2:]))
