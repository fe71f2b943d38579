"""One training step for each kind of network, the same code for tinygen and for PyTorch.

`adversarial` and `denoising` build the step for a side (benchmarks/sides.py: library, memory layout, optimizer) from
the model's module, tinygen's or its torch_twin, with the same weights and the same batch on every side.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType

import numpy as np

LEVELS = 1000  # noise levels


def adversarial(side, module: ModuleType, batch: int) -> Callable[[], tuple]:
    """A training step of gan.py or dcgan.py."""
    generator, discriminator = module.Generator(), module.Discriminator()
    same_weights(generator, discriminator)
    x, z = side.tensor(images(batch)), side.tensor(normal(batch, generator.latent))
    return adversarial_step(side, side.module(generator), side.module(discriminator), x, z)


def denoising(side, module: ModuleType, batch: int) -> Callable[[], object]:
    """A training step of unet.py or dit.py."""
    net, labels = (module.DiT(), [integers(batch, 10)]) if hasattr(module, "DiT") else (module.UNet(), [])
    same_weights(net)
    x, noise, t, *labels = (
        side.tensor(a) for a in (images(batch), normal(batch, 1, 28, 28), integers(batch, LEVELS), *labels)
    )
    return denoising_step(side, side.module(net), x, noise, t, *labels)


def adversarial_step(side, generator, discriminator, x, z) -> Callable[[], tuple]:
    """The seed programs' step: train the discriminator on real and generated images, then the generator."""
    adam = {"lr": 2e-4, "betas": (0.5, 0.999)}
    optimizer_g = side.adam(generator.parameters(), **adam)
    optimizer_d = side.adam(discriminator.parameters(), **adam)
    real, generated = (
        make(len(x), dtype=x.dtype, device=x.device) for make in (side.api.ones, side.api.zeros)
    )
    bce = side.api.nn.functional.binary_cross_entropy_with_logits
    generate = side.function(generator)
    judge = side.function(lambda images, answer: bce(discriminator(images), answer))

    def step():
        fake = generate(z)
        optimizer_d.zero_grad()
        loss_d = (judge(x, real) + judge(fake.detach(), generated)) / 2
        loss_d.backward()
        optimizer_d.step()
        optimizer_g.zero_grad()
        loss_g = judge(fake, real)
        loss_g.backward()
        optimizer_g.step()
        return loss_d, loss_g

    return step


def denoising_step(side, net, x, noise, t, *labels) -> Callable[[], object]:
    """DDPM's step (Ho et al. 2020, algorithm 1): predict the noise that was mixed into an image."""
    optimizer = side.adam(net.parameters(), lr=2e-4)
    alpha_bar = side.tensor(np.cumprod(1 - np.linspace(1e-4, 0.02, LEVELS))).to(x.dtype)
    mse = side.api.nn.functional.mse_loss

    @side.function
    def loss_of(x, noise, t, *labels):
        a = alpha_bar[t].reshape(-1, 1, 1, 1)
        return mse(net(a.sqrt() * x + (1 - a).sqrt() * noise, t, *labels), noise)

    def step():
        optimizer.zero_grad()
        loss = loss_of(x, noise, t, *labels)
        loss.backward()
        optimizer.step()
        return loss

    return step


def same_weights(*nets) -> None:
    """Set matrices and filters to uniform numbers in ±1/sqrt(fan_in), biases to 0 and scales to 1.

    Both libraries then start with the same weights, and layers that are initialized to 0 do their normal work.
    """
    for number, net in enumerate(nets):
        for i, (name, p) in enumerate(net.named_parameters()):
            if p.ndim > 1:
                bound = 1 / math.sqrt(math.prod(p.shape[1:]))
                values = np.random.default_rng([number, i]).uniform(-bound, bound, tuple(p.shape))
            else:
                values = 0 if name.endswith("bias") else 1
            p.detach().numpy()[...] = values


def images(batch: int) -> np.ndarray:
    """-> (batch, 1, 28, 28), uniform in [-1, 1)"""
    return np.random.default_rng(1).uniform(-1, 1, (batch, 1, 28, 28)).astype(np.float32)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(2).standard_normal(shape, dtype=np.float32)


def integers(n: int, below: int) -> np.ndarray:
    return np.random.default_rng(3).integers(below, size=n)
