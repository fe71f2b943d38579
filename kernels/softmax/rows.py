"""Softmax on a CPU: compiled loops over rows, for float32 along the last dimension."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.softmax.reference import log_softmax, log_softmax_grad, softmax, softmax_grad

SMALL = 1024  # elements; up to here NumPy is done before numba could be imported


def usable(x, dim) -> bool:
    return x.size > SMALL and x.dtype == np.float32 and x.flags.c_contiguous and dim in (-1, x.ndim - 1)


def usable_grad(g, y, dim) -> bool:
    return usable(y, dim) and g.dtype == y.dtype and g.shape == y.shape


def _compiled(loop: str, *arrays):
    """Run a loop of loops.py over the rows of the arrays: inputs, then output."""
    from tinygen.kernels.softmax import loops

    out, size = np.empty(arrays[0].shape, np.float32), arrays[0].shape[-1]
    rows = [np.ascontiguousarray(a).reshape(-1, size) for a in arrays]
    getattr(loops, loop)(*rows, out.reshape(-1, size))
    return out


@softmax.variant("rows", usable=usable)
def softmax_rows(x, dim):
    """A row stays in the cache from its maximum to its last division: reads 4 and writes 4 bytes per element."""
    return _compiled("softmax", x)


@softmax_grad.variant("rows", usable=usable_grad)
def softmax_grad_rows(g, y, dim):
    """Σ g y of a row, then its gx while it is in the cache: reads 8 and writes 4 bytes per element."""
    return _compiled("softmax_grad", g, y)


@log_softmax.variant("rows", usable=usable)
def log_softmax_rows(x, dim):
    """As softmax; nothing is written before the logarithm of the sum is known."""
    return _compiled("log_softmax", x)


@log_softmax_grad.variant("rows", usable=usable_grad)
def log_softmax_grad_rows(g, y, dim):
    """Σ g of a row, then its gx while it is in the cache: reads 8 and writes 4 bytes per element."""
    return _compiled("log_softmax_grad", g, y)
