"""The compiled loop of `in_order.py`.  Importing this file imports numba (0.5 s)."""

from tinygen.kernels.runtime.njit import njit


@njit(cache=True, error_model="numpy")
def add_rows(rows, x, out):
    """out[rows[i]] += x[i].  rows (n,), all valid; x (n, D), out (R, D)"""
    for i in range(rows.size):
        to = out[rows[i]]
        for j in range(x.shape[1]):
            to[j] += x[i, j]
