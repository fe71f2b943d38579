"""What the tests of kernels/hostcuda share: their .cu files, and random arrays."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

NEEDED = [
    pytest.mark.skipif(sys.platform != "linux", reason="hostcuda works on Linux only"),
    pytest.mark.skipif(shutil.which("g++") is None, reason="no g++: .cu files cannot be compiled"),
]

SOURCES = Path(__file__).parents[1] / "cuda" / "hostcuda"
ORDERS = ("forward", "reverse", "random")
RNG = np.random.default_rng(0)


def floats(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*shape):
    return RNG.integers(-(2**31), 2**31, shape).astype(np.int32)
