"""Log-likelihoods of many samples at once, for evaluation: no gradient goes through here."""

from __future__ import annotations

from tinygen.kernels.runtime.dispatch import Kernel, array_module

bernoulli_log_likelihood = Kernel("bernoulli_log_likelihood")


@bernoulli_log_likelihood.reference
def bernoulli_reference(x, logits):
    """log p(x) = sum over d of x_d l_d - log(1 + exp(l_d)).  x (N, D) of 0 and 1, logits (N, S, D) -> (N, S)"""
    xp = array_module(x)
    softplus = xp.maximum(logits, 0) + xp.log1p(xp.exp(-xp.abs(logits)))
    return (x[:, None, :] * logits - softplus).sum(axis=2, dtype="float64")


def _usable(x, logits):
    return x.flags.c_contiguous and logits.flags.c_contiguous and x.dtype == logits.dtype


@bernoulli_log_likelihood.variant("one_log", usable=_usable)
def bernoulli_one_log(x, logits):
    """The same with one logarithm a row: sum of log(1 + e^-|l|) is the log of a product of factors in [1, 2].

    784 such factors stay below 2^784, which float64 holds.  Only the exponential is left for every element, and
    NumPy has it vectorised; the compiled loop does the rest in one pass.
    """
    import numpy as np

    from tinygen.kernels.losses.likelihood_loops import bernoulli_rows

    decay = np.abs(logits)
    np.negative(decay, out=decay)
    np.exp(decay, out=decay)
    return bernoulli_rows(x, logits, decay)
