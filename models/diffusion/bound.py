"""The bound on -log p(x_0) that a diffusion model has, term by term.  Ho et al. 2020, arXiv 2006.11239, eq. 5 and 13.

-log p(x_0) <= KL(q(x_T | x_0) || p(x_T))                                             prior_kl
               + sum over t > 1 of KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t))      what the steps lose
               - log p(x_0 | x_1)                                                     reconstruction
"""

from __future__ import annotations

import math

from tinygen import where
from tinygen.metrics import bits_per_dim


def term(x0, true_mean, true_log_variance, mean, log_variance, is_first):
    """One term of the sum for each image, in bits a dimension: the reconstruction where t is 1, else the KL of step t.

    x0 in [-1, 1], all means and log variances of x_{t-1} like it or (N, 1, 1, 1); is_first (N, 1, 1, 1) bool -> (N,)
    """
    kl = gaussian_kl(true_mean, true_log_variance, mean, log_variance)
    reconstruction = -discretized_log_likelihood(x0, mean, log_variance)
    nats = where(is_first, reconstruction, kl)
    return bits_per_dim(nats.sum((1, 2, 3)), nats[0].numel())


def gaussian_kl(mean, log_variance, other_mean, other_log_variance):
    """KL(N(mean, exp(log_variance)) || N(other_mean, exp(other_log_variance))) of every dimension, in nats."""
    ratio, gap = log_variance - other_log_variance, mean - other_mean
    return 0.5 * (ratio.exp() - ratio - 1 + gap.square() * (-other_log_variance).exp())


def discretized_log_likelihood(x0, mean, log_variance):
    """log of the mass that N(mean, exp(log_variance)) has within 1/255 of a pixel of 256 values (eq. 13), in nats.

    The darkest and the brightest value have all that lies beyond, so the 256 masses add up to 1.
    """
    scale = (-0.5 * log_variance).exp()
    below = normal_cdf((x0 - 1 / 255 - mean) * scale)
    above = normal_cdf((x0 + 1 / 255 - mean) * scale)
    below = where(x0 < -0.999, below * 0, below)
    above = where(x0 > 0.999, above * 0 + 1, above)
    return (above - below).clamp(min=1e-12).log()


def normal_cdf(x):
    """The share of N(0, 1) below x."""
    return 0.5 * (1 + (x / math.sqrt(2)).erf())
