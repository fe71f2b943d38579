"""cupyx.scipy.special: the one function that tinygen uses."""

import math

import numpy as np
from cupy._array import unwrapped, wrapped
from cupy._counters import clocked, launching


@clocked
@launching("erf")
def erf(x):
    host = unwrapped(x)
    wide = np.vectorize(math.erf, otypes=[np.float64])(host)
    return wrapped(wide.astype(host.dtype))
