"""Gather numbers that are scattered over many small arrays into one, so that the host reads them all at once."""

from __future__ import annotations

from tinygen.kernels.runtime.dispatch import Kernel

collect = Kernel("collect")


@collect.reference
def collect_reference(out, arrays, first):
    """Write the elements of all arrays, one array after the other, into out from element `first` on.

    out (n,), arrays of any shape -> where the next one would go
    """
    for array in arrays:
        out[first : first + array.size] = array.reshape(-1)
        first += array.size
    return first
