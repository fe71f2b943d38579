"""Fréchet distance between two sets of features, each modeled as a Gaussian  (Dowson & Landau 1982).

With Inception's features this is the FID (Heusel et al. 2017, arXiv 1706.08500); with another network's it is not, and
is not called so here.
"""

from __future__ import annotations

import numpy as np

from tinygen.metrics.metric_error import MetricError

IMAGES_PER_FEATURE = 7  # with fewer, much of the distance is sampling error of the covariances


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """The distance between the Gaussians of features x (N, F) and y (M, F); biased upwards for small N and M."""
    for features in (x, y):
        expect_enough(*features.shape)
    return gaussian_frechet_distance(*mean_and_covariance(x), *mean_and_covariance(y))


def expect_enough(images: int, features: int) -> None:
    """Raise MetricError if there are too few images to estimate the covariance of this many features."""
    need = IMAGES_PER_FEATURE * features
    if images < need:
        raise MetricError(
            f"fd: found {images:,} images, expected at least {need:,}: {IMAGES_PER_FEATURE} for each of "
            f"{features} features"
        )


def mean_and_covariance(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x (N, F) -> mean (F,), covariance (F, F), unbiased, in float64"""
    x = np.asarray(x, np.float64)
    mean = x.mean(axis=0)
    centred = x - mean
    return mean, centred.T @ centred / (len(x) - 1)


def gaussian_frechet_distance(mean1, covariance1, mean2, covariance2) -> float:
    """|m1 - m2|² + tr(S1 + S2 - 2 (S1^½ S2 S1^½)^½): the squared 2-Wasserstein distance of N(m1, S1) and N(m2, S2).

    S1^½ S2 S1^½ is symmetric, so the trace of its root is the sum of the roots of its eigenvalues.  S1 S2 of the usual
    formula has the same eigenvalues, but its computed root is complex if the covariances are nearly singular.
    """
    values, vectors = np.linalg.eigh(covariance1)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    eigenvalues = np.linalg.eigvalsh(root @ covariance2 @ root)  # negative only by rounding
    cross = np.sqrt(eigenvalues.clip(0)).sum()
    difference = mean1 - mean2
    distance = difference @ difference + np.trace(covariance1) + np.trace(covariance2) - 2 * cross
    return max(float(distance), 0.0)
