"""Images from a trained generator: averaged weights, BatchNorm statistics that fit them, and the space of its noise."""

from __future__ import annotations

import contextlib
import copy

import numpy as np

from tinygen import nn, no_grad, optim, random, tensor
from tinygen.models.latent.space import LatentSpace
from tinygen.models.shared.networks import device_of
from tinygen.run.progress import progress


def averaged(generator, ema, classes: int | None = None):
    """A copy of the generator with averaged weights, and with BatchNorm statistics that belong to these weights.

    The running statistics describe the activations of the raw weights, and an average of statistics fits no network.
    """
    with ema.applied() if ema.decay else contextlib.nullcontext():
        return settled(generator, classes)


@no_grad()
def settled(generator, classes: int | None = None):
    """A copy of the generator in eval mode; BatchNorm's statistics are measured anew, on 8 batches of 512 noises."""
    net = copy.deepcopy(generator).train()
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
    for i in range(8 if norms else 0):
        n, device = 512, device_of(net)
        z = tensor(random.Generator(0).at("statistics", i, device).normal((n, net.latent)))
        labels = [tensor(np.arange(n) % classes, device=device)] if classes else []
        net(z, *labels)
    return net.eval()


def trained_generator(run, generator, classes: int | None = None):
    """The generator that draws a run's images, loaded from its checkpoint."""
    generator = generator.to(run.device)
    ema = optim.EMA(generator, run.config.ema)
    run.load(generator=generator, ema=ema)
    return averaged(generator, ema, classes)


def drawn(net, n: int, seed: int, labels: np.ndarray | None = None, rows: int = 500) -> np.ndarray:
    """n images of z ~ N(0, 1), `rows` at a time.  labels (n,) or None -> (n, H, W), or (n, 3, H, W), in [0, 1]"""
    return decoded(net, random.Generator(seed).at("sample").normal((n, net.latent)), labels, rows)


@no_grad()
def decoded(net, z: np.ndarray, labels: np.ndarray | None = None, rows: int = 500) -> np.ndarray:
    """The images of latents.  z (n, latent) -> (n, H, W), or (n, 3, H, W), in [0, 1]"""
    parts = []
    for start in progress(range(0, len(z), rows), "drawing"):
        given = [a[start : start + rows] for a in (z, labels) if a is not None]
        parts.append(net(*(tensor(a, device=device_of(net)) for a in given)).cpu().numpy())
    images = (np.concatenate(parts) + 1) / 2
    return images[:, 0] if images.shape[1] == 1 else images


def noise_space(run, generator) -> LatentSpace:
    """The noise of a run's generator as a space to explore."""
    net = trained_generator(run, generator)

    def draw(n: int, split: str, seed: int) -> np.ndarray:
        return random.Generator(seed).at(f"latents-{split}").normal((n, net.latent))

    return LatentSpace(draw, lambda z: decoded(net, z), run.config.data)
