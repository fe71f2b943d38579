"""The forward process, x_0 to x_t, and the three things that a network can predict of x_t.

Numbers of a noise schedule are NumPy's, one for each image.  For a training step on a GPU they are tables of all
levels, among which the GPU chooses: then nothing is copied from the host in a step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinygen import Tensor, gather, tensor


class Chosen(np.lib.mixins.NDArrayOperatorsMixin):
    """A table of all levels and the levels t (N,) of a batch on a GPU: NumPy computes with the table, the GPU chooses.

    Where each image's numbers would be an array (N,), this may stand.
    """

    def __init__(self, table: np.ndarray, t: Tensor, kept: dict) -> None:
        self.table, self.t, self.kept = (
            table,
            t,
            kept,
        )  # kept: the tables that are on the GPU already, by content

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        if method != "__call__":
            return NotImplemented
        tables = [x.table if isinstance(x, Chosen) else x for x in inputs]
        return Chosen(ufunc(*tables, **options), self.t, self.kept)

    def beside(self, like):
        """The numbers of each image as a Tensor of the dtype of `like`.  -> (N,)"""
        key = self.table.tobytes(), like.dtype
        if key not in self.kept:
            self.kept[key] = tensor(self.table, dtype=like.dtype, device=like.device)
        return gather(self.kept[key], 0, self.t)


def levels_of(t, schedule) -> tuple:
    """The levels of which tables are needed, and what turns these into numbers for each image: nothing, or `Chosen`."""
    if isinstance(t, Tensor) and t.is_cuda:
        return np.arange(schedule.T + 1), lambda table: Chosen(table, t, schedule.on_gpu)
    return (t.numpy() if isinstance(t, Tensor) else t), lambda numbers: numbers


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
    if isinstance(values, Chosen):
        return values.beside(like).reshape(-1, 1, 1, 1)
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
