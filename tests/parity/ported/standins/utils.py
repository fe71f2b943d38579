"""Replaces torchvision.utils with `tinygen.run.pictures`; also has `data`, as torch.utils does."""

from pathlib import Path

import numpy as np

from tinygen.run import pictures


def save_image(tensor, fp, nrow=8, padding=2, normalize=False) -> None:
    """Save a grid of images (N, C, H, W) as a PNG; a missing folder is created"""
    images = tensor.detach().numpy()
    if normalize:
        low, high = images.min(), images.max()
        images = (images - low) / max(high - low, 1e-5)
    path = Path(fp)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pictures.png(pictures.grid(np.clip(images, 0, 1), nrow, padding)))
