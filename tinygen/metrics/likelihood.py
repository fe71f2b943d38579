"""Likelihood by importance sampling  (Burda et al. 2015, arXiv 1509.00519, eq. 8; Rezende et al. 2014, appendix E)."""

from __future__ import annotations

import math

import numpy as np


def log_mean_exp(log_weights: np.ndarray) -> np.ndarray:
    """The log of the mean weight of each row, without overflow.  (N, k) -> (N,) float64"""
    log_weights = np.asarray(log_weights, np.float64)
    largest = log_weights.max(axis=1, keepdims=True)
    return (largest + np.log(np.exp(log_weights - largest).mean(axis=1, keepdims=True)))[:, 0]


def importance_sampled_nll(log_weights: np.ndarray) -> np.ndarray:
    """-log p(x) estimated with k samples z_i from q(z|x): -log 1/k sum_i p(x, z_i) / q(z_i|x), in nats.

    log_weights: log p(x, z_i) - log q(z_i | x)  (N, k) -> (N,).  An upper bound on average, falling with k; k = 1
    is the negative ELBO.
    """
    return -log_mean_exp(log_weights)


def bits_per_dim(nats, dimensions: int):
    """-log p of an image in nats, as bits per number: a uniform distribution over 8-bit pixels has 8.

    For pixels with 256 values.  For a density of pixels / 256 in [0, 1), add the 8 bits that the scaling removed.
    """
    return nats / (dimensions * math.log(2))


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """The mean over images and its standard error.  (N,) -> two numbers"""
    values = np.asarray(values, np.float64)
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return float(values.mean()), float(error)
