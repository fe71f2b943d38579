"""Adding rows on a GPU, in cupy: sums of sorted rows by doubling distances."""

from __future__ import annotations

from tinygen.kernels.reduce.accumulation import widened
from tinygen.kernels.runtime.dispatch import array_module
from tinygen.kernels.scatter.reference import add_rows


@add_rows.variant("segments", devices=("cuda",))
def add_rows_segments(out, rows, x) -> None:
    """Rows are sorted; each is added to the one 1, 2, 4 … further on if both have one target: the last gets the sum.

    No atomics: the same bits every time, and pairwise sums.  (cupy's add.reduceat subtracts running sums, which
    cancel.)  Reads and writes x once per doubling, up to the most rows that have the same target.
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
