"""Compiled sums.  Importing this file imports numba (0.5 s).

A long sum runs over blocks.  Inside a block the compiler may reorder the additions, so that it makes 8 to 32 at once;
the sums of the blocks are added in double precision.  A loop takes a block as an array of its own, indexed from 0: an
index that numba cannot prove to be non-negative costs a comparison per element and prevents vectorization.
"""

from tinygen.kernels.runtime.njit import njit
from tinygen.kernels.runtime.with_numba import prange

BLOCK = 2048  # elements of a row summed in its own precision
SUMS = {"reassoc", "contract", "nsz"}  # fast-math flags for sums; nan and inf keep their meaning


@njit(cache=True, fastmath=SUMS, error_model="numpy")
def block_sum(x):
    """Σ x in its own precision"""
    total = x.dtype.type(0)
    for i in range(x.size):
        total += x[i]
    return total


@njit(cache=True, fastmath=SUMS, error_model="numpy")
def block_total(x):
    """Σ x in double precision"""
    total = 0.0
    for i in range(x.size):
        total += x[i]
    return total


@njit(cache=True, parallel=True, error_model="numpy")
def block_totals(x, block, totals):
    """totals[r, p] = the sum of the p-th block of `block` numbers of x[r].  x (R, S), totals (R, P)"""
    parts = totals.shape[1]
    for item in prange(x.shape[0] * parts):
        r, p = item // parts, item % parts
        totals[r, p] = block_total(x[r, p * block : min((p + 1) * block, x.shape[1])])


@njit(cache=True, error_model="numpy")
def _add_to(total, row):
    for i in range(total.size):
        total[i] += row[i]


@njit(cache=True, error_model="numpy")
def _add_eight(total, rows):
    """Pairwise: more accurate than one after another, and total is read and written only once for eight rows."""
    for i in range(total.size):
        first = (rows[0, i] + rows[1, i]) + (rows[2, i] + rows[3, i])
        total[i] += first + ((rows[4, i] + rows[5, i]) + (rows[6, i] + rows[7, i]))


@njit(cache=True, parallel=True, error_model="numpy")
def sum_row_blocks(x, rows, parts):
    """parts[a, p] = the sum of the p-th block of `rows` rows of x[a].  x (A, B, C), parts (A, P, C)"""
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
