"""GAN: a generator learns from the judge it deceives.  Goodfellow et al. 2014, arXiv 1406.2661.   tinygen train gan

The two networks of the seed programs, for 28 x 28 images in [-1, 1].  On MNIST, `tinygen eval RUN` of 10,000 images
gives these inception scores, class KLs and Fréchet distances (seed 0; the test images have 9.88, 0.0002 and 0.23):

tinygen train gan --data mnist                   9.11, 0.008, 1.96: BatchNorm with eps 1e-5, an averaged generator
tinygen train gan --data mnist --steps 12000     8.67, 0.011, 5.45
tinygen train gan --data mnist --recipe seed     7.92, 0.058, 15.12 (on 2 BLAS threads): trained like the seed programs,
                                                 eps 0.8, no average, with the warm-up that their text recommends
... --recipe seed --warmup 0 --anneal 0 --steps 29000   8.17, 0.052, 12.53; on 2 BLAS threads, which round differently,
                                                 2.60, 1.243, 93.75: a few images again and again
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tinygen import manual_seed, optim, random
from tinygen.data import Feed
from tinygen.models.adversarial.losses import LOSSES
from tinygen.models.adversarial.packing import packed
from tinygen.models.adversarial.trained import drawn, noise_space, trained_generator
from tinygen.models.adversarial.training import finish_step, load_images, noise
from tinygen.models.adversarial.watch import Watch
from tinygen.models.latent.space import LatentSpace
from tinygen.models.networks.mlp import Discriminator, Generator
from tinygen.models.shared.images import real_images
from tinygen.models.shared.measures import evaluation
from tinygen.models.shared.resuming import more_steps
from tinygen.run.flags import Checked
from tinygen.run.training import Run

RECIPES = {
    "seed": dict(steps=25_000, batch=64, eps=0.8, ema=0.0, warmup=500, anneal=100),
    "taught": dict(steps=30_000, batch=64, eps=1e-5, ema=0.999, warmup=0, anneal=0),
}


@dataclass(frozen=True)
class Config(Checked):
    data: str = "glyphs"  # data set: glyphs, mnist or fashion-mnist
    data_dir: str | None = None  # folder with the data set's files
    seed: int = 0  # seed of the initial parameters and of everything drawn in training
    recipe: Literal["taught", "seed"] = "taught"  # values of the next six flags, where they are not given
    steps: int | None = None  # training steps: 30,000, or 25,000 with recipe seed
    batch: int | None = None  # real images per step, and as many generated ones: 64 in both recipes
    eps: float | None = None  # eps of the generator's BatchNorm: 1e-5, or 0.8 with recipe seed
    ema: float | None = None  # decay of the averaged generator: 0.999, or 0 (none) with recipe seed
    warmup: int | None = None  # steps in which the learning rates rise: 0, or 500 with recipe seed
    anneal: int | None = None  # epochs until the learning rates are 0: 0 (they stay), or 100 with recipe seed
    lr: float = 2e-4  # learning rate of the generator (Adam, beta1 0.5)
    lr_ratio: float = 1.0  # learning rate of the discriminator, as a multiple of the generator's
    loss: Literal["non_saturating", "minimax", "least_squares", "hinge"] = (
        "non_saturating"  # loss of generator and discriminator
    )
    packing: int = 1  # number of images that the discriminator judges together (PacGAN)
    latent: int = 100  # dimensions of the noise
    measure_every: int | None = None  # steps between measurements of the images (fd and inception_score)
    pictures_every: int = 5_000  # steps between pictures
    checkpoint_every: int = 5_000  # steps between checkpoints

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in RECIPES[self.recipe].items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)


def build(config: Config) -> tuple[Generator, Discriminator]:
    """Generator and discriminator with the initial parameters that `config.seed` gives."""
    manual_seed(config.seed)
    return Generator(config.latent, config.eps), Discriminator(config.packing)


def train(config: Config, run: Run | None = None) -> Run:
    """Train on grey images, with a schedule of the learning rates."""
    run = run or Run.create("gan", config)
    dataset, images = load_images(config, grey=True)
    epoch = max(1, len(images) // config.batch)  # steps
    return alternate(run, *build(config), dataset, images, lambda step: lr_factor(step, epoch, config))


def lr_factor(step: int, epoch: int, config: Config) -> float:
    """The factor of both learning rates: a linear warm-up, then half a cosine that is 0 after `anneal` epochs.

    epoch: steps per epoch; the cosine is constant within an epoch.  The seed programs' cosine of 100 epochs is still
    at 0.84 when their 25,000 steps end.
    """
    warm = min(1.0, (step + 1) / max(1, config.warmup))
    return warm * (0.5 * (1 + math.cos(math.pi * (step // epoch) / config.anneal)) if config.anneal else 1.0)


def alternate(run: Run, generator, discriminator, dataset, images, factor=lambda step: 1.0) -> Run:
    """Algorithm 1 with k = 1: the discriminator's step, then the generator's, on the same generated images.

    Real and generated images go through the discriminator as two batches, each with its own BatchNorm statistics.
    factor: from the step to the factor of both learning rates
    """
    config = run.config
    run.record(data_sha256=dataset.sha256)
    feed = Feed(images, batch=config.batch, seed=config.seed, device=run.device)
    draws, loss = random.Generator(config.seed), LOSSES[config.loss]
    generator, discriminator = generator.to(run.device), discriminator.to(run.device)
    optimizer_g = optim.Adam(generator.parameters(), config.lr, betas=(0.5, 0.999))
    optimizer_d = optim.Adam(discriminator.parameters(), config.lr * config.lr_ratio, betas=(0.5, 0.999))
    ema, watch = optim.EMA(generator, config.ema), Watch(run, config.loss)
    run.track(generator=generator, discriminator=discriminator, ema=ema, watch=watch)
    run.track(optimizer_g=optimizer_g, optimizer_d=optimizer_d)

    @run.captured
    def advance(step, real):
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
        return fake, real_logits, fake_logits, loss_d, loss_g

    for step in run.steps(config.steps):
        optimizer_g.param_groups[0]["lr"] = config.lr * factor(step)
        optimizer_d.param_groups[0]["lr"] = config.lr * config.lr_ratio * factor(step)
        real = real_images(feed, step)
        fake, real_logits, fake_logits, loss_d, loss_g = advance(step, real)
        watch.look(discriminator, generator, real, fake, real_logits, fake_logits, loss_d)
        finish_step(run, {"loss": loss_d, "loss_g": loss_g}, generator, ema)
    return run


resumable_changes = more_steps


def sample(
    run: Run,
    n: int,
    *,
    seed: int = 0,  # seed of the noise z
) -> np.ndarray:
    """n images of z ~ N(0, 1).  -> (n, 28, 28) in [0, 1]"""
    return drawn(trained_generator(run, build(run.config)[0]), n, seed)


def latent_space(run: Run) -> LatentSpace:
    """The noise, for `tinygen sample RUN --walk` and `--attribute`."""
    return noise_space(run, build(run.config)[0])


evaluate = evaluation(sample)
