"""The compiled loop behind `adam`; imported on first use, because importing numba takes a moment."""

import numpy as np

from tinygen.kernels.compiled import njit


@njit(cache=True, fastmath={"contract", "arcp", "nsz"}, error_model="numpy")
def adam_loop(
    p, g, m, v, beta1, one_minus_beta1, beta2, one_minus_beta2, correction2, eps, rate, decay, keep
):
    """p, g, m, v (n,) and scalars of p's dtype; see `adam_reference`."""
    for i in range(p.size):
        gi = g[i] + decay * p[i]
        mi = beta1 * m[i] + one_minus_beta1 * gi
        vi = beta2 * v[i] + one_minus_beta2 * (gi * gi)
        m[i], v[i] = mi, vi
        p[i] = keep * p[i] - rate * (mi / (np.sqrt(vi) * correction2 + eps))
