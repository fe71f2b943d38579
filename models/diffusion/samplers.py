"""From noise to images: the samplers of diffusion models, all in one loop over less and less noisy levels.

    x = noise;  for s, x, x0 in denoise(predict, x, levels(T, 50), ddim(schedule)): ...        the last x is the image

`predict(x_t, t)` is a network's answer as a Prediction (forward.py); a rule turns it into x_s, s < t.  Nothing here
depends on the network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from tinygen import cat, full
from tinygen.models.diffusion.schedule import NoiseSchedule
from tinygen.run.flags import Checked, FlagError


@dataclass(frozen=True)
class Sampling(Checked):
    """How images are drawn from a trained network: the sampler flags of `tinygen sample` and `tinygen eval`."""

    sampler: Literal["ancestral", "ddim", "dpm-solver++"] = "ddim"  # sampling method
    sampling_steps: int | None = None  # steps from noise to image: by default all T for ancestral, else 50
    eta: float = 0.0  # noise added in the steps of ddim, from 0, none, to 1, as much as in ancestral
    guidance: float = 1.0  # weight of the label: 0 ignores it, 1 is the conditional network, more exaggerates
    clip: bool = True  # clip the predicted image to [-1, 1]
    weights: Literal["ema", "raw"] = "ema"  # use the averaged parameters, or those of the last step


def visited(sampling: Sampling, schedule: NoiseSchedule) -> np.ndarray:
    """The levels that a user's sampler visits, from T to 0."""
    steps = sampling.sampling_steps
    if steps is None:
        steps = schedule.T if sampling.sampler == "ancestral" else min(50, schedule.T)
    return levels(schedule.T, steps)


def levels(T: int, steps: int) -> np.ndarray:
    """The levels that a sampler visits, from exactly T down to 0: T · i / steps, rounded.  -> (steps + 1,)"""
    if not 1 <= steps <= T:
        raise FlagError(
            f"--sampling-steps: found {steps}, expected 1 to the {T} noise levels of the training"
        )
    return np.rint(np.linspace(T, 0, steps + 1)).astype(int)


def denoise(
    predict: Callable, x, visited: np.ndarray, rule: Callable, fix: Callable | None = None
) -> Iterator:
    """Apply a rule from x_T on along `visited`; yields (s, x_s, the x_0 it was computed from) after each step.

    rule(x_t, prediction, t, s) -> x_s;  fix(x_s, s) -> x_s, which restores the known part of the image (inpainting)
    """
    for t, s in pairwise(visited.tolist()):
        prediction = predict(x, t)
        x = rule(x, prediction, t, s)
        if fix is not None:
            x = fix(x, s)
        yield s, x, prediction.x0


# Rules


def ancestral(schedule: NoiseSchedule, noise: Callable, variance: str = "large") -> Callable:
    """x_s ~ N(posterior mean with the predicted x_0, variance); the last step adds no noise.  Ho et al. 2020, alg. 2.

    noise(t): standard normals like x;  variance  small: the posterior's, large: beta, learned: between the two
    """

    def rule(x, prediction, t, s):
        q = schedule.posterior(t, s)
        mean = float(q.from_x0) * prediction.x0 + float(q.from_xt) * x
        if s == 0:
            return mean
        fixed, learned = map(float, schedule.log_variance(variance, t, s))
        if variance == "learned":
            return mean + (0.5 * (fixed + learned * prediction.mix)).exp() * noise(t)
        return mean + math.exp(0.5 * fixed) * noise(t)

    return rule


def ddim(schedule: NoiseSchedule, eta: float = 0.0, noise: Callable | None = None) -> Callable:
    """x_s = sqrt(ᾱ_s) x_0 + sqrt(1 - ᾱ_s - sigma²) predicted noise + sigma new noise.  Song et al. 2020, eq. 12.

    arXiv 2010.02502.  sigma² is eta² times the posterior's variance (eq. 16).  With eta 0 nothing is drawn and x_T
    determines the image; eta 1 is `ancestral` with the small variance.
    """
    if not 0 <= eta <= 1:
        raise FlagError(
            f"--eta: found {eta:g}, expected 0 (no new noise) to 1 (as much as in ancestral sampling)"
        )

    def rule(x, prediction, t, s):
        kept, variance = schedule.alpha_bar[s], eta**2 * schedule.posterior(t, s).variance
        x = float(np.sqrt(kept)) * prediction.x0 + float(np.sqrt(1 - kept - variance)) * prediction.noise
        return x + float(np.sqrt(variance)) * noise(t) if variance > 0 else x

    return rule


def dpm_solver(schedule: NoiseSchedule) -> Callable:
    """DPM-Solver++(2M): extrapolate the last two predicted x_0 linearly.  Lu et al. 2022, arXiv 2211.01095, alg. 2.

    In lambda = log(sqrt(ᾱ) / sqrt(1 - ᾱ)), with h = lambda_s - lambda_t and r = previous h / h:

        x_s = sigma_s / sigma_t x_t + sqrt(ᾱ_s) (1 - exp(-h)) D,    D = x_0 + (x_0 - previous x_0) / 2 r

    The first step has no previous x_0; the last, to lambda = inf, returns the predicted x_0.  The rule has a memory:
    make a new one for each batch.
    """
    before = None  # x_0 and h of the previous step

    def rule(x, prediction, t, s):
        nonlocal before
        if s == 0:
            return prediction.x0
        signal, noise = np.sqrt(schedule.alpha_bar), np.sqrt(1 - schedule.alpha_bar)
        h = np.log(signal[s] / noise[s]) - np.log(signal[t] / noise[t])
        d = prediction.x0
        if before is not None:
            d = d + float(h / before[1] / 2) * (d - before[0])
        before = prediction.x0, h
        return float(noise[s] / noise[t]) * x + float(-signal[s] * np.expm1(-h)) * d

    return rule


def rule_of(sampling: Sampling, schedule: NoiseSchedule, noise: Callable, variance: str) -> Callable:
    """The rule that a user's sampler flags name."""
    if sampling.eta and sampling.sampler != "ddim":
        raise FlagError(f"--eta: only --sampler ddim has it, not {sampling.sampler}")
    if sampling.sampler == "ancestral":
        return ancestral(schedule, noise, variance)
    if sampling.sampler == "ddim":
        return ddim(schedule, sampling.eta, noise)
    return dpm_solver(schedule)


# Uses


def guided(net, x, t, label, guidance: float, nothing: int):
    """Classifier-free guidance: output without label + guidance · (with - without).  Ho & Salimans 2022.

    arXiv 2207.12598.  guidance 1 is the conditional network, 0 the unconditional one; the paper's w is guidance - 1.
    nothing: the label for "no class".  A learned variance (the channels after those of x) is not extrapolated: it is
    the variance with the label, or, at guidance 0, without.
    """
    if label is None or guidance == 1:
        return net(x, t, label)
    none = full((len(x),), nothing, dtype=label.dtype, device=x.device)
    if guidance == 0:
        return net(x, t, none)
    told, untold = net(cat([x, x]), cat([t, t]), cat([label, none])).chunk(2)
    channels = x.shape[1]
    said = untold[:, :channels] + guidance * (told - untold)[:, :channels]
    return said if told.shape[1] == channels else cat([said, told[:, channels:]], 1)


def encode(predict: Callable, x, visited: np.ndarray, schedule: NoiseSchedule) -> Iterator:
    """DDIM backwards, from images to the noise that they emerge from (section 4.3): yields (s, x_s) with increasing s.

    visited: 0 ... T.  In a clean image, the noise is what the network predicts at t = 1.
    """
    for t, s in pairwise(visited.tolist()):
        noise = predict(x, max(t, 1)).noise
        x0 = (x - float(np.sqrt(1 - schedule.alpha_bar[t])) * noise) / float(np.sqrt(schedule.alpha_bar[t]))
        kept = schedule.alpha_bar[s]
        x = float(np.sqrt(kept)) * x0 + float(np.sqrt(1 - kept)) * noise
        yield s, x


def known_part(x0, mask, schedule: NoiseSchedule, noise: Callable) -> Callable:
    """A `fix` that restores the known part of an image, as noisy as the rest.  Song et al. 2020, arXiv 2011.13456, I.2.

    An approximation: the known part is as noisy as x_s, but is drawn without regard to the rest of x_s.
    x0 (N, C, H, W) in [-1, 1]; mask like x0, 1 where known; noise(s): standard normals like x0
    """

    def fix(x, s):
        kept = schedule.alpha_bar[s]
        known = float(np.sqrt(kept)) * x0
        if s > 0:
            known = known + float(np.sqrt(1 - kept)) * noise(s)
        return mask * known + (1 - mask) * x

    return fix
