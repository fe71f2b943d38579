"""Views by their strides, over NumPy's memory."""

import numpy as np

from cupy._functions import unwrapped, wrapped


def as_strided(x, shape=None, strides=None):
    return wrapped(np.lib.stride_tricks.as_strided(unwrapped(x), shape, strides), x)
