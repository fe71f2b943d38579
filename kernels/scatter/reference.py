"""Writing to places given by indices: the transposes of picking."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.reduce.accumulation import wide, widened
from tinygen.kernels.runtime.dispatch import Kernel, array_module


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
    """out[index] += x, as often as integer arrays name a place."""
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
    """out[index] += x with the places in order: each place's sum is made before it is added.

    Without atomics, so that a GPU gives the same bits every time; and float16 is rounded once.
    """
    xp = array_module(out)
    places = xp.arange(out.size).reshape(out.shape)[index]
    if not places.size:
        return
    flat = out.reshape(-1, 1) if out.flags.c_contiguous else xp.zeros((out.size, 1), out.dtype)
    add_rows(flat, places.reshape(-1), xp.broadcast_to(x, places.shape).reshape(-1, 1))
    if not out.flags.c_contiguous:
        out += flat.reshape(out.shape)


add_rows = Kernel("add_rows")


@add_rows.reference
def add_rows_reference(out, rows, x) -> None:
    """out[rows[i]] += x[i], rows sorted first so that each is summed at once."""
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


@add_rows.variant("segments", devices=("cuda",))
def add_rows_segments(out, rows, x) -> None:
    """Rows sorted, then each is added to the one 1, 2, 4 … places on if both go to one place: the last has the sum.

    No atomics: the same bits every time, and sums in pairs.  (cupy's add.reduceat subtracts running sums, which
    cancel.)  Reads and writes x once for each doubling up to the most rows that meet in one place.
    """
    if not x.size:
        return
    xp = array_module(out)
    order = xp.argsort(rows, kind="stable")
    rows, sums, distance = rows[order], widened(x[order]), 1
    while distance < len(rows) and (same := rows[distance:] == rows[:-distance]).any():
        sums[distance:] += xp.where(same[:, None], sums[:-distance], sums.dtype.type(0))
        distance *= 2
    last = xp.flatnonzero(xp.concatenate([rows[1:] != rows[:-1], xp.ones(1, bool)]))
    out[rows[last]] += sums[last]


def _compilable(out, rows, x) -> bool:
    return (
        x.size > 4096
        and x.dtype in (np.float32, np.float64)
        and out.flags.c_contiguous
        and rows.dtype.kind == "i"
        and 0 <= rows.min()
        and rows.max() < len(out)
        and len(rows)
        <= 64 * len(out)  # additions to one row are made one after the other: not too many of them
    )


@add_rows.variant("in_order", usable=_compilable)
def add_rows_in_order(out, rows, x) -> None:
    """Row after row added to where it belongs, without a sort and a sorted copy: reads 8, writes 4 bytes an element."""
    from tinygen.kernels.pool import loops

    loops.add_rows(np.ascontiguousarray(rows), np.ascontiguousarray(x), out)
