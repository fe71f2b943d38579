"""The Bernoulli log-likelihood with one logarithm per row."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.losses.reference import bernoulli_log_likelihood


def _usable(x, logits) -> bool:
    return x.flags.c_contiguous and logits.flags.c_contiguous and x.dtype == logits.dtype


@bernoulli_log_likelihood.variant("one_log", usable=_usable)
def bernoulli_log_likelihood_one_log(x, logits):
    """One logarithm per row: the sum of log(1 + e^-|l|) is the logarithm of a product of factors in [1, 2].

    784 such factors stay below 2^784, which float64 can hold.  Only the exponential is left for every element, which
    NumPy vectorizes; the compiled loop does the rest in one pass.
    """
    from tinygen.kernels.losses.one_log_loops import bernoulli_rows

    decay = np.abs(logits)
    np.negative(decay, out=decay)
    np.exp(decay, out=decay)
    return bernoulli_rows(x, logits, decay)
