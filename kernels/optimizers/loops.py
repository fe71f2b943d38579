"""The compiled loop of `adam`.  Importing this file imports numba (0.5 s)."""

import numpy as np

from tinygen.kernels.runtime.njit import njit
from tinygen.kernels.runtime.with_numba import carray, cgutils, intrinsic, prange, types


@intrinsic
def _pointer(typing, address):
    """An integer as a pointer to that address"""

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(address), codegen


@njit(cache=True)
def note_addresses(places, i, p, g, m, v):
    """places[i] = the addresses of p, g, m, v; faster than asking NumPy for them"""
    places[i] = p.ctypes.data, g.ctypes.data, m.ctypes.data, v.ctypes.data


@njit(cache=True, nogil=True, fastmath={"contract", "arcp", "nsz"}, error_model="numpy")
def adam_loop(
    p, g, m, v, beta1, one_minus_beta1, beta2, one_minus_beta2, eps, decay, keep, correction2, rate
):
    """p, g, m, v (n,) and scalars of p's dtype; the formula is in `adam_reference`."""
    for i in range(p.size):
        gi = g[i] + decay * p[i]
        mi = beta1 * m[i] + one_minus_beta1 * gi
        vi = beta2 * v[i] + one_minus_beta2 * (gi * gi)
        m[i], v[i] = mi, vi
        p[i] = keep * p[i] - rate * (mi / (np.sqrt(vi) * correction2 + eps))


@njit(cache=True, nogil=True, error_model="numpy")
def adam_part(
    places, ends, scales, beta1, one_minus_beta1, beta2, one_minus_beta2, eps, decay, keep, part, parts
):
    """Update the elements of one part, counting the elements of all parameters in a row.

    places (n, 4)   the addresses of p, g, m, v of each parameter;   ends (n,) where its elements end
    scales (n, 2)   its correction2 and rate
    """
    start, stop, first = ends[-1] * part // parts, ends[-1] * (part + 1) // parts, 0
    for i in range(len(ends)):
        low, high, size = max(start, first) - first, min(stop, ends[i]) - first, ends[i] - first
        if low < high:
            adam_loop(
                carray(_pointer(places[i, 0]), size, scales.dtype)[low:high],
                carray(_pointer(places[i, 1]), size, scales.dtype)[low:high],
                carray(_pointer(places[i, 2]), size, scales.dtype)[low:high],
                carray(_pointer(places[i, 3]), size, scales.dtype)[low:high],
                *(beta1, one_minus_beta1, beta2, one_minus_beta2, eps, decay, keep),
                *(scales[i, 0], scales[i, 1]),
            )
        first = ends[i]


@njit(cache=True, parallel=True, error_model="numpy")
def adam_in_parts(
    places, ends, scales, beta1, one_minus_beta1, beta2, one_minus_beta2, eps, decay, keep, parts
):
    """Each part on its own thread"""
    for part in prange(parts):
        adam_part(
            *(places, ends, scales, beta1, one_minus_beta1, beta2, one_minus_beta2, eps, decay, keep),
            *(part, parts),
        )
