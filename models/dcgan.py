"""DCGAN: a GAN of convolutions that trains.  Radford et al. 2015, arXiv 1511.06434.   tinygen train dcgan

The paper's guidelines (section 3) for 28 x 28 or 32 x 32 images: strides instead of pooling, no hidden linear layers,
BatchNorm everywhere but in the generator's output and the discriminator's input, ReLU and tanh in the generator,
LeakyReLU 0.2 in the discriminator.  Extends gan.py, whose training loop it uses.

tinygen train dcgan --data mnist, then tinygen eval RUN (seed 0; 16.5 minutes on 2 cores): inception score 8.98, class
KL 0.004, Fréchet distance 1.83.  After 2,000 steps (eval --samples 5000): score 6.85 and distance 25.2 with --lr 2e-4,
the paper's; 8.03 and 9.4 with --lr 1e-3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tinygen import manual_seed
from tinygen.models import gan
from tinygen.models.adversarial.trained import drawn, noise_space, trained_generator
from tinygen.models.adversarial.training import load_images
from tinygen.models.latent.space import LatentSpace
from tinygen.models.networks.dcgan import Discriminator, Generator
from tinygen.models.networks.dcgan import initialize as initialize  # names that this file has always had
from tinygen.models.networks.dcgan import sides as sides
from tinygen.models.shared.images import shape_of
from tinygen.models.shared.measures import evaluation
from tinygen.models.shared.resuming import more_steps
from tinygen.run.flags import Checked
from tinygen.run.training import Run


@dataclass(frozen=True)
class Config(Checked):
    data: str = "glyphs"  # data set: glyphs, mnist, fashion-mnist or cifar10
    data_dir: str | None = None  # folder with the data set's files
    seed: int = 0  # seed of the initial parameters and of everything drawn in training
    steps: int = 20_000  # training steps; 937 are an epoch of 60,000 images
    batch: int = 64  # real images per step, and as many generated ones
    lr: float = 2e-3  # learning rate of the generator (Adam, beta1 0.5); the paper's is 2e-4
    lr_ratio: float = 1.0  # learning rate of the discriminator, as a multiple of the generator's
    loss: Literal["non_saturating", "minimax", "least_squares", "hinge"] = (
        "non_saturating"  # loss of generator and discriminator
    )
    norm: Literal["batch", "spectral", "none"] = "batch"  # normalization in the discriminator
    depth: int = 3  # number of strides of 2 in each network
    width: int = 32  # channels of the outermost layers; every stride doubles them
    packing: int = 1  # number of images that the discriminator judges together (PacGAN)
    latent: int = 100  # dimensions of the noise
    ema: float = 0.999  # decay of the averaged generator that draws the images; 0 for none
    measure_every: int | None = None  # steps between measurements of the images (fd and inception_score)
    pictures_every: int = 2_000  # steps between pictures
    checkpoint_every: int = 2_000  # steps between checkpoints


def build(config: Config) -> tuple[Generator, Discriminator]:
    """Generator and discriminator with the initial parameters that `config.seed` gives."""
    manual_seed(config.seed)
    channels, size = shape_of(config.data)[:2]
    generator = Generator(config.latent, config.width, channels, size, config.depth)
    return generator, Discriminator(config.width, channels * config.packing, size, config.norm, config.depth)


def train(config: Config, run: Run | None = None) -> Run:
    """The training loop of gan.py, with convolutional networks."""
    run = run or Run.create("dcgan", config)
    return gan.alternate(run, *build(config), *load_images(config))


resumable_changes = more_steps


def sample(
    run: Run,
    n: int,
    *,
    seed: int = 0,  # seed of the noise z
) -> np.ndarray:
    """n images of z ~ N(0, 1).  -> (n, 28, 28), or (n, 3, 32, 32), in [0, 1]"""
    return drawn(trained_generator(run, build(run.config)[0]), n, seed)


def latent_space(run: Run) -> LatentSpace:
    """The noise, for `tinygen sample RUN --walk` and `--attribute`."""
    return noise_space(run, build(run.config)[0])


evaluate = evaluation(sample)
