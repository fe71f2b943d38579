"""Measures that look at nearest neighbours among features: what is real, what is missing, what is copied.

The ball of an image is around its features and reaches to its k-th nearest other image of the same set.
"""

from __future__ import annotations

import numpy as np

from tinygen.metrics.errors import MetricError
from tinygen.progress import progress

ELEMENTS = 5_000_000  # of a block of the distance matrix: 40 MB


def precision_recall_density_coverage(real: np.ndarray, fake: np.ndarray, k: int = 5) -> dict[str, float]:
    """The four measures of features real (N, F) and fake (M, F).

    precision  share of fake images in the ball of at least one real image (Kynkäänniemi et al. 2019, arXiv 1904.06991)
    recall     share of real images in the ball of at least one fake image
    density    how many real balls a fake image is in, over k; may exceed 1  (Naeem et al. 2020, arXiv 2002.09797)
    coverage   share of real images with at least one fake image in their ball
    """
    for features in (real, fake):
        if len(features) <= k:
            raise MetricError(f"precision: found {len(features)} images, expected more than k = {k}")
    real_radii, fake_radii = ball_radii(real, k), ball_radii(fake, k)
    inside_real = np.zeros(len(fake), np.int64)  # real balls that each fake image is in
    recalled, covered = np.empty(len(real), bool), np.empty(len(real), bool)
    for part, distances in _distance_blocks(real, fake, "precision and recall"):
        in_ball = distances < real_radii[part, None]
        inside_real += in_ball.sum(axis=0)
        recalled[part] = (distances < fake_radii).any(axis=1)
        covered[part] = in_ball.any(axis=1)
    return {
        "precision": float((inside_real > 0).mean()),
        "recall": float(recalled.mean()),
        "density": float(inside_real.mean() / k),
        "coverage": float(covered.mean()),
    }


def memorisation(train: np.ndarray, fake: np.ndarray) -> float:
    """Share of fake images that are closer to a training image than training images are to each other.

    With r the training image nearest to the fake image g, and r' the other one nearest to r: the share with
    |g - r| < |r - r'|, which is 1 - authenticity (Alaa et al. 2022, arXiv 2102.08921).  1 for copies; unseen images
    of the same distribution have a share of their own, the floor, and only above that has anything been memorised.
    train (N, F), fake (M, F)
    """
    nearest, distance = np.empty(len(fake), np.int64), np.empty(len(fake))
    for part, distances in _distance_blocks(fake, train, "nearest training images"):
        nearest[part] = distances.argmin(axis=1)
        distance[part] = distances[np.arange(len(distances)), nearest[part]]
    used, of_fake = np.unique(nearest, return_inverse=True)
    between = np.empty(len(used))
    for part, distances in _distance_blocks(train[used], train, "their nearest others"):
        distances[np.arange(len(distances)), used[part]] = np.inf  # not itself
        between[part] = distances.min(axis=1)
    return float((distance < between[of_fake]).mean())


def ball_radii(x: np.ndarray, k: int) -> np.ndarray:
    """The squared distance of each row to its k-th nearest other row.  (N, F) -> (N,)"""
    radii = np.empty(len(x))
    for part, distances in _distance_blocks(x, x, "neighbours"):
        distances[np.arange(len(distances)), np.arange(len(x))[part]] = np.inf  # not itself
        radii[part] = np.partition(distances, k - 1, axis=1)[:, k - 1]
    return radii


def _distance_blocks(x, y, what):
    """Blocks of rows of the squared distances |x_i - y_j|² = [x_i, |x_i|², 1] · [-2 y_j, 1, |y_j|²].

    In float64, because the terms cancel: what should be 0 comes out as 1e-12 or -1e-12.  x (N, F), y (M, F), yields
    (slice of the rows, (rows, M)).
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    left = np.column_stack([x, (x * x).sum(axis=1), np.ones(len(x))])
    right = np.column_stack([-2 * y, np.ones(len(y)), (y * y).sum(axis=1)]).T
    rows = max(1, ELEMENTS // len(y))
    for start in progress(range(0, len(x), rows), what):
        part = slice(start, min(start + rows, len(x)))
        yield part, left[part] @ right
