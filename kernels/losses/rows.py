"""Cross-entropy in compiled loops: one row after another, or many places of an image at a time."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.losses.reference import cross_entropy, cross_entropy_grad

SMALL = 1024  # elements; with fewer, NumPy is done before numba is imported


def _long(x, index, weights) -> bool:
    return (
        x.size > SMALL
        and x.dtype == weights.dtype == np.float32
        and x.flags.c_contiguous
        and index.dtype == np.int64
    )


def _rows(x, index, weights) -> bool:
    return x.shape[2] == 1 and _long(x, index, weights)


def _places(x, index, weights) -> bool:
    return x.shape[2] > 1 and _long(x, index, weights)


@cross_entropy.variant("rows", usable=_rows)
def cross_entropy_rows(x, index, weights):
    """Computes only the maximum and Σ exp of a row: reads 4 bytes per element, where log_softmax also writes 4."""
    from tinygen.kernels.losses import rows_loops as loops

    losses, most, log_sum = np.empty((3, *index.shape), np.float32)
    inputs = x.reshape(x.shape[:2]), index.reshape(-1), weights.reshape(-1)
    loops.cross_entropy(*inputs, losses.reshape(-1), most.reshape(-1), log_sum.reshape(-1))
    return losses, most, log_sum


@cross_entropy_grad.variant(
    "rows",
    usable=lambda g, x, index, weights, most, log_sum: g.dtype == x.dtype and _rows(x, index, weights),
)
def cross_entropy_grad_rows(g, x, index, weights, most, log_sum):
    """The softmax from x, m and log Σ, minus 1 at the class: reads 4 and writes 4 bytes per element."""
    from tinygen.kernels.losses import rows_loops as loops

    gx = np.empty(x.shape, np.float32)
    flat = [np.ascontiguousarray(a).reshape(-1) for a in (index, weights, most, log_sum)]
    loops.cross_entropy_grad(
        np.ascontiguousarray(g).reshape(-1), x.reshape(x.shape[:2]), *flat, gx.reshape(x.shape[:2])
    )
    return gx


@cross_entropy.variant("places", usable=_places)
def cross_entropy_places(x, index, weights):
    """Many places per image, whose classes lie far apart: class by class for 256 places, which stay in cache."""
    from tinygen.kernels.losses import rows_loops as loops

    out = np.empty((3, *index.shape), np.float32)
    loops.cross_entropy_places(x, np.ascontiguousarray(index), np.ascontiguousarray(weights), *out)
    return tuple(out)


@cross_entropy_grad.variant(
    "places",
    usable=lambda g, x, index, weights, most, log_sum: g.dtype == x.dtype and _places(x, index, weights),
)
def cross_entropy_grad_places(g, x, index, weights, most, log_sum):
    """As in rows, with all places of a class side by side: reads 4 and writes 4 bytes per element."""
    from tinygen.kernels.losses import rows_loops as loops

    gx = np.empty(x.shape, np.float32)
    others = [np.ascontiguousarray(a) for a in (index, weights, most, log_sum)]
    loops.cross_entropy_places_grad(np.ascontiguousarray(g), x, *others, gx)
    return gx
