"""Measures by nearest neighbors among features: what is realistic, what is missing, what is copied.

The ball of an image is centered at its features and reaches to the k-th nearest other image of the same set.
"""

from __future__ import annotations

import numpy as np

from tinygen.metrics.metric_error import MetricError
from tinygen.run.progress import progress

ELEMENTS = 5_000_000  # in a block of the distance matrix: 40 MB
NEAR = 1e-4  # squared distances below this share of |x|² are computed from differences, as the expanded form cancels
# tolerance when a distance is compared with a radius, since the two come from different products
ROUNDING = 1 + 1e-9


def precision_recall_density_coverage(real: np.ndarray, fake: np.ndarray, k: int = 5) -> dict[str, float]:
    """The four measures of features real (N, F) and fake (M, F).

    precision  share of fake images in the ball of at least one real image (Kynkäänniemi et al. 2019, arXiv 1904.06991)
    recall     share of real images in the ball of at least one fake image
    density    number of real balls a fake image is in, divided by k; may exceed 1 (Naeem et al. 2020, arXiv 2002.09797)
    coverage   share of real images with at least one fake image in their ball

    A ball includes its surface: repeated images have balls of radius 0, and each is in those of its copies.
    """
    for features in (real, fake):
        if len(features) <= k:
            raise MetricError(f"precision: found {len(features)} images, expected more than k = {k}")
    real_radii, fake_radii = ball_radii(real, k), ball_radii(fake, k)
    inside_real = np.zeros(len(fake), np.int64)  # real balls that each fake image is in
    recalled, covered = np.empty(len(real), bool), np.empty(len(real), bool)
    for part, distances in _distance_blocks(real, fake, "precision and recall"):
        in_ball = distances <= real_radii[part, None] * ROUNDING
        inside_real += in_ball.sum(axis=0)
        recalled[part] = (distances <= fake_radii * ROUNDING).any(axis=1)
        covered[part] = in_ball.any(axis=1)
    return {
        "precision": float((inside_real > 0).mean()),
        "recall": float(recalled.mean()),
        "density": float(inside_real.mean() / k),
        "coverage": float(covered.mean()),
    }


def memorisation(train: np.ndarray, fake: np.ndarray) -> float:
    """The share of fake images that are closer to a training image than training images are to each other.

    Let r be the training image nearest to a fake image g, and r' the nearest to r that differs from it: the share with
    |g - r| < |r - r'|, which is 1 - authenticity (Alaa et al. 2022, arXiv 2102.08921).  It is 1 for copies.  Unseen
    images of the same distribution have a share of their own, the floor; only more than that is memorisation.
    Repeated training images count once.  train (N, F), fake (M, F)
    """
    train = np.unique(train, axis=0)
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
    """The squared distance from each row to its k-th nearest other row.  (N, F) -> (N,)"""
    radii = np.empty(len(x))
    for part, distances in _distance_blocks(x, x, "neighbours"):
        distances[np.arange(len(distances)), np.arange(len(x))[part]] = np.inf  # not itself
        radii[part] = np.partition(distances, k - 1, axis=1)[:, k - 1]
    return radii


def _distance_blocks(x, y, what):
    """Blocks of rows of the squared distances |x_i - y_j|² = [x_i, |x_i|², 1] · [-2 y_j, 1, |y_j|²].

    In float64, because the terms cancel, and small ones from the differences: 0 for equal rows, and symmetric.
    x (N, F), y (M, F), yields (slice of the rows, (rows, M)).
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    a, b = x - y.mean(axis=0), y - y.mean(axis=0)
    squares = (a * a).sum(axis=1)
    left = np.column_stack([a, squares, np.ones(len(a))])
    right = np.column_stack([-2 * b, np.ones(len(b)), (b * b).sum(axis=1)]).T
    rows = max(1, ELEMENTS // len(y))
    for start in progress(range(0, len(x), rows), what):
        part = slice(start, min(start + rows, len(x)))
        distances = left[part] @ right
        near = distances <= NEAR * squares[part, None]
        for i in np.flatnonzero(near.any(axis=1)):
            difference = x[start + i] - y[near[i]]
            distances[i, near[i]] = np.einsum("nf,nf->n", difference, difference)
        yield part, distances
