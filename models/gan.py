"""GAN: a generator learns from the judge it deceives.  Goodfellow et al. 2014, arXiv 1406.2661.   tinygen train gan

The two networks of the seed programs, 28 x 28 images in [-1, 1].  On MNIST, by `tinygen eval RUN` on 10,000 images
(seed 0; the test images have inception score 9.88, class KL 0.0002 and Fréchet distance 0.23):

tinygen train gan --data mnist                   9.11, 0.008, 1.96: BatchNorm's eps of 1e-5, an averaged generator
tinygen train gan --data mnist --steps 12000     8.67, 0.011, 5.45
tinygen train gan --data mnist --recipe seed     7.92, 0.058, 15.12 (on 2 BLAS threads): as the seed programs train, eps
                                                 0.8, no average, with the warm-up that their text advises
... --recipe seed --warmup 0 --anneal 0 --steps 29000   8.17, 0.052, 12.53; with 2 BLAS threads, so rounded otherwise,
                                                 2.60, 1.243, 93.75: a few images again and again
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tinygen import manual_seed, nn, optim, random
from tinygen.models.adversarial import generator as adversarial
from tinygen.models.adversarial.generator import LOSSES, Watch, noise, packed, real_batch
from tinygen.run.flags import Checked
from tinygen.run.training import Run

PIXELS = 784
RECIPES = {
    "seed": dict(steps=25_000, batch=64, eps=0.8, ema=0.0, warmup=500, anneal=100),
    "taught": dict(steps=30_000, batch=64, eps=1e-5, ema=0.999, warmup=0, anneal=0),
}


@dataclass(frozen=True)
class Config(Checked):
    data: str = "glyphs"  # glyphs, mnist or fashion-mnist
    data_dir: str | None = None  # where the data set's files are
    seed: int = 0  # of the initial parameters and of everything drawn in training
    recipe: Literal["taught", "seed"] = "taught"  # the values of the six flags below that are not given
    steps: int | None = None  # training steps: 30,000, the seed's 25,000
    batch: int | None = None  # real images a step, and as many generated ones: 64, the seed's too
    eps: float | None = None  # of the generator's BatchNorm: 1e-5, the seed's 0.8
    ema: float | None = None  # decay of the average that draws the images: 0.999, the seed's 0 for none
    warmup: int | None = None  # steps in which the rates grow to their height: 0, the seed's 500
    anneal: int | None = None  # epochs of half a cosine down to rates of 0: 0 for none, the seed's 100
    lr: float = 2e-4  # of Adam, whose first beta is 0.5
    lr_ratio: float = 1.0  # the discriminator's rate in the generator's
    loss: Literal["non_saturating", "minimax", "least_squares", "hinge"] = (
        "non_saturating"  # of both networks
    )
    packing: int = 1  # images that the discriminator judges together (PacGAN)
    latent: int = 100  # dimensions of the noise
    measure_every: int | None = None  # steps between measures of the images, fd and inception_score
    pictures_every: int = 5_000  # steps between pictures
    checkpoint_every: int = 5_000  # steps between checkpoints

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in RECIPES[self.recipe].items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)


class Generator(nn.Module):
    """Noise to images: 100-128-256-512-1024-784, parameters named as the seed programs name them.

    eps is 0.8 in the seed programs, whose `BatchNorm1d(width, 0.8)` meant the momentum and set eps.
    """

    def __init__(self, latent: int = 100, eps: float = 0.8) -> None:
        super().__init__()
        self.latent = latent
        layers = [nn.Linear(latent, 128), nn.LeakyReLU(0.2)]
        for before, after in (128, 256), (256, 512), (512, 1024):
            layers += [nn.Linear(before, after), nn.BatchNorm1d(after, eps=eps), nn.LeakyReLU(0.2)]
        self.model = nn.Sequential(*layers, nn.Linear(1024, PIXELS), nn.Tanh())

    def forward(self, z):
        """z (N, latent) -> (N, 1, 28, 28) in [-1, 1]"""
        return self.model(z).reshape(-1, 1, 28, 28)


class Discriminator(nn.Module):
    """The judge: 784-512-256-1, a logit where the seed programs take the sigmoid of it."""

    def __init__(self, packing: int = 1, extra: int = 0) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Linear(packing * PIXELS + extra, 512),
            nn.LeakyReLU(0.2),
            nn.Linear(512, 256),
            nn.LeakyReLU(0.2),
            nn.Linear(256, 1),
        )

    def forward(self, x):
        """x (N, packing, 28, 28), or flat with `extra` more inputs -> the logit of being real (N,)"""
        return self.model(x.flatten(1)).squeeze(1)


def build(config: Config) -> tuple[Generator, Discriminator]:
    """Both networks, with the initial parameters that `config.seed` gives."""
    manual_seed(config.seed)
    return Generator(config.latent, config.eps), Discriminator(config.packing)


def train(config: Config, run: Run | None = None) -> Run:
    """Both networks in turns on grey images."""
    run = run or Run.create("gan", config)
    dataset, images = adversarial.load_images(config, grey=True)
    epoch = max(1, len(images) // config.batch)  # steps
    return alternate(run, *build(config), dataset, images, lambda step: lr_factor(step, epoch, config))


def lr_factor(step: int, epoch: int, config: Config) -> float:
    """What both rates are times: a line up to 1, and half a cosine, even within an epoch and 0 after `anneal` of them.

    epoch: its steps.  The seed's cosine of 100 epochs has come down to 0.84 when its 25,000 steps end.
    """
    warm = min(1.0, (step + 1) / max(1, config.warmup))
    return warm * (0.5 * (1 + math.cos(math.pi * (step // epoch) / config.anneal)) if config.anneal else 1.0)


def alternate(run: Run, generator, discriminator, dataset, images, factor=lambda step: 1.0) -> Run:
    """A step of the discriminator and one of the generator on the same generated images (algorithm 1, k = 1).

    Real and generated images go to the discriminator as two batches, each with its own BatchNorm statistics.
    factor: what both learning rates are times at a step
    """
    config = run.config
    run.record(data_sha256=dataset.sha256)
    draws, loss = random.Generator(config.seed), LOSSES[config.loss]
    generator, discriminator = generator.to(run.device), discriminator.to(run.device)
    optimizer_g = optim.Adam(generator.parameters(), config.lr, betas=(0.5, 0.999))
    optimizer_d = optim.Adam(discriminator.parameters(), config.lr * config.lr_ratio, betas=(0.5, 0.999))
    ema, watch = optim.EMA(generator, config.ema), Watch(run, config.loss)
    run.track(generator=generator, discriminator=discriminator, ema=ema, watch=watch)
    run.track(optimizer_g=optimizer_g, optimizer_d=optimizer_d)

    for step in run.steps(config.steps):
        optimizer_g.param_groups[0]["lr"] = config.lr * factor(step)
        optimizer_d.param_groups[0]["lr"] = config.lr * config.lr_ratio * factor(step)
        real = real_batch(images, config, step, run.device)
        fake = generator(noise(draws.at("z", step, run.device), config.batch, config.latent))

        real_logits = discriminator(packed(real, config.packing))
        fake_logits = discriminator(packed(fake.detach(), config.packing))
        loss_d = loss.discriminator(real_logits, fake_logits)
        optimizer_d.zero_grad()
        loss_d.backward()
        optimizer_d.step()

        loss_g = loss.generator(discriminator(packed(fake, config.packing)))
        optimizer_g.zero_grad()
        loss_g.backward(inputs=list(generator.parameters()))  # the discriminator's gradients are not needed
        optimizer_g.step()
        if config.ema:
            ema.update()

        watch.look(discriminator, generator, real, fake, real_logits, fake_logits, loss_d)
        if config.measure_every and run.every(config.measure_every):
            adversarial.log_measures(run, adversarial.averaged(generator, ema))
        run.log(loss=loss_d, loss_g=loss_g)
        if run.every(config.pictures_every) or run.done == config.steps:
            adversarial.pictures(run, adversarial.averaged(generator, ema))
    return run


resumable_changes = adversarial.resumable_changes


def sample(
    run: Run,
    n: int,
    *,
    seed: int = 0,  # of the latents z
) -> np.ndarray:
    """n images of z ~ N(0, 1).  -> (n, 28, 28) in [0, 1]"""
    return adversarial.drawn(adversarial.trained(run, build(run.config)[0]), n, seed)


def latent_space(run: Run) -> adversarial.LatentSpace:
    """The noise, for `tinygen sample RUN --walk` and `--attribute`."""
    return adversarial.latent_space(run, build(run.config)[0])


evaluate = adversarial.evaluation(sample)
