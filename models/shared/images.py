"""Training images: their shape, their range, the batch of a step."""

from __future__ import annotations

import numpy as np

from tinygen import data, tensor
from tinygen.ops.tensor.conversion import own


def shape_of(name: str) -> tuple[int, int, int]:
    """Channels, height and width of the images of a data set."""
    return (3, 32, 32) if name == "cifar10" else (1, 28, 28)


def signed(images: np.ndarray) -> np.ndarray:
    """Bytes as float32 in [-1, 1], the range of tanh."""
    x = np.divide(images, np.float32(127.5), dtype=np.float32)
    x -= np.float32(1)
    return x


def real_images(feed: data.Feed, step: int):
    """The images of a step as a Tensor in [-1, 1].  -> (batch, C, H, W)"""
    return own(signed(feed.at(step)[0]))


def real_batch(images, config, step: int, device):
    """The images of a step as a Tensor in [-1, 1].  images (n, C, H, W) uint8 -> (batch, C, H, W)"""
    chosen = data.batch_indices(len(images), config.batch, config.seed, step)
    return tensor(signed(images[chosen]), device=device)
