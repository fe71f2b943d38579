"""Upsampling by repetition and its gradient, row by row, on all threads."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.pool.reference import nearest2d, nearest2d_grad, starts_of
from tinygen.kernels.pool.usable import loops_pay


@nearest2d.variant("rows", usable=lambda x, **_: loops_pay(x))
def nearest2d_rows(x, *, rows, columns):
    """Each output row is computed once and copied where it repeats: reads 4 bytes per input, writes 4 per output."""
    from tinygen.kernels.pool import rows_loops as loops

    y = np.empty((*x.shape[:2], len(rows), len(columns)), x.dtype)
    places = (np.ascontiguousarray(index, np.uintp) for index in (rows, columns))
    if len(rows) and len(columns) and (rows[-1] >= x.shape[2] or columns[-1] >= x.shape[3]):
        raise IndexError(f"nearest2d: found an index outside the image; x {x.shape}")
    loops.nearest(x.reshape(-1, *x.shape[2:]), *places, y.reshape(-1, *y.shape[2:]))
    return y


@nearest2d_grad.variant("rows", usable=lambda g, **_: loops_pay(g))
def nearest2d_grad_rows(g, *, rows, columns, size):
    """Rows are summed first, then the columns of that sum: reads 4 bytes per output, writes 4 per input."""
    from tinygen.kernels.pool import rows_loops as loops

    gx = np.empty((*g.shape[:2], *size), g.dtype)
    starts = (starts_of(index, n).astype(np.uintp) for index, n in zip((rows, columns), size))
    loops.nearest_grad(g.reshape(-1, *g.shape[2:]), *starts, gx.reshape(-1, *size))
    return gx
