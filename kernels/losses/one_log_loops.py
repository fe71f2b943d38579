"""The compiled loop of `one_log.py`.  Importing this file imports numba (0.5 s)."""

import numpy as np

from tinygen.kernels.runtime.njit import njit

FACTORS = 512  # factors in [1, 2] that are multiplied before a logarithm: float64 holds far more than 2^512


@njit(cache=True, fastmath={"contract", "reassoc", "nsz"}, error_model="numpy")
def bernoulli_rows(x, logits, decay):
    """x (N, D), logits and decay = exp(-|logits|) (N, S, D) -> (N, S) float64"""
    images, samples, pixels = logits.shape
    out = np.empty((images, samples))
    for n in range(images):
        for s in range(samples):
            log_partition = 0.0
            for start in range(0, pixels, FACTORS):
                product, linear = 1.0, 0.0
                for d in range(start, min(start + FACTORS, pixels)):
                    product *= 1.0 + np.float64(decay[n, s, d])
                    linear += np.float64(x[n, d] * logits[n, s, d] - max(logits[n, s, d], np.float32(0)))
                log_partition += np.log(product) - linear
            out[n, s] = -log_partition
    return out
