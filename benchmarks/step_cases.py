"""Training steps to time: forward, loss, backward, optimiser, on one batch that stays the same.

A step is written once for either library; its network is the model file's own, which PyTorch runs through torch_twin.
A model that is added is one line in STEPS; one whose file is not there is left out.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from types import ModuleType

import numpy as np

from tinygen.benchmarks.sides import Case, Side
from tinygen.benchmarks.torch_twin import torch_twin


@dataclass(frozen=True)
class Step:
    """make(side, module, batch) -> the call of one step, which gives its losses."""

    make: Callable[[Side, ModuleType | None, int], Callable[[], object]]
    batch: int
    model: str | None = None  # the file in models/ that has the network
    shape: str = ""
    images: bool = False  # a convolutional network: channels-last too


def same_parameters(*nets) -> None:
    """Parameters that are functions of their places and shapes, so that both libraries start alike.

    Matrices and filters uniform in ±1/sqrt(fan_in); the rest (biases, scales, statistics) stays as it is made, but for
    biases, which become 0.
    """
    for number, net in enumerate(nets):
        for i, (name, p) in enumerate(net.named_parameters()):
            shape = tuple(p.shape)
            if len(shape) > 1:
                bound = 1 / math.sqrt(math.prod(shape[1:]))
                values = np.random.default_rng([number, i, *shape]).uniform(-bound, bound, shape)
                p.detach().numpy()[...] = values
            elif name.endswith("bias"):
                p.detach().numpy()[...] = 0


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([7, seed, *shape]).standard_normal(shape, dtype=np.float32)


def uniform(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([8, seed, *shape]).random(shape, dtype=np.float32)


def vae(side: Side, module, batch: int):
    """The seed programs' VAE, 784-256-256-20, with Adam."""
    net = module.build(module.Config())
    same_parameters(net)
    optimizer = side.adam(net.parameters(), 1e-3)
    x = side.tensor((uniform(batch, 784) > 0.8).astype(np.float32))
    eps = side.tensor(normal(batch, net.latent))
    loss = side.function(lambda x, eps: sum(module.loss(net, x, eps)))

    def step():
        total = loss(x, eps)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        return total

    return step


def seed_gan_networks(nn):
    """Generator and discriminator of the seed programs: 100-128-256-512-1024-784 and 784-512-256-1."""
    layers, sizes = [], (100, 128, 256, 512, 1024)
    for i, (n, m) in enumerate(pairwise(sizes)):
        layers += [nn.Linear(n, m), *([nn.BatchNorm1d(m, 0.8)] if i else []), nn.LeakyReLU(0.2)]
    generator = nn.Sequential(*layers, nn.Linear(1024, 784), nn.Tanh())
    discriminator = nn.Sequential(
        nn.Linear(784, 512),
        nn.LeakyReLU(0.2),
        nn.Linear(512, 256),
        nn.LeakyReLU(0.2),
        nn.Linear(256, 1),
        nn.Sigmoid(),
    )
    return generator, discriminator


def seed_gan(side: Side, module, batch: int):
    """The seed programs' GAN."""
    generator, discriminator = seed_gan_networks(side.api.nn)
    bce = side.api.nn.BCELoss()
    images, noise = 2 * uniform(batch, 784) - 1, normal(batch, 100)
    return adversarial_step(side, generator, discriminator, images, noise, bce)


def adversarial_step(side: Side, generator, discriminator, images, noise, loss, lr=2e-4, betas=(0.5, 0.999)):
    """One step of the generator, then one of the discriminator on the same pictures; loss(scores, 1s or 0s)."""
    same_parameters(generator, discriminator)
    generator, discriminator = side.module(generator), side.module(discriminator)
    of_generator = side.adam(generator.parameters(), lr, betas=betas)
    of_discriminator = side.adam(discriminator.parameters(), lr, betas=betas)
    real, z = side.tensor(images), side.tensor(noise)
    generate, judge = side.function(generator), side.function(discriminator)
    scores = discriminator(real)
    valid, fake = side.api.ones_like(scores).detach(), side.api.zeros_like(scores).detach()

    def step():
        of_generator.zero_grad()
        pictures = generate(z)
        g_loss = loss(judge(pictures), valid)
        g_loss.backward()
        of_generator.step()
        of_discriminator.zero_grad()
        d_loss = (loss(judge(real), valid) + loss(judge(pictures.detach()), fake)) / 2
        d_loss.backward()
        of_discriminator.step()
        return g_loss, d_loss

    return step


def regression_step(side: Side, net, inputs: list[np.ndarray], target: np.ndarray, lr=1e-3):
    """One step of a network on the mean squared error, as in denoising diffusion."""
    same_parameters(net)
    net = side.module(net)
    optimizer = side.adam(net.parameters(), lr)
    inputs, target = [side.tensor(x) for x in inputs], side.tensor(target)
    forward = side.function(net)

    def step():
        loss = side.api.nn.functional.mse_loss(forward(*inputs), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


STEPS = {
    "vae": Step(vae, 128, "vae", "784-256-256-20"),
    "gan": Step(seed_gan, 64, None, "seed: 100-…-784, 784-512-256-1"),
}


def step_cases() -> list[Case]:
    """A case for every step whose model is here."""
    return [step_case(name) for name, step in STEPS.items() if _is_here(step.model)]


def step_case(name: str, batch: int | None = None) -> Case:
    """The case of one step, with another batch size if one is given."""
    step = STEPS[name]
    batch = batch or step.batch

    def make(side: Side):
        return step.make(side, _module(step.model, side), batch)

    shape = ", ".join(part for part in (step.shape, f"batch {batch}") if part)
    others = ("channels-last",) if step.images else ()
    options = dict(others=others, check_calls=3, tolerance=1e-3, step=True, memory=("step", name, batch))
    return Case(f"{name} step", name, shape, make, **options)


def _is_here(model: str | None) -> bool:
    return model is None or importlib.util.find_spec(f"tinygen.models.{model}") is not None


def _module(model: str | None, side: Side):
    if model is None:
        return None
    return (
        torch_twin(model, side.api) if side.is_torch else importlib.import_module(f"tinygen.models.{model}")
    )
