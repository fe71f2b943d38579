"""GAN: a generator learns from the judge it deceives.  Goodfellow et al. 2014, arXiv 1406.2661.

The two networks of the seed programs, 28 x 28 images in [-1, 1].
"""

from __future__ import annotations

from tinygen import nn

PIXELS = 784


class Generator(nn.Module):
    """Noise to images: 100-128-256-512-1024-784, parameters named as the seed programs name them.

    eps is 0.8 as in the seed programs, whose `BatchNorm1d(width, 0.8)` meant the momentum and set eps.
    """

    def __init__(self, latent: int = 100) -> None:
        super().__init__()
        self.latent = latent
        layers = [nn.Linear(latent, 128), nn.LeakyReLU(0.2)]
        for before, after in (128, 256), (256, 512), (512, 1024):
            layers += [nn.Linear(before, after), nn.BatchNorm1d(after, eps=0.8), nn.LeakyReLU(0.2)]
        self.model = nn.Sequential(*layers, nn.Linear(1024, PIXELS), nn.Tanh())

    def forward(self, z):
        """z (N, latent) -> (N, 1, 28, 28) in [-1, 1]"""
        return self.model(z).reshape(-1, 1, 28, 28)


class Discriminator(nn.Module):
    """The judge: 784-512-256-1, a logit where the seed programs take the sigmoid of it."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Linear(PIXELS, 512),
            nn.LeakyReLU(0.2),
            nn.Linear(512, 256),
            nn.LeakyReLU(0.2),
            nn.Linear(256, 1),
        )

    def forward(self, x):
        """x (N, 1, 28, 28) -> the logit of being real (N,)"""
        return self.model(x.flatten(1)).squeeze(1)
