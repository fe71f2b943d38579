"""Adding rows one after another, on a CPU."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.scatter.reference import add_rows

SMALL = 4096  # elements; with fewer, NumPy is done before numba is imported
MOST_MEET = (
    64  # rows per target, on average: they are added to it one after another, with a rounding error each
)


def _usable(out, rows, x) -> bool:
    return (
        x.size > SMALL
        and x.dtype in (np.float32, np.float64)
        and out.flags.c_contiguous
        and rows.dtype.kind == "i"
        and 0 <= rows.min()
        and rows.max() < len(out)
        and len(rows) <= MOST_MEET * len(out)
    )


@add_rows.variant("in_order", usable=_usable)
def add_rows_in_order(out, rows, x) -> None:
    """Each row is added to its target, without a sort or a sorted copy: reads 8 and writes 4 bytes per element."""
    from tinygen.kernels.scatter import loops

    loops.add_rows(np.ascontiguousarray(rows), np.ascontiguousarray(x), out)
