"""The compiled loops of `bias.py`.  Importing this file imports numba (0.5 s)."""

from tinygen.kernels.reduce.loops import BLOCK, block_sum
from tinygen.kernels.runtime.njit import njit
from tinygen.kernels.runtime.with_numba import prange


@njit(cache=True, error_model="numpy")
def add_number(row, number):
    for i in range(row.size):
        row[i] += number


@njit(cache=True, parallel=True, error_model="numpy")
def add_to_rows(y, bias):
    """y[n K + k] += bias[k].  y (N K, S), bias (K,)"""
    for r in prange(len(y)):
        add_number(y[r], bias[r % len(bias)])


@njit(cache=True, parallel=True, error_model="numpy")
def sum_rows(g, sums):
    """g (R, S), sums (R,)"""
    for r in prange(len(g)):
        total = 0.0
        for start in range(0, g.shape[1], BLOCK):
            total += block_sum(g[r, start : start + BLOCK])
        sums[r] = total
