"""A stand-in for cupy on NumPy's memory, for machines without a GPU: it takes what cupy 14 takes and refuses the rest.

An array of this module is no NumPy array.  NumPy arrays do not mix with it, it never becomes one but by `get()`, and
there is no function, method or keyword that cupy does not have: tests/cuda/test_cuda_standin.py compares the signatures
with those of the cupy that is installed.  Of cupy it lacks what tinygen does not use.

Not the same: nothing runs at another time than it is asked for, and results have NumPy's last bits.
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
from cupy._functions import *  # noqa: F403
from cupy._ufuncs import *  # noqa: F403
from cupy._ufuncs import ufunc

__version__ = "14.0.0+standin"
inf, nan, pi = float("inf"), float("nan"), 3.141592653589793


def get_default_memory_pool():
    return cuda.MemoryPool()
