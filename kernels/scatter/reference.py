"""Adding to indexed places: the transpose of picking."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.reduce.accumulation import wide, widened
from tinygen.kernels.runtime.dispatch import Kernel, array_module

add_rows = Kernel("add_rows")


def put(x, index, shape):
    """Zeros of `shape` with x added at `index` (a tuple of slices and numbers, or of integer arrays and slices)."""
    xp = array_module(x)
    out = xp.zeros(shape, x.dtype)
    if any(isinstance(i, xp.ndarray) for i in index):
        add_at(out, index, x)
    else:
        out[index] = x
    return out


def add_at(out, index, x) -> None:
    """out[index] += x; places that integer arrays name several times are added to as often."""
    xp = array_module(x)
    if not any(isinstance(i, xp.ndarray) for i in index):
        out[index] += x
    elif len(index) == 1 and out.ndim == 2 and x.size:
        add_rows(out, index[0].ravel(), x.reshape(-1, out.shape[1]))
    elif xp is np and wide(out.dtype) == out.dtype:
        xp.add.at(out, index, x)
    else:
        _add_sorted(out, index, x)


def _add_sorted(out, index, x) -> None:
    """out[index] += x with the places sorted: the sum for each place is computed before it is added.

    There are no atomics, so that a GPU gives the same bits every time, and float16 is rounded only once.
    """
    xp = array_module(out)
    places = xp.arange(out.size).reshape(out.shape)[index]
    if not places.size:
        return
    flat = out.reshape(-1, 1) if out.flags.c_contiguous else xp.zeros((out.size, 1), out.dtype)
    add_rows(flat, places.reshape(-1), xp.broadcast_to(x, places.shape).reshape(-1, 1))
    if not out.flags.c_contiguous:
        out += flat.reshape(out.shape)


@add_rows.reference
def add_rows_reference(out, rows, x) -> None:
    """out[rows[i]] += x[i], with rows sorted first, so that the sum for each row is added in one go."""
    if not isinstance(out, np.ndarray):
        total = widened(out)
        array_module(out).add.at(total, rows, widened(x))
        if total is not out:
            out[...] = total
        return
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    starts = np.flatnonzero(np.r_[True, rows[1:] != rows[:-1]])
    out[rows[starts]] += np.add.reduceat(x[order], starts, axis=0, dtype=wide(x.dtype))
