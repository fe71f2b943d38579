"""The forward process, x_0 to x_t, and the three things that a network can predict of x_t."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinygen import tensor


def noised(x0, noise, alpha_bar):
    """A sample of q(x_t | x_0): x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) noise.  Ho et al. 2020, eq. 4.

    x0, noise (N, C, H, W); alpha_bar of the level: (N,) float64 or one number
    """
    return each(np.sqrt(alpha_bar), x0) * x0 + each(np.sqrt(1 - alpha_bar), x0) * noise


def target(kind: str, x0, noise, alpha_bar):
    """What the network should predict: eps the noise, x0 the image, v = sqrt(ᾱ) noise - sqrt(1 - ᾱ) x_0.

    v: Salimans & Ho 2022, arXiv 2202.00512, section 4 and appendix D.
    """
    if kind == "eps":
        return noise
    if kind == "x0":
        return x0
    return each(np.sqrt(alpha_bar), x0) * noise - each(np.sqrt(1 - alpha_bar), x0) * x0


def image_in(kind: str, output, x, alpha_bar):
    """The x_0 that a network's output for x_t implies."""
    signal, noise = each(np.sqrt(alpha_bar), x), each(np.sqrt(1 - alpha_bar), x)
    if kind == "eps":
        return (x - noise * output) / signal
    return output if kind == "x0" else signal * x - noise * output


def each(values, like):
    """One number, or one per image, as a Tensor to multiply images with.  (N,) or () -> (N or 1, 1, 1, 1)"""
    return tensor(np.asarray(values).reshape(-1, 1, 1, 1), dtype=like.dtype, device=like.device)


@dataclass(frozen=True)
class Prediction:
    """What a network's output says about x_t: its image, its noise, and (learned variance) how sure x_{t-1} is.

    x_t = sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) noise
    """

    x0: object  # (N, C, H, W)
    noise: object  # (N, C, H, W)
    mix: object = None  # (N, C, H, W), about 0 to 1: the log variance between the smallest and the largest


def predicted(config, output, x, alpha_bar, clip: bool) -> Prediction:
    """Image, noise and variance of x_t from the network's output; if the image is clipped, the noise follows it."""
    output, mix = output.chunk(2, 1) if config.variance == "learned" else (output, None)
    x0 = image_in(config.predict, output, x, alpha_bar)
    if clip:
        x0 = x0.clamp(-1, 1)
    noise = (x - each(np.sqrt(alpha_bar), x) * x0) / each(np.sqrt(1 - alpha_bar), x)
    return Prediction(x0, noise, None if mix is None else (mix + 1) / 2)
