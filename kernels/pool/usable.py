"""What all the compiled loops of this folder ask of their arguments."""

from __future__ import annotations

import numpy as np

SMALL = 4096  # elements; with fewer, NumPy is done before numba is imported


def loops_pay(x) -> bool:
    """Many elements, contiguous, float32 or float64."""
    return x.size > SMALL and x.dtype in (np.float32, np.float64) and x.flags.c_contiguous
