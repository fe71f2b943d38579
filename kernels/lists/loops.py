"""The compiled loops of `one_pass.py`.  Importing this file imports numba (0.5 s)."""

from tinygen.kernels.runtime.njit import njit


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"}, error_model="numpy")
def sum_of_squares(x):
    """x (n,) -> the sum of its squares, in double precision"""
    total = 0.0
    for i in range(x.size):
        total += float(x[i]) * float(x[i])
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def average_loop(average, x, rest):
    """average <- average + rest (x - average), all of one dtype"""
    for i in range(x.size):
        average[i] += rest * (x[i] - average[i])
