"""Norm and moving average of all arrays of a list on a CPU: one compiled pass over each array."""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.lists.reference import average_all, average_all_reference, norm_of_all

SMALL = 4096  # elements of all arrays; below this NumPy is done before numba could be imported


def _compilable(*arrays) -> bool:
    first = arrays[0]
    return first.dtype.char in "fd" and all(
        a.dtype == first.dtype and a.shape == first.shape and a.flags.carray for a in arrays
    )


def _norm_fits(x) -> bool:
    return sum(array.size for array in x) >= SMALL and all(_compilable(array) for array in x)


@norm_of_all.variant("one_pass", usable=_norm_fits)
def norm_of_all_one_pass(x):
    """Each element is read once and its square added in double precision."""
    from tinygen.kernels.lists.loops import sum_of_squares

    total = math.fsum(sum_of_squares(array.reshape(-1)) for array in x)
    return np.sqrt(np.float64(total)).astype(np.result_type(*(array.dtype for array in x)))


def _average_fits(average, x, **_) -> bool:
    return sum(array.size for array in x) >= SMALL and any(_compilable(*pair) for pair in zip(average, x))


@average_all.variant("one_pass", usable=_average_fits)
def average_all_one_pass(average, x, *, rest, numbers=None):
    """Reads both arrays and writes the average once, where NumPy makes three passes over temporary arrays."""
    from tinygen.kernels.lists.loops import average_loop

    rest = float(rest if numbers is None else numbers[0])
    for a, array in zip(average, x):
        if _compilable(a, array):
            average_loop(a.reshape(-1), array.reshape(-1), a.dtype.type(rest))
        else:
            average_all_reference([a], [array], rest=rest)
