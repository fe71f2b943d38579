"""VAE, GAN, DCGAN, U-Net and DiT as a user of PyTorch writes them, in the sizes of `tinygen bench steps`.

Only the import lines are tinygen's.  With `import torch` in their place, which is how the benchmark runs this file on
PyTorch's side (benchmarks/torch_twin.py), it is a PyTorch program.  Nothing comes from models/, and nothing is used
that PyTorch lacks: a GroupNorm is followed by a SiLU, and q, k and v are chunks of one linear layer.
"""

from __future__ import annotations

import math

import tinygen as torch
from tinygen import nn
from tinygen.nn import functional as F

# VAE


class VAE(nn.Module):
    """784-256-256-20 and back; returns logits, mu and logvar."""

    def __init__(self, pixels: int = 784, hidden: int = 256, latent: int = 20) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(pixels, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()
        )
        self.mu, self.logvar = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.decoder = nn.Sequential(
            nn.Linear(latent, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, pixels),
            nn.Sigmoid(),
        )

    def forward(self, x, eps):
        h = self.encoder(x)
        mu, logvar = self.mu(h), self.logvar(h)
        std = torch.exp(0.5 * logvar)
        return self.decoder(mu + eps * std), mu, logvar


def vae_loss(reconstruction, x, mu, logvar):
    bce = F.binary_cross_entropy(reconstruction, x, reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return (bce + kld) / x.size(0)


# GAN: fully connected


class Generator(nn.Module):
    def __init__(self, latent: int = 100) -> None:
        super().__init__()

        def block(before, after, normalize=True):
            layers = [nn.Linear(before, after)]
            if normalize:
                layers.append(nn.BatchNorm1d(after))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            return layers

        self.latent = latent
        self.model = nn.Sequential(
            *block(latent, 128, normalize=False),
            *block(128, 256),
            *block(256, 512),
            *block(512, 1024),
            nn.Linear(1024, 784),
            nn.Tanh(),
        )

    def forward(self, z):
        return self.model(z).view(z.size(0), 1, 28, 28)


class Discriminator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Linear(784, 512),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Linear(512, 256),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Linear(256, 1),
            nn.Sigmoid(),
        )

    def forward(self, image):
        return self.model(image.view(image.size(0), -1)).view(-1)


# DCGAN


class ConvGenerator(nn.Module):
    def __init__(self, latent: int = 100, width: int = 64) -> None:
        super().__init__()
        self.latent = latent
        self.main = nn.Sequential(
            nn.ConvTranspose2d(latent, 2 * width, 7, 1, 0, bias=False),  # 7 x 7
            nn.BatchNorm2d(2 * width),
            nn.ReLU(True),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False),  # 14 x 14
            nn.BatchNorm2d(width),
            nn.ReLU(True),
            nn.ConvTranspose2d(width, 1, 4, 2, 1),  # 28 x 28
            nn.Tanh(),
        )

    def forward(self, z):
        return self.main(z.view(z.size(0), self.latent, 1, 1))


class ConvDiscriminator(nn.Module):
    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(1, width, 4, 2, 1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(2 * width, 1, 7, 1, 0),
            nn.Sigmoid(),
        )

    def forward(self, image):
        return self.main(image).view(-1)


# U-Net


class SinusoidalEmbedding(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, t):
        half = self.dim // 2
        frequencies = torch.exp(torch.arange(half, device=t.device) * (-math.log(10000) / half))
        angles = t.float()[:, None] * frequencies[None, :]
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


def time_mlp(frequencies: int, width: int):
    return nn.Sequential(
        SinusoidalEmbedding(frequencies), nn.Linear(frequencies, width), nn.SiLU(), nn.Linear(width, width)
    )


class ResBlock(nn.Module):
    def __init__(self, before: int, after: int, time_width: int, attention: bool = False) -> None:
        super().__init__()
        self.block1 = nn.Sequential(
            nn.GroupNorm(8, before), nn.SiLU(), nn.Conv2d(before, after, 3, padding=1)
        )
        self.time = nn.Sequential(nn.SiLU(), nn.Linear(time_width, after))
        self.block2 = nn.Sequential(nn.GroupNorm(8, after), nn.SiLU(), nn.Conv2d(after, after, 3, padding=1))
        self.shortcut = nn.Conv2d(before, after, 1) if before != after else nn.Identity()
        self.attention = ImageAttention(after) if attention else nn.Identity()

    def forward(self, x, t):
        h = self.block1(x)
        h = h + self.time(t)[:, :, None, None]
        h = self.block2(h)
        return self.attention(h + self.shortcut(x))


class ImageAttention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.qkv = nn.Conv2d(width, 3 * width, 1)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, x):
        b, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).view(b, 3 * c, h * w).transpose(1, 2).chunk(3, dim=-1)
        y = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(y.transpose(1, 2).reshape(b, c, h, w))


class UNet(nn.Module):
    """32 channels at 28 x 28, 64 at 14 x 14 with attention, 64 at 7 x 7."""

    def __init__(self, channels: int = 1, width: int = 32, time_width: int = 128) -> None:
        super().__init__()
        w, d, t = width, 2 * width, time_width
        self.time = time_mlp(width, time_width)
        self.first = nn.Conv2d(channels, w, 3, padding=1)
        self.down = nn.ModuleList(
            [
                ResBlock(w, w, t),
                ResBlock(w, w, t),
                nn.Conv2d(w, w, 3, stride=2, padding=1),
                ResBlock(w, d, t, attention=True),
                ResBlock(d, d, t, attention=True),
                nn.Conv2d(d, d, 3, stride=2, padding=1),
                ResBlock(d, d, t),
                ResBlock(d, d, t),
            ]
        )
        self.middle = nn.ModuleList([ResBlock(d, d, t, attention=True), ResBlock(d, d, t)])
        self.up = nn.ModuleList(
            [
                ResBlock(d + d, d, t),
                ResBlock(d + d, d, t),
                ResBlock(d + d, d, t),
                nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(d, d, 3, padding=1)),
                ResBlock(d + d, d, t, attention=True),
                ResBlock(d + d, d, t, attention=True),
                ResBlock(d + w, d, t, attention=True),
                nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(d, d, 3, padding=1)),
                ResBlock(d + w, w, t),
                ResBlock(w + w, w, t),
                ResBlock(w + w, w, t),
            ]
        )
        self.last = nn.Sequential(nn.GroupNorm(8, w), nn.SiLU(), nn.Conv2d(w, channels, 3, padding=1))

    def forward(self, x, t):
        t = self.time(t)
        x = self.first(x)
        skips = [x]
        for layer in self.down:
            x = layer(x, t) if isinstance(layer, ResBlock) else layer(x)
            skips.append(x)
        for layer in self.middle:
            x = layer(x, t)
        for layer in self.up:
            if isinstance(layer, ResBlock):
                x = layer(torch.cat([x, skips.pop()], dim=1), t)
            else:
                x = layer(x)
        return self.last(x)


# DiT


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x):
        b, n, width = x.shape
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q = q.view(b, n, self.heads, width // self.heads).transpose(1, 2)
        k = k.view(b, n, self.heads, width // self.heads).transpose(1, 2)
        v = v.view(b, n, self.heads, width // self.heads).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, k, v)
        return self.out(y.transpose(1, 2).contiguous().view(b, n, width))


def modulate(x, shift, scale):
    return x * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1)


class DiTBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x, c):
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(c).chunk(6, dim=1)
        x = x + gate1.unsqueeze(1) * self.attention(modulate(self.norm1(x), shift1, scale1))
        x = x + gate2.unsqueeze(1) * self.mlp(modulate(self.norm2(x), shift2, scale2))
        return x


class DiT(nn.Module):
    """28 x 28 images as 49 tokens of 4 x 4 pixels."""

    def __init__(
        self, size: int = 28, patch: int = 4, width: int = 96, depth: int = 4, heads: int = 4
    ) -> None:
        super().__init__()
        self.patch, self.side = patch, size // patch
        self.embed = nn.Conv2d(1, width, kernel_size=patch, stride=patch)
        self.position = nn.Parameter(torch.randn(1, self.side**2, width) * 0.02)
        self.time = time_mlp(256, width)
        self.label = nn.Embedding(10, width)
        self.blocks = nn.ModuleList([DiTBlock(width, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        self.last = nn.Linear(width, patch * patch)

    def forward(self, x, t, y):
        x = self.embed(x).flatten(2).transpose(1, 2) + self.position
        c = self.time(t) + self.label(y)
        for block in self.blocks:
            x = block(x, c)
        shift, scale = self.modulation(c).chunk(2, dim=1)
        x = self.last(modulate(self.norm(x), shift, scale))
        x = x.view(x.size(0), self.side, self.side, self.patch, self.patch)
        return x.permute(0, 1, 3, 2, 4).reshape(x.size(0), 1, self.side * self.patch, self.side * self.patch)
