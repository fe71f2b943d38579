"""The steps of the user-written networks as cases, with the batches, optimizers and noise of `tinygen bench steps`."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np

from tinygen.benchmarks.sides import Case, Side
from tinygen.benchmarks.step_cases import STEPS
from tinygen.benchmarks.step_networks import LEVELS, images, integers, normal, same_weights
from tinygen.benchmarks.torch_twin import twin_of

NETWORKS = "tinygen.benchmarks.user_steps.networks"


def vae(side: Side, networks, batch: int) -> Callable[[], object]:
    net = networks.VAE()
    same_weights(net)
    x = side.tensor((images(batch).reshape(batch, 784) > 0.6).astype(np.float32))
    eps = side.tensor(normal(batch, 20))
    net = side.module(net)
    optimizer = side.adam(net.parameters(), lr=1e-3)
    compiled = side.function(net)

    def step():
        optimizer.zero_grad()
        reconstruction, mu, logvar = compiled(x, eps)
        loss = networks.vae_loss(reconstruction, x, mu, logvar)
        loss.backward()
        optimizer.step()
        return loss

    return step


def gan(side: Side, networks, batch: int) -> Callable[[], object]:
    return _adversarial(side, networks.Generator(), networks.Discriminator(), batch)


def dcgan(side: Side, networks, batch: int) -> Callable[[], object]:
    return _adversarial(side, networks.ConvGenerator(), networks.ConvDiscriminator(), batch)


def _adversarial(side: Side, generator, discriminator, batch: int) -> Callable[[], object]:
    same_weights(generator, discriminator)
    real, z = side.tensor(images(batch)), side.tensor(normal(batch, generator.latent))
    valid, fake = side.tensor(np.ones(batch, np.float32)), side.tensor(np.zeros(batch, np.float32))
    generator, discriminator = side.module(generator), side.module(discriminator)
    optimizer_g = side.adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    optimizer_d = side.adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    loss = side.api.nn.BCELoss()
    generate, judge = side.function(generator), side.function(discriminator)

    def step():
        optimizer_d.zero_grad()
        generated = generate(z)
        d_loss = (loss(judge(real), valid) + loss(judge(generated.detach()), fake)) / 2
        d_loss.backward()
        optimizer_d.step()
        optimizer_g.zero_grad()
        g_loss = loss(judge(generated), valid)
        g_loss.backward()
        optimizer_g.step()
        return d_loss, g_loss

    return step


def unet(side: Side, networks, batch: int) -> Callable[[], object]:
    return _denoising(side, networks.UNet(), batch)


def dit(side: Side, networks, batch: int) -> Callable[[], object]:
    return _denoising(side, networks.DiT(), batch, integers(batch, 10))


def _denoising(side: Side, net, batch: int, *labels) -> Callable[[], object]:
    same_weights(net)
    x, noise, t, *labels = map(
        side.tensor, (images(batch), normal(batch, 1, 28, 28), integers(batch, LEVELS), *labels)
    )
    alpha_bar = side.tensor(np.cumprod(1 - np.linspace(1e-4, 0.02, LEVELS)).astype(np.float32))
    net = side.module(net)
    optimizer = side.adam(net.parameters(), lr=2e-4)
    predict = side.function(net)

    def step():
        optimizer.zero_grad()
        a = alpha_bar[t][:, None, None, None]
        noisy = a.sqrt() * x + (1 - a).sqrt() * noise
        loss = side.api.nn.functional.mse_loss(predict(noisy, t, *labels), noise)
        loss.backward()
        optimizer.step()
        return loss

    return step


USER_STEPS = {make.__name__: make for make in (vae, gan, dcgan, unet, dit)}


def user_step_cases() -> list[Case]:
    """The cases of all user-written steps."""
    return [user_step_case(name) for name in USER_STEPS]


def user_step_case(name: str, batch: int | None = None) -> Case:
    """The case of one step, with its own or another batch size."""
    batch = batch or STEPS[name].batch

    def make(side: Side):
        networks = twin_of(NETWORKS, side.api) if side.is_torch else importlib.import_module(NETWORKS)
        return USER_STEPS[name](side, networks, batch)

    return Case(
        f"user's {name} step",
        f"user-{name}",
        f"{STEPS[name].shape}, batch {batch}",
        make,
        others=("channels-last",) if STEPS[name].images else (),
        check_calls=3,
        tolerance=1e-3,
        step=True,
        memory=("user-step", name, batch),
    )
