"""Replaces torchvision.transforms, for the PIL images of `datasets`."""

import numpy as np
from PIL import Image


class Compose:
    def __init__(self, transforms) -> None:
        self.transforms = transforms

    def __call__(self, image):
        for transform in self.transforms:
            image = transform(image)
        return image


class Resize:
    """Resize the smaller side to `size` pixels, bilinearly"""

    def __init__(self, size) -> None:
        self.size = size

    def __call__(self, image):
        if isinstance(self.size, int):
            scale = self.size / min(image.size)
            size = tuple(round(side * scale) for side in image.size)
        else:
            size = tuple(reversed(self.size))
        return image if size == image.size else image.resize(size, Image.Resampling.BILINEAR)


class ToTensor:
    """PIL image (H, W) -> (1, H, W) float32 in [0, 1]"""

    def __call__(self, image):
        return np.asarray(image, np.float32)[None] / np.float32(255)


class Normalize:
    """(x - mean) / std for each channel"""

    def __init__(self, mean, std) -> None:
        self.mean, self.std = (np.asarray(v, np.float32).reshape(-1, 1, 1) for v in (mean, std))

    def __call__(self, image):
        return (image - self.mean) / self.std
