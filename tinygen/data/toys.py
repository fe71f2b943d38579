"""Two-dimensional toy datasets, whose modes can be counted."""

from __future__ import annotations

import numpy as np

from tinygen.data.data_error import DataError
from tinygen.random import Stream

TOYS = {
    "ring8": "8 Gaussians of standard deviation 0.01 on the unit circle",
    "grid25": "25 Gaussians of standard deviation 0.05 on a 5 x 5 grid, 2 apart",
    "moons": "two interleaved half circles with noise of standard deviation 0.05",
}
STD = {"ring8": 0.01, "grid25": 0.05, "moons": 0.05}


def toy(name: str, n: int, stream: Stream) -> np.ndarray:
    """Draw n points from a toy.  -> (n, 2) float32"""
    _known(name)
    if name == "moons":
        lower, angle = stream.integers(0, 2, n) == 1, np.pi * stream.uniform(n, np.float64)
        middle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        middle[lower] = [1, 0.5] - middle[lower]
    else:
        centers = toy_centers(name)
        middle = centers[stream.integers(0, len(centers), n)]
    return (middle + STD[name] * stream.normal((n, 2))).astype(np.float32)


def toy_centers(name: str) -> np.ndarray:
    """The means of a mixture's modes.  -> (modes, 2) float64"""
    _known(name)
    if name == "ring8":
        angle = 2 * np.pi * np.arange(8) / 8
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)
    if name == "grid25":
        return np.stack(np.meshgrid(*[np.arange(-4.0, 5.0, 2.0)] * 2), axis=-1).reshape(25, 2)
    raise DataError(f"{name} is not a mixture: it has no centers")


def _known(name):
    if name not in TOYS:
        raise DataError(f"no toy {name!r}; known: {', '.join(TOYS)}")
