"""DCGAN: a GAN of convolutions that trains.  Radford et al. 2015, arXiv 1511.06434.   tinygen train dcgan

The paper's guidelines (section 3) at 28 x 28 or 32 x 32: strides instead of pooling, no hidden linear layers, BatchNorm
everywhere but in the generator's output and the discriminator's input, ReLU and tanh against LeakyReLU 0.2.

tinygen train dcgan --data mnist, then tinygen eval RUN (seed 0; 16.5 minutes on 2 cores): inception score 8.98, class
KL 0.004, Fréchet distance 1.83.  After 2,000 steps (eval --samples 5000): score 6.85, distance 25.2 with --lr 2e-4, the
paper's; 8.03 and 9.4 with --lr 1e-3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tinygen import manual_seed, nn
from tinygen.models import gan
from tinygen.models.adversarial import generator as adversarial
from tinygen.run.flags import Checked
from tinygen.run.training import Run


@dataclass(frozen=True)
class Config(Checked):
    data: str = "glyphs"  # glyphs, mnist, fashion-mnist or cifar10
    data_dir: str | None = None  # where the data set's files are
    seed: int = 0  # of the initial parameters and of everything drawn in training
    steps: int = 20_000  # training steps; 937 are an epoch of 60,000 images
    batch: int = 64  # real images a step, and as many generated ones
    lr: float = 2e-3  # of Adam, whose first beta is 0.5; the paper's is 2e-4
    lr_ratio: float = 1.0  # the discriminator's rate in the generator's
    loss: Literal["non_saturating", "minimax", "least_squares", "hinge"] = (
        "non_saturating"  # of both networks
    )
    norm: Literal["batch", "spectral", "none"] = "batch"  # of the discriminator's layers
    depth: int = 3  # strides of 2 in each network
    width: int = 32  # channels of the outer layers; every stride doubles them
    packing: int = 1  # images that the discriminator judges together (PacGAN)
    latent: int = 100  # dimensions of the noise
    ema: float = 0.999  # decay of the averaged generator that draws the images; 0 for none
    measure_every: int | None = None  # steps between measures of the images, fd and inception_score
    pictures_every: int = 2_000  # steps between pictures
    checkpoint_every: int = 2_000  # steps between checkpoints


def sides(size: int, depth: int) -> list[int]:
    """The side of the image and of what `depth` strides of 2 make of it: 28, 14, 7, 4."""
    return [-(-size // 2**i) for i in range(depth + 1)]


class Generator(nn.Module):
    """Noise to images: projected to the smallest side, which is doubled `depth` times (figure 1)."""

    def __init__(
        self, latent: int = 100, width: int = 64, channels: int = 1, size: int = 28, depth: int = 2
    ) -> None:
        super().__init__()
        self.latent = latent
        before, side = 2 ** (depth - 1) * width, sides(size, depth)
        layers = [nn.ConvTranspose2d(latent, before, side[-1], bias=False)]  # "project and reshape"
        for i in reversed(range(depth)):
            after = before // 2 if i else channels
            kernel = 4 + side[i] - 2 * side[i + 1]  # 4 doubles the side, 3 takes 4 to 7
            layers += [
                nn.BatchNorm2d(before),
                nn.ReLU(),
                nn.ConvTranspose2d(before, after, kernel, stride=2, padding=1, bias=not i),
            ]
            before = after
        self.model = nn.Sequential(*layers, nn.Tanh())
        self.apply(initialize)

    def forward(self, z):
        """z (N, latent) -> (N, channels, size, size) in [-1, 1]"""
        return self.model(z.reshape(-1, self.latent, 1, 1))


class Discriminator(nn.Module):
    """The generator's mirror image, down to one logit.

    norm  batch: the paper's.  spectral: every layer divided by its largest singular value (arXiv 1802.05957).
    none: for critics whose gradient at one image must not depend on the others (wgan_gp.py).
    """

    def __init__(
        self, width: int = 64, channels: int = 1, size: int = 28, norm: str = "batch", depth: int = 2
    ) -> None:
        super().__init__()
        before, after, side, layers = channels, width, sides(size, depth), []
        for i in range(depth):
            kernel, normed = 4 + side[i] - 2 * side[i + 1], norm == "batch" and i > 0
            layers += [
                nn.Conv2d(before, after, kernel, stride=2, padding=1, bias=not normed),
                *([nn.BatchNorm2d(after)] if normed else []),
                nn.LeakyReLU(0.2),
            ]
            before, after = after, 2 * after
        self.model = nn.Sequential(*layers, nn.Conv2d(before, 1, side[-1]))  # (N, 1, 1, 1)
        self.apply(initialize)
        if norm == "spectral":
            for layer in self.model:
                if isinstance(layer, nn.Conv2d):
                    nn.utils.spectral_norm(layer)

    def forward(self, x):
        """x (N, channels, size, size) -> the logit of being real (N,)"""
        return self.model(x).flatten()


def initialize(module) -> None:
    """Weights N(0, 0.02²) (section 4), those of BatchNorm around 1 as in the authors' code; biases 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0 if isinstance(module, nn.BatchNorm2d) else 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def build(config: Config) -> tuple[Generator, Discriminator]:
    """Both networks, with the initial parameters that `config.seed` gives."""
    manual_seed(config.seed)
    channels, size = adversarial.shape_of(config.data)[:2]
    generator = Generator(config.latent, config.width, channels, size, config.depth)
    return generator, Discriminator(config.width, channels * config.packing, size, config.norm, config.depth)


def train(config: Config, run: Run | None = None) -> Run:
    """gan.py's loop, with these networks and images."""
    run = run or Run.create("dcgan", config)
    return gan.alternate(run, *build(config), *adversarial.load_images(config))


resumable_changes = adversarial.resumable_changes


def sample(
    run: Run,
    n: int,
    *,
    seed: int = 0,  # of the latents z
) -> np.ndarray:
    """n images of z ~ N(0, 1).  -> (n, 28, 28), or (n, 3, 32, 32), in [0, 1]"""
    return adversarial.drawn(adversarial.trained(run, build(run.config)[0]), n, seed)


def latent_space(run: Run) -> adversarial.LatentSpace:
    """The noise, for `tinygen sample RUN --walk` and `--attribute`."""
    return adversarial.latent_space(run, build(run.config)[0])


evaluate = adversarial.evaluation(sample)
