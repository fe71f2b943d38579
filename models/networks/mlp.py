"""Fully connected generator and discriminator for 28 x 28 images: the networks of the seed programs' GAN."""

from __future__ import annotations

from tinygen import nn

PIXELS = 784


class Generator(nn.Module):
    """Noise to images: 100-128-256-512-1024-784, with the seed programs' parameter names.

    eps is 0.8 in the seed programs: their `BatchNorm1d(width, 0.8)` was meant to set the momentum and set eps.
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
    """Real or generated?  784-512-256-1; returns the logit, to which the seed programs apply a sigmoid.

    packing: images that it judges together.  extra: further inputs, such as a label
    """

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
        """x (N, packing, 28, 28), or (N, packing · 784 + extra) -> logit of "real" (N,)"""
        return self.model(x.flatten(1)).squeeze(1)
