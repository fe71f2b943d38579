"""Operations on all arrays of a list: norm, clipping, moving average.

They take lists as a network has a hundred parameters, most of them small: one call (on a GPU, one launch) for each
would cost more than the arithmetic.
"""

from __future__ import annotations

import numpy as np

from tinygen.kernels.runtime.dispatch import Kernel, array_module

norm_of_all = Kernel("norm_of_all")
clip_all = Kernel("clip_all")
average_all = Kernel("average_all")


@norm_of_all.reference
def norm_of_all_reference(x):
    """The square root of the sum of all squares, taken in float64.  -> (), in the arrays' common dtype"""
    xp = array_module(x[0])
    total = xp.zeros((), np.float64)
    for array in x:
        total += xp.square(array.astype(np.float64)).sum()
    return xp.sqrt(total).astype(np.result_type(*(array.dtype for array in x)))


@clip_all.reference
def clip_all_reference(x, norm, most):
    """In place: x <- x min(1, most / (norm + 1e-6)) for all arrays, whose norm is `norm` ()"""
    factor = most / (norm.astype(np.float64) + 1e-6)
    if isinstance(factor, np.generic):  # on a CPU it costs nothing to look
        if factor < 1 or factor != factor:
            for array in x:
                array *= array.dtype.type(factor)
        return
    factor = array_module(x[0]).minimum(factor, 1)
    for array in x:
        array *= factor.astype(array.dtype)


@average_all.reference
def average_all_reference(average, x, *, rest, numbers=None):
    """In place: average <- average + rest (x - average), for each array of two lists.

    numbers: `rest` as an array (1,) on the device, for a captured step; it then counts instead
    """
    for a, array in zip(average, x):
        a += (a.dtype.type(rest) if numbers is None else numbers.astype(a.dtype)) * (array - a)
