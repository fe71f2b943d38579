"""The compiled loop behind `reduce.py`; a file of its own, because importing it imports numba (0.5 s)."""

from tinygen.kernels.runtime.njit import njit
from tinygen.kernels.runtime.with_numba import prange


@njit(cache=True, error_model="numpy")
def _add_to(total, row):
    for i in range(total.size):
        total[i] += row[i]


@njit(cache=True, error_model="numpy")
def _add_eight(total, rows):
    """In pairs: more accurate than one after the other, and total is read and written once for eight rows."""
    for i in range(total.size):
        first = (rows[0, i] + rows[1, i]) + (rows[2, i] + rows[3, i])
        total[i] += first + ((rows[4, i] + rows[5, i]) + (rows[6, i] + rows[7, i]))


@njit(cache=True, parallel=True, error_model="numpy")
def sum_blocks(x, rows, parts):
    """parts[a, p] = the sum of the p-th `rows` rows of x[a].  x (A, B, C), parts (A, P, C)"""
    A, B = x.shape[:2]
    P = parts.shape[1]
    for item in prange(A * P):
        a, p = item // P, item % P
        total = parts[a, p]
        total[:] = 0
        b, stop = p * rows, min(p * rows + rows, B)
        while b + 8 <= stop:
            _add_eight(total, x[a, b : b + 8])
            b += 8
        for rest in range(b, stop):
            _add_to(total, x[a, rest])
