"""Writing to places given by indices: the transposes of picking."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.dispatch import array_module


def put(x, index, shape):
    """Zeros of `shape` with x added at `index` (a tuple of slices and numbers, or of integer arrays and slices)."""
    xp = array_module(x)
    out = xp.zeros(shape, x.dtype)
    if not any(isinstance(i, xp.ndarray) for i in index):
        out[index] = x
    elif len(index) == 1 and out.ndim == 2 and xp is np and x.size:
        _add_rows(out, index[0].ravel(), x.reshape(-1, shape[1]))
    else:
        xp.add.at(out, index, x)
    return out


def _add_rows(out, rows, x) -> None:
    """out[rows[i]] += x[i], rows sorted first so that each is summed at once."""
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    starts = np.flatnonzero(np.r_[True, rows[1:] != rows[:-1]])
    out[rows[starts]] = np.add.reduceat(x[order], starts, axis=0)
