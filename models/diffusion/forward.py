"""The forward process, x_0 to x_t, and the three things that a network can predict of x_t.

Numbers of a noise schedule are NumPy's, one for each image.  For a training step on a GPU they are tables of all
levels, among which `at` chooses there: then nothing is copied from the host in a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tinygen import Tensor, gather, tensor


class At(NamedTuple):
    """The levels t (N,) of a batch on a GPU, and the tables of their schedule that are there already, by content."""

    t: Tensor
    tables: dict

    def __call__(self, table: np.ndarray, like):
        """What a table says of each image, in the dtype of `like`.  (T + 1,) -> (N, 1, 1, 1)"""
        key = table.tobytes(), like.dtype
        if key not in self.tables:
            self.tables[key] = tensor(table, dtype=like.dtype, device=like.device)
        return gather(self.tables[key], 0, self.t).reshape(-1, 1, 1, 1)


def levels_of(t, schedule) -> tuple:
    """The levels that are asked for, t (N,), and None; if t is on a GPU all levels, and `At` to choose among them."""
    if isinstance(t, Tensor) and t.is_cuda:
        return np.arange(schedule.T + 1), At(t, schedule.on_gpu)
    return (t.numpy() if isinstance(t, Tensor) else t), None


def noised(x0, noise, alpha_bar, at=None):
    """A sample of q(x_t | x_0): x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) noise.  Ho et al. 2020, eq. 4.

    x0, noise (N, C, H, W); alpha_bar of the level: (N,) float64 or one number
    """
    return each(np.sqrt(alpha_bar), x0, at) * x0 + each(np.sqrt(1 - alpha_bar), x0, at) * noise


def target(kind: str, x0, noise, alpha_bar, at=None):
    """What the network should predict: eps the noise, x0 the image, v = sqrt(ᾱ) noise - sqrt(1 - ᾱ) x_0.

    v: Salimans & Ho 2022, arXiv 2202.00512, section 4 and appendix D.
    """
    if kind == "eps":
        return noise
    if kind == "x0":
        return x0
    return each(np.sqrt(alpha_bar), x0, at) * noise - each(np.sqrt(1 - alpha_bar), x0, at) * x0


def image_in(kind: str, output, x, alpha_bar, at=None):
    """The x_0 that a network's output for x_t implies."""
    signal, noise = each(np.sqrt(alpha_bar), x, at), each(np.sqrt(1 - alpha_bar), x, at)
    if kind == "eps":
        return (x - noise * output) / signal
    return output if kind == "x0" else signal * x - noise * output


def each(values, like, at=None):
    """One number, or one per image, as a Tensor to multiply images with.  (N,) or () -> (N or 1, 1, 1, 1)

    at: chooses for each image, if `values` (T + 1,) are a table
    """
    if at is not None:
        return at(values, like)
    return tensor(np.asarray(values).reshape(-1, 1, 1, 1), dtype=like.dtype, device=like.device)


@dataclass(frozen=True)
class Prediction:
    """What a network's output says about x_t: its image, its noise, and (learned variance) how sure x_{t-1} is.

    x_t = sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) noise
    """

    x0: object  # (N, C, H, W)
    noise: object  # (N, C, H, W)
    mix: object = None  # (N, C, H, W), about 0 to 1: the log variance between the smallest and the largest


def predicted(config, output, x, alpha_bar, clip: bool, at=None) -> Prediction:
    """Image, noise and variance of x_t from the network's output; if the image is clipped, the noise follows it."""
    output, mix = output.chunk(2, 1) if config.variance == "learned" else (output, None)
    x0 = image_in(config.predict, output, x, alpha_bar, at)
    if clip:
        x0 = x0.clamp(-1, 1)
    noise = (x - each(np.sqrt(alpha_bar), x, at) * x0) / each(np.sqrt(1 - alpha_bar), x, at)
    return Prediction(x0, noise, None if mix is None else (mix + 1) / 2)
