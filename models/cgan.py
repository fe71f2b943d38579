"""Conditional GAN: both players are told the label.  Mirza & Osindero 2014, arXiv 1411.1784.   tinygen train cgan

The networks of gan.py, with the label as ten more inputs, so that `tinygen sample RUN --label 7` draws sevens.

tinygen train cgan --data mnist, then tinygen eval RUN: inception score 9.83, Fréchet distance 1.01, and 98.5 % of the
images are of the class asked for; without labels, gan.py, 9.11 and 1.96.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tinygen import cat, manual_seed, optim, random, tensor
from tinygen.data import DataError, batch_indices
from tinygen.models import gan
from tinygen.models.adversarial import generator as adversarial
from tinygen.models.adversarial.generator import LOSSES, Watch, noise, real_batch
from tinygen.models.latent.walks import LatentSpace
from tinygen.nn import functional as F
from tinygen.run.flags import Checked, FlagError
from tinygen.run.training import Run

CLASSES = 10


@dataclass(frozen=True)
class Config(Checked):
    data: str = "glyphs"  # glyphs, mnist or fashion-mnist
    data_dir: str | None = None  # where the data set's files are
    seed: int = 0  # of the initial parameters and of everything drawn in training
    steps: int = 20_000  # training steps of both networks
    batch: int = 64  # real images a step, and as many generated ones
    lr: float = 2e-4  # of Adam, whose first beta is 0.5
    lr_ratio: float = 1.0  # the discriminator's rate in the generator's
    loss: Literal["non_saturating", "minimax", "least_squares", "hinge"] = (
        "non_saturating"  # of both networks
    )
    latent: int = 100  # dimensions of the noise
    ema: float = 0.999  # decay of the averaged generator that draws the images; 0 for none
    measure_every: int | None = None  # steps between measures of the images, fd and inception_score
    pictures_every: int = 5_000  # steps between pictures
    checkpoint_every: int = 5_000  # steps between checkpoints


def told(x, label):
    """An input with its label beside it, as ten numbers of which one is 1.  x (N, D), label (N,) -> (N, D + 10)"""
    return cat([x, F.one_hot(label, CLASSES).to(x.dtype)], 1)


class Generator(gan.Generator):
    """Noise and a label to an image (figure 1)."""

    def __init__(self, latent: int = 100) -> None:
        super().__init__(latent + CLASSES, eps=1e-5)
        self.latent = latent

    def forward(self, z, label):
        """z (N, latent), label (N,) -> (N, 1, 28, 28) in [-1, 1]"""
        return super().forward(told(z, label))


class Discriminator(gan.Discriminator):
    """Whether an image is real and has this label."""

    def __init__(self) -> None:
        super().__init__(extra=CLASSES)

    def forward(self, x, label):
        """x (N, 1, 28, 28), label (N,) -> the logit of being a real pair (N,)"""
        return super().forward(told(x.flatten(1), label))


def build(config: Config) -> tuple[Generator, Discriminator]:
    """Both networks, with the initial parameters that `config.seed` gives."""
    manual_seed(config.seed)
    return Generator(config.latent), Discriminator()


def train(config: Config, run: Run | None = None) -> Run:
    """gan.py's loop; the generator is asked for the labels of the real images beside its own."""
    run = run or Run.create("cgan", config)
    dataset, images = adversarial.load_images(config, grey=True)
    labels = labels_of(dataset)
    run.record(data_sha256=dataset.sha256)
    draws, loss = random.Generator(config.seed), LOSSES[config.loss]
    generator, discriminator = (net.to(run.device) for net in build(config))
    optimizer_g = optim.Adam(generator.parameters(), config.lr, betas=(0.5, 0.999))
    optimizer_d = optim.Adam(discriminator.parameters(), config.lr * config.lr_ratio, betas=(0.5, 0.999))
    ema, watch = optim.EMA(generator, config.ema), Watch(run, config.loss)
    run.track(generator=generator, discriminator=discriminator, ema=ema, watch=watch)
    run.track(optimizer_g=optimizer_g, optimizer_d=optimizer_d)

    for step in run.steps(config.steps):
        chosen = batch_indices(len(images), config.batch, config.seed, step)
        real, label = real_batch(images, config, step, run.device), tensor(labels[chosen], device=run.device)
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

        watch.look(discriminator, generator, real, fake, real_logits, fake_logits, loss_d)
        if config.measure_every and run.every(config.measure_every):
            adversarial.log_measures(run, adversarial.averaged(generator, ema, CLASSES), CLASSES)
        run.log(loss=loss_d, loss_g=loss_g)
        if run.every(config.pictures_every) or run.done == config.steps:
            adversarial.pictures(run, adversarial.averaged(generator, ema, CLASSES), CLASSES)
    return run


def labels_of(dataset) -> np.ndarray:
    """The training labels, checked to be there and below 10.  -> (n,) int64"""
    labels = dataset.train_labels
    if labels is None or len(labels) != len(dataset.train_images):
        raise DataError(f"{dataset.name}: has no labels, which cgan learns from; choose other data, or gan")
    return labels


resumable_changes = adversarial.resumable_changes


def sample(
    run: Run,
    n: int,
    *,
    seed: int = 0,  # of the latents z
    label: int | None = None,  # the class to draw; without it one after the other
) -> np.ndarray:
    """n images of z ~ N(0, 1).  -> (n, 28, 28) in [0, 1]"""
    net = adversarial.trained(run, build(run.config)[0], CLASSES)
    return adversarial.drawn(net, n, seed, wanted(n, label))


def labels_drawn(run: Run, n: int, label: int | None = None) -> np.ndarray:
    """The labels of the n images of `sample`.  -> (n,)"""
    return wanted(n, label)


def wanted(n: int, label: int | None) -> np.ndarray:
    """n labels to draw, all the same or one after the other.  -> (n,) int64"""
    if label is not None and not 0 <= label < CLASSES:
        raise FlagError(f"--label: found {label}, expected 0 to {CLASSES - 1}")
    return np.arange(n) % CLASSES if label is None else np.full(n, label)


def latent_space(run: Run, label: int | None = None) -> LatentSpace:
    """The noise with the label as one more number, which stays as it is.  z (n, latent + 1)"""
    net = adversarial.trained(run, build(run.config)[0], CLASSES)

    def draw(n: int, split: str, seed: int) -> np.ndarray:
        z = random.Generator(seed).at(f"latents-{split}").normal((n, net.latent))
        return np.column_stack([z, wanted(n, label)]).astype(np.float32)

    def decode(z: np.ndarray) -> np.ndarray:
        return adversarial.decoded(net, z[:, :-1], z[:, -1].astype(np.int64))

    def told(z: np.ndarray) -> list[str]:
        return [f"class {label:.0f}" for label in z[:, -1]]

    return LatentSpace(draw, decode, run.config.data, held=1, told=told)


def evaluate(
    run: Run,
    *,
    data: str | None = None,  # another data set than the one trained on
    data_dir: str | None = None,  # where its files are now
    samples: int = 10_000,  # images to draw, as many of each class
) -> dict:
    """Measures of generated images beside the data's (metrics/images.py), and how often the evaluator sees the label
    that was asked for."""
    labels = np.arange(samples) % CLASSES
    return adversarial.measured(run, samples, lambda: sample(run, samples), data, data_dir, labels)
