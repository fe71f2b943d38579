"""How fast noise covers an image: the schedules of diffusion models, and what follows from them.

A schedule is a list of beta_t, the variance of the noise that is added at level t = 1 ... T.  Every table here has
T + 1 entries, and index 0 is the clean image (beta_0 = 0, alpha_bar_0 = 1), so that formulas read as in the papers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tinygen.metrics import bits_per_dim
from tinygen.run.flags import FlagError

MOST = 0.999  # largest beta computed from alpha_bar; the last one would be 1


def linear(T: int) -> np.ndarray:
    """beta from 1e-4 to 0.02, times 1000 / T.  Ho et al. 2020, section 4, for T = 1000.  -> (T,)"""
    last = 0.02 * 1000 / T
    if last >= 1:
        raise FlagError(
            f"--schedule linear: beta_T = 0.02 · 1000 / {T} = {last:g}, expected less than 1: --noise-levels 21 or more"
        )
    return np.linspace(1e-4 * 1000 / T, last, T)


def cosine(T: int, s: float = 0.008) -> np.ndarray:
    """alpha_bar_t = f(t) / f(0), f(t) = cos²((t/T + s) / (1 + s) · pi/2).  Nichol & Dhariwal 2021, eq. 17.  -> (T,)"""
    t = np.arange(T + 1) / T
    return betas_of(np.cos((t + s) / (1 + s) * math.pi / 2) ** 2)


def sigmoid(T: int, start: float = -3, end: float = 3, tau: float = 1) -> np.ndarray:
    """alpha_bar_t = (S(end) - S(start + (end - start) t/T)) / (S(end) - S(start)), S(x) = 1 / (1 + exp(-x / tau)).

    Jabri et al. 2022, arXiv 2212.11972, algorithm 5.  -> (T,)
    """
    S = 1 / (1 + np.exp(-np.linspace(start, end, T + 1) / tau))
    return betas_of(S[-1] - S)


def betas_of(f: np.ndarray) -> np.ndarray:
    """beta_t = 1 - alpha_bar_t / alpha_bar_{t-1}, at most MOST.  f (T + 1,), proportional to alpha_bar -> (T,)"""
    return np.minimum(1 - f[1:] / f[:-1], MOST)


SCHEDULES = {"linear": linear, "cosine": cosine, "sigmoid": sigmoid}


@dataclass(frozen=True)
class Posterior:
    """q(x_s | x_t, x_0) = N(from_x0 x_0 + from_xt x_t, variance), s < t; `beta` is the variance of q(x_t | x_s)."""

    from_x0: np.ndarray
    from_xt: np.ndarray
    variance: np.ndarray
    beta: np.ndarray


class NoiseSchedule:
    """The tables of a schedule, float64 (T + 1,).   NoiseSchedule(cosine(1000)).alpha_bar[500]"""

    def __init__(self, beta: np.ndarray) -> None:
        beta = np.asarray(beta, np.float64)
        self.T = len(beta)
        if self.T < 2 or not ((beta > 0) & (beta < 1)).all():
            raise FlagError(
                f"noise schedule: found {self.T} levels with beta from {beta.min(initial=1):.3g} to "
                f"{beta.max(initial=0):.3g}, expected 2 or more, each above 0 and below 1"
            )
        self.beta = np.concatenate([[0.0], beta])
        self.alpha_bar = np.cumprod(1 - self.beta)
        self.on_gpu: dict = {}  # tables that are there already, see forward.At

    @cached_property
    def snr(self) -> np.ndarray:
        """The signal-to-noise ratio of x_t, alpha_bar_t / (1 - alpha_bar_t); inf at t = 0."""
        with np.errstate(divide="ignore"):
            return self.alpha_bar / (1 - self.alpha_bar)

    def posterior(self, t, s=None) -> Posterior:
        """The distribution of x_s given x_t and x_0: eq. 6 and 7 of Ho et al., where s is t - 1.

        For any s < t: with alpha = alpha_bar_t / alpha_bar_s, one step of beta = 1 - alpha leads from s to t, so
        samplers that skip levels need no other formula.  t, s: numbers or arrays.
        """
        t = np.asarray(t)
        s = t - 1 if s is None else np.asarray(s)
        here, there = self.alpha_bar[t], self.alpha_bar[s]
        alpha = here / there
        return Posterior(
            from_x0=np.sqrt(there) * (1 - alpha) / (1 - here),
            from_xt=np.sqrt(alpha) * (1 - there) / (1 - here),
            variance=(1 - there) / (1 - here) * (1 - alpha),
            beta=1 - alpha,
        )

    def log_variance(self, kind: str, t, s=None) -> tuple[np.ndarray, np.ndarray]:
        """The log variance of a reverse step from t to s, as two parts: first + mix · second, where a network says mix.

        kind  small: the posterior's, right if x_0 is a single image;  large: beta, right if x_0 is noise (Ho et al.,
        section 3.2);  learned: from small at mix 0 to large at mix 1 (Nichol & Dhariwal 2021, eq. 15).
        The posterior's variance is 0 at s = 0: there, small and large use that of t = 2, as in Ho et al.'s code.
        """
        t = np.asarray(t)
        s = t - 1 if s is None else np.asarray(s)
        small = np.log(self.posterior(np.where(s > 0, t, 2), np.where(s > 0, s, 1)).variance)
        large = np.log(self.posterior(t, s).beta)
        if kind == "learned":
            return small, large - small
        return np.where((s > 0) & (kind == "large"), large, small), np.zeros(t.shape)

    def prior_kl(self, mean_square: float) -> np.ndarray:
        """KL(q(x_t | x_0) || N(0, 1)) in bits per dimension, for images with E x_0² = mean_square; at T the bound's."""
        noise = 1 - self.alpha_bar[1:]
        nats = 0.5 * (noise + self.alpha_bar[1:] * mean_square - 1 - np.log(noise))
        return np.concatenate([[math.inf], bits_per_dim(nats, 1)])


def picture(schedule: NoiseSchedule, mean_square: float) -> bytes:
    """A schedule over t as a PNG: beta, posterior variance, their ratio, alpha_bar, SNR and prior KL."""
    from tinygen.run import pictures

    t = np.arange(1, schedule.T + 1)
    beta, posterior = schedule.beta[1:], schedule.posterior(t).variance
    positive = np.where(posterior > 0, posterior, np.nan)  # it is 0 at t = 1
    panels = {
        "β_t: variance of q(x_t | x_{t-1})": ("β", beta),
        "variance of the posterior q(x_{t-1} | x_t, x_0)": ("variance", positive),
        "the posterior's variance relative to β_t": ("variance / β", posterior / beta),
        "ᾱ_t: what is left of the image": ("ᾱ", schedule.alpha_bar[1:]),
        "signal-to-noise ratio": ("ᾱ / (1 - ᾱ)", schedule.snr[1:]),
        "KL(q(x_t | x_0) ‖ N(0, 1))": ("bits per dimension", schedule.prior_kl(mean_square)[1:]),
    }
    return pictures.panels(t, panels, "level t", logarithmic={0, 1, 4, 5})
