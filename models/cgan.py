"""Conditional GAN: both players are told the label.  Mirza & Osindero 2014, arXiv 1411.1784.   tinygen train cgan

The networks of the GAN with the label as ten more inputs, so that `tinygen sample RUN --label 7` draws sevens.

tinygen train cgan --data mnist, then tinygen eval RUN: inception score 9.83, Fréchet distance 1.01, and 98.5 % of the
images are of the class asked for; without labels, gan.py has 9.11 and 1.96.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tinygen import cat, manual_seed, optim, random
from tinygen.data import DataError, Feed
from tinygen.models.adversarial.losses import LOSSES
from tinygen.models.adversarial.trained import decoded, drawn, trained_generator
from tinygen.models.adversarial.training import finish_step, load_images, noise
from tinygen.models.adversarial.watch import Watch
from tinygen.models.latent.space import LatentSpace
from tinygen.models.networks import mlp
from tinygen.models.shared.images import signed
from tinygen.models.shared.labels import CLASSES, wanted
from tinygen.models.shared.measures import measured
from tinygen.models.shared.resuming import more_steps
from tinygen.nn import functional as F
from tinygen.ops.tensor.conversion import own
from tinygen.run.flags import Checked
from tinygen.run.training import Run


@dataclass(frozen=True)
class Config(Checked):
    data: str = "glyphs"  # data set: glyphs, mnist or fashion-mnist
    data_dir: str | None = None  # folder with the data set's files
    seed: int = 0  # seed of the initial parameters and of everything drawn in training
    steps: int = 20_000  # training steps
    batch: int = 64  # real images per step, and as many generated ones
    lr: float = 2e-4  # learning rate of the generator (Adam, beta1 0.5)
    lr_ratio: float = 1.0  # learning rate of the discriminator, as a multiple of the generator's
    loss: Literal["non_saturating", "minimax", "least_squares", "hinge"] = (
        "non_saturating"  # loss of generator and discriminator
    )
    latent: int = 100  # dimensions of the noise
    ema: float = 0.999  # decay of the averaged generator that draws the images; 0 for none
    measure_every: int | None = None  # steps between measurements of the images (fd and inception_score)
    pictures_every: int = 5_000  # steps between pictures
    checkpoint_every: int = 5_000  # steps between checkpoints


def told(x, label):
    """An input with its label appended as a one-hot vector.  x (N, D), label (N,) -> (N, D + 10)"""
    return cat([x, F.one_hot(label, CLASSES).to(x.dtype)], 1)


class Generator(mlp.Generator):
    """Noise and a label to an image (figure 1)."""

    def __init__(self, latent: int = 100) -> None:
        super().__init__(latent + CLASSES, eps=1e-5)
        self.latent = latent

    def forward(self, z, label):
        """z (N, latent), label (N,) -> (N, 1, 28, 28) in [-1, 1]"""
        return super().forward(told(z, label))


class Discriminator(mlp.Discriminator):
    """Is the image real, and is it of this class?"""

    def __init__(self) -> None:
        super().__init__(extra=CLASSES)

    def forward(self, x, label):
        """x (N, 1, 28, 28), label (N,) -> logit of "a real image with its label" (N,)"""
        return super().forward(told(x.flatten(1), label))


def build(config: Config) -> tuple[Generator, Discriminator]:
    """Generator and discriminator with the initial parameters that `config.seed` gives."""
    manual_seed(config.seed)
    return Generator(config.latent), Discriminator()


def train(config: Config, run: Run | None = None) -> Run:
    """The GAN's alternating steps; the generator is given the labels of the step's real images (eq. 2)."""
    run = run or Run.create("cgan", config)
    dataset, images = load_images(config, grey=True)
    labels = labels_of(dataset)
    run.record(data_sha256=dataset.sha256)
    feed = Feed(images, labels, batch=config.batch, seed=config.seed, device=run.device)
    draws, loss = random.Generator(config.seed), LOSSES[config.loss]
    generator, discriminator = (net.to(run.device) for net in build(config))
    optimizer_g = optim.Adam(generator.parameters(), config.lr, betas=(0.5, 0.999))
    optimizer_d = optim.Adam(discriminator.parameters(), config.lr * config.lr_ratio, betas=(0.5, 0.999))
    ema, watch = optim.EMA(generator, config.ema), Watch(run, config.loss)
    run.track(generator=generator, discriminator=discriminator, ema=ema, watch=watch)
    run.track(optimizer_g=optimizer_g, optimizer_d=optimizer_d)

    @run.captured
    def advance(step, real, label):
        fake = generator(noise(draws.at("z", step, run.device), config.batch, config.latent), label)

        real_logits, fake_logits = discriminator(real, label), discriminator(fake.detach(), label)
        loss_d = loss.discriminator(real_logits, fake_logits)
        optimizer_d.zero_grad()
        loss_d.backward()
        optimizer_d.step()

        loss_g = loss.generator(discriminator(fake, label))
        optimizer_g.zero_grad()
        loss_g.backward(inputs=list(generator.parameters()))  # the discriminator's gradients are not needed
        optimizer_g.step()
        if config.ema:
            ema.update()
        return fake, real_logits, fake_logits, loss_d, loss_g

    for step in run.steps(config.steps):
        chosen, label = feed.at(step)
        real, label = own(signed(chosen)), own(label)
        fake, real_logits, fake_logits, loss_d, loss_g = advance(step, real, label)
        watch.look(discriminator, generator, real, fake, real_logits, fake_logits, loss_d)
        finish_step(run, {"loss": loss_d, "loss_g": loss_g}, generator, ema, CLASSES)
    return run


def labels_of(dataset) -> np.ndarray:
    """The training labels; an error if there are none.  -> (n,) int64"""
    labels = dataset.train_labels
    if labels is None or len(labels) != len(dataset.train_images):
        raise DataError(f"{dataset.name}: has no labels, which cgan needs; choose other data, or gan")
    return labels


resumable_changes = more_steps


def sample(
    run: Run,
    n: int,
    *,
    seed: int = 0,  # seed of the noise z
    label: int | None = None,  # class to draw; without it, all classes in turn
) -> np.ndarray:
    """n images of z ~ N(0, 1).  -> (n, 28, 28) in [0, 1]"""
    return drawn(trained_generator(run, build(run.config)[0], CLASSES), n, seed, wanted(n, label))


def labels_drawn(run: Run, n: int, label: int | None = None) -> np.ndarray:
    """The labels of the n images of `sample`.  -> (n,)"""
    return wanted(n, label)


def latent_space(run: Run, label: int | None = None) -> LatentSpace:
    """The noise and, as a last number that walks leave alone, the label.  z (n, latent + 1)"""
    net = trained_generator(run, build(run.config)[0], CLASSES)

    def draw(n: int, split: str, seed: int) -> np.ndarray:
        z = random.Generator(seed).at(f"latents-{split}").normal((n, net.latent))
        return np.column_stack([z, wanted(n, label)]).astype(np.float32)

    def decode(z: np.ndarray) -> np.ndarray:
        return decoded(net, z[:, :-1], z[:, -1].astype(np.int64))

    def told(z: np.ndarray) -> list[str]:
        return [f"class {label:.0f}" for label in z[:, -1]]

    return LatentSpace(draw, decode, run.config.data, held=1, told=told)


def evaluate(
    run: Run,
    *,
    data: str | None = None,  # data set to compare with, instead of the training data
    data_dir: str | None = None,  # folder with its files
    samples: int = 10_000,  # number of images to draw, equally many of each class
) -> dict:
    """Measures of generated images beside the data's, and how often the evaluator sees the label asked for."""
    labels = np.arange(samples) % CLASSES
    return measured(run, samples, lambda: sample(run, samples), data, data_dir, labels)
