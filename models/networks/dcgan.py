"""DCGAN's convolutional generator and discriminator.  Radford et al. 2015, arXiv 1511.06434, section 3 and figure 1."""

from __future__ import annotations

from tinygen import nn


def sides(size: int, depth: int) -> list[int]:
    """The side of the image and its sides after 1 ... `depth` strides of 2, such as 28, 14, 7, 4."""
    return [-(-size // 2**i) for i in range(depth + 1)]


class Generator(nn.Module):
    """Noise to images: projected to the smallest side, which is then doubled `depth` times (figure 1)."""

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
    """The mirror image of the generator, down to one logit.

    norm  batch: as in the paper.  spectral: each layer's weight over its largest singular value (arXiv 1802.05957).
    none: for critics whose gradient at one image must not depend on the rest of the batch (WGAN-GP).
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
        """x (N, channels, size, size) -> logit of "real" (N,)"""
        return self.model(x).flatten()


def initialize(module) -> None:
    """Weights N(0, 0.02²) (section 4), BatchNorm's N(1, 0.02²) as in the authors' code; biases 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0 if isinstance(module, nn.BatchNorm2d) else 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
