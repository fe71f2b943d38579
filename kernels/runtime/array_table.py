"""Tables of addresses, in which a kernel finds the arrays of a list: one launch for a hundred parameters.

A row has an address per list, the number of elements, and the first block of the grid that works on them
(include/array_table.cuh).  A table stays on the device as long as it is used: most steps find the arrays where the step
before left them.
"""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from tinygen.kernels.runtime import capture
from tinygen.kernels.runtime.cuda_source import address
from tinygen.kernels.runtime.dispatch import array_module

THREADS, CHUNK = 256, 4096  # of a block, and the elements it works on: as in include/array_table.cuh
MOST = 32  # tables kept per device: an optimizer, an average and a norm each have one or a few

kept: dict = {}  # per device: {content of a table: the array that holds it}, the latest used last


def table_of(lists, chunk: int):
    """(table on the arrays' device, number of rows, number of blocks); arrays without elements are left out.

    lists of equally many contiguous arrays; chunk: elements that a block works on
    """
    rows = [arrays for arrays in zip(*lists) if arrays[0].size]
    sizes = [arrays[0].size for arrays in rows]
    blocks = [0, *accumulate(-(-size // chunk) for size in sizes)]
    words = [(*map(address, arrays), size, first) for arrays, size, first in zip(rows, sizes, blocks)]
    like = lists[0][0]
    return (
        on_device(np.array(words, np.int64).reshape(len(rows), len(lists) + 2), like),
        len(rows),
        blocks[-1],
    )


def on_device(rows: np.ndarray, like):
    """The table on the device of `like`, sent there only if it is not there yet."""
    if isinstance(like, np.ndarray):
        return rows
    if (table := capture.constant(rows)) is not None:
        return table
    tables, content = kept.setdefault(like.device.id, {}), (rows.shape, rows.dtype.str, rows.tobytes())
    table = tables.pop(content, None)
    if table is None:
        table = array_module(like).asarray(rows)
        if len(tables) >= MOST:
            del tables[next(iter(tables))]
    tables[content] = table
    return table


def dense(*arrays) -> bool:
    """Whether a kernel can work on them through a table: float32, contiguous, of one shape"""
    shape = arrays[0].shape
    return all(a.dtype == np.float32 and a.shape == shape and a.flags.c_contiguous for a in arrays)


def split(*lists) -> tuple[list, list]:
    """The positions of those arrays that are `dense`, and of the others."""
    found = [], []
    for position, arrays in enumerate(zip(*lists)):
        found[not dense(*arrays)].append(position)
    return found
