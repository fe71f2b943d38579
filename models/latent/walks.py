"""Walks between two latents.

tinygen sample RUN --walk spherical          rows of images, each from one image to another
"""

from __future__ import annotations

import numpy as np

from tinygen.models.latent.space import LatentSpace
from tinygen.run.pictures import Sheet

COLUMNS = 10  # images in a walk
WAY = ["from", *(f"{i / (COLUMNS - 1):.2f}" for i in range(1, COLUMNS - 1)), "to"]  # captions above them


def linear(start: np.ndarray, end: np.ndarray, n: int) -> np.ndarray:
    """n points on the line between each pair of latent vectors.  (P, L), (P, L) -> (P, n, L)"""
    t = np.linspace(0, 1, n, dtype=np.float32)[:, None]
    return (1 - t) * start[:, None] + t * end[:, None]


def spherical(start: np.ndarray, end: np.ndarray, n: int) -> np.ndarray:
    """n points on the arc between each pair (Shoemake 1985).  (P, L), (P, L) -> (P, n, L)

        sin((1 - t) a) / sin a start + sin(t a) / sin a end,   a the angle between them

    In high dimensions nearly all of N(0, 1) lies near the sphere of radius sqrt(L), and the middle of a line does not.
    For parallel vectors the arc is the line; for opposite vectors and for zero it is not unique, and the line is taken.
    """
    lengths = np.linalg.norm(start, axis=1) * np.linalg.norm(end, axis=1)
    cosine = (start * end).sum(1) / np.maximum(lengths, 1e-30)
    angle = np.arccos(np.clip(cosine, -1, 1))[:, None, None]
    t = np.linspace(0, 1, n)[:, None]
    straight = (np.sin(angle) < 1e-4) | (lengths == 0)[:, None, None]
    safe = np.where(straight, 1.0, angle)
    before = np.where(straight, 1 - t, np.sin((1 - t) * safe) / np.sin(safe))
    after = np.where(straight, t, np.sin(t * safe) / np.sin(safe))
    return (before * start[:, None] + after * end[:, None]).astype(np.float32)


PATHS = {"linear": linear, "spherical": spherical}


def walks(space: LatentSpace, n: int, kind: str, seed: int) -> Sheet:
    """n walks between pairs of latents, one per row.  -> a sheet of n · COLUMNS images"""
    z = space.draw(2 * n, "test", seed)
    free = z.shape[1] - space.held
    path = PATHS[kind](z[:n, :free], z[n:, :free], COLUMNS)
    held = np.repeat(z[:n, None, free:], COLUMNS, axis=1)  # of the start, along the whole walk
    images = space.decode(np.concatenate([path, held], axis=2).reshape(-1, z.shape[1]))
    return Sheet(images, COLUMNS, WAY, space.told(z[:n]), f"{kind} walk between two latents")
