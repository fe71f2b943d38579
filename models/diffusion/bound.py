"""A diffusion model's upper bound on -log p(x_0), term by term.  Ho et al. 2020, arXiv 2006.11239, eq. 5 and 13.

-log p(x_0) <= KL(q(x_T | x_0) || p(x_T))                                             prior_kl
               + sum over t > 1 of KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t))      what the steps lose
               - log p(x_0 | x_1)                                                     reconstruction
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tinygen import no_grad, tensor, where
from tinygen.metrics import bits_per_dim, mean_and_error
from tinygen.models.diffusion.schedule import NoiseSchedule
from tinygen.models.shared.images import signed
from tinygen.random import Generator
from tinygen.run.progress import progress

TERMS = 4  # steps of the bound that are evaluated for each image
TEST_SEED = 0  # seed of their noise


@no_grad()
def estimate(term_of: Callable, schedule: NoiseSchedule, images: np.ndarray, device, rows: int) -> dict:
    """The bound for images (N, C, H, W) uint8, in bits per dimension, with its standard error and its three parts.

    term_of(x0, t, noise) -> (N,), the term of step t (N,).  For each image it is evaluated at TERMS of the T - 1 steps,
    equally spaced from a random start, which is an unbiased estimate of their sum.
    """
    steps, reconstruction, square = [], [], 0.0

    def terms(x0, t, purpose, start):
        noise = tensor(Generator(TEST_SEED).at(purpose, start, device).normal(x0.shape))
        return term_of(x0, t, noise).cpu().numpy()

    for start in progress(range(0, len(images), rows), "bound"):
        x0 = tensor(signed(images[start : start + rows]), device=device)
        square += x0.square().sum().item()
        reconstruction.append(terms(x0, np.ones(len(x0), int), "bound-1", start))
        first, sums = Generator(TEST_SEED).at("bound-t", start).uniform(len(x0), np.float64), 0.0
        for i in range(TERMS):
            t = 2 + np.floor((first + i) / TERMS * (schedule.T - 1)).astype(int)
            sums = sums + terms(x0, t, f"bound-step-{i}", start)
        steps.append(sums * (schedule.T - 1) / TERMS)
    steps, reconstruction = np.concatenate(steps), np.concatenate(reconstruction)
    prior_kl = float(schedule.prior_kl(square / images.size)[-1])
    mean, error = mean_and_error(prior_kl + steps + reconstruction)
    return {
        "bits_per_dim": mean,
        "bits_per_dim_se": error,
        "prior_kl": prior_kl,
        "steps_bits": float(steps.mean()),
        "reconstruction_bits": float(reconstruction.mean()),
        "bound_images": len(images),
    }


def term(x0, true_mean, true_log_variance, mean, log_variance, is_first):
    """One term of the sum for each image, in bits per dimension: the reconstruction at t = 1, else the KL of step t.

    x0 (N, C, H, W) in [-1, 1]; means and log variances of x_{t-1}, shaped like x0 or (N, 1, 1, 1);
    is_first (N, 1, 1, 1) bool: where t is 1 -> (N,)
    """
    kl = gaussian_kl(true_mean, true_log_variance, mean, log_variance)
    reconstruction = -discretized_log_likelihood(x0, mean, log_variance)
    nats = where(is_first, reconstruction, kl)
    return bits_per_dim(nats.sum((1, 2, 3)), nats[0].numel())


def gaussian_kl(mean, log_variance, other_mean, other_log_variance):
    """KL(N(mean, exp(log_variance)) || N(other_mean, exp(other_log_variance))) in every dimension, in nats."""
    ratio, gap = log_variance - other_log_variance, mean - other_mean
    return 0.5 * (ratio.exp() - ratio - 1 + gap.square() * (-other_log_variance).exp())


def discretized_log_likelihood(x0, mean, log_variance):
    """The log of the mass of N(mean, exp(log_variance)) within 1/255 of a pixel with 256 values (eq. 13), in nats.

    The darkest and the brightest value also get all mass beyond them, so the 256 masses add up to 1.
    """
    scale = (-0.5 * log_variance).exp()
    below = normal_cdf((x0 - 1 / 255 - mean) * scale)
    above = normal_cdf((x0 + 1 / 255 - mean) * scale)
    below = where(x0 < -0.999, below * 0, below)
    above = where(x0 > 0.999, above * 0 + 1, above)
    return (above - below).clamp(min=1e-12).log()


def normal_cdf(x):
    """The mass of N(0, 1) below x."""
    return 0.5 * (1 + (x / math.sqrt(2)).erf())
