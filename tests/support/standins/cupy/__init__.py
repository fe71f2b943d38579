"""A stand-in for cupy in NumPy's memory, for machines without a GPU: it accepts what cupy 14 accepts, and nothing else.

An array of this module is not a NumPy array.  It does not mix with NumPy arrays and becomes one only by `get()`, and
there is no function, method or keyword that cupy does not have: tests/cuda/test_cuda_standin.py compares the signatures
with those of the installed cupy.  What tinygen does not use of cupy is left out.

Differences: nothing runs asynchronously, and the last bits of results are NumPy's.
"""

from numpy import (
    bool_,
    dtype,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    newaxis,
    uint8,
    uint16,
    uint32,
    uint64,
)

from cupy import cuda, lib
from cupy._array import ndarray
from cupy._counters import counters
from cupy._functions import *  # noqa: F403
from cupy._ufuncs import *  # noqa: F403
from cupy._ufuncs import ufunc

__version__ = "14.0.0+standin"
inf, nan, pi = float("inf"), float("nan"), 3.141592653589793


def get_default_memory_pool():
    return cuda.MemoryPool()
