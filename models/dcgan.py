"""DCGAN: a GAN of convolutions that trains.  Radford et al. 2015, arXiv 1511.06434.

The paper's guidelines (section 3) at 28 x 28: strides instead of pooling, no hidden linear layers, BatchNorm everywhere
but in the generator's output and the discriminator's input, ReLU and tanh against LeakyReLU 0.2.
"""

from __future__ import annotations

from tinygen import nn


class Generator(nn.Module):
    """Noise to images through 7 x 7, 14 x 14 and 28 x 28 pixels (figure 1)."""

    def __init__(self, latent: int = 100, width: int = 64, channels: int = 1) -> None:
        super().__init__()
        self.latent = latent
        self.model = nn.Sequential(
            nn.ConvTranspose2d(latent, 2 * width, 7, bias=False),  # "project and reshape": (N, 2 width, 7, 7)
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False),  # (N, width, 14, 14)
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1),  # (N, channels, 28, 28)
            nn.Tanh(),
        )
        self.apply(initialize)

    def forward(self, z):
        """z (N, latent) -> (N, channels, 28, 28) in [-1, 1]"""
        return self.model(z.reshape(-1, self.latent, 1, 1))


class Discriminator(nn.Module):
    """The generator's mirror image, down to one logit."""

    def __init__(self, width: int = 64, channels: int = 1) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(channels, width, 4, stride=2, padding=1),  # (N, width, 14, 14)
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False),  # (N, 2 width, 7, 7)
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 7),  # (N, 1, 1, 1)
        )
        self.apply(initialize)

    def forward(self, x):
        """x (N, channels, 28, 28) -> the logit of being real (N,)"""
        return self.model(x).flatten()


def initialize(module) -> None:
    """Weights N(0, 0.02²) (section 4), those of BatchNorm around 1 as in the authors' code; biases 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0 if isinstance(module, nn.BatchNorm2d) else 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
