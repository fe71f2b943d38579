"""Which modes of a mixture a generator covers: PacGAN's measures (Lin et al. 2018, arXiv 1712.04086, section 4.1)."""

from __future__ import annotations

import numpy as np

from tinygen.metrics.metric_error import MetricError

NEAR = 3  # a sample counts if it is within this many standard deviations of a center


def mode_measures(points, centers, std: float) -> dict:
    """Modes covered, share of high-quality samples, reverse KL over the modes.  (N, 2), (M, 2) -> three numbers

    A sample is of high quality if it lies within 3 `std` of its nearest center, and then counts for that mode.  With
    n_j samples of mode j, n their sum and p_j = n_j / n:

        modes = number of j with n_j > 0        high_quality = n / N        reverse_kl = sum_j p_j log(M p_j)

    reverse_kl is KL(generated || uniform) in nats: log(M / modes) if the covered modes have equal shares, nan if no
    sample counts.  Only high-quality samples are counted, as in PacGAN's published code.
    """
    points, centers = np.asarray(points, np.float64), np.asarray(centers, np.float64)
    if points.ndim != 2 or points.shape[1:] != centers.shape[1:]:
        raise MetricError(f"modes: found points {points.shape}, expected (N, {centers.shape[1]})")
    if len(points) < 10 * len(centers):
        raise MetricError(
            f"modes: found {len(points)} samples, expected {10 * len(centers)} or more, ten for each of "
            f"{len(centers)} modes"
        )
    distance = np.sqrt(((points[:, None] - centers) ** 2).sum(2))  # (N, M)
    near = distance.min(1) < NEAR * std
    counts = np.bincount(distance.argmin(1)[near], minlength=len(centers))
    p = counts[counts > 0] / max(1, counts.sum())
    return {
        "modes": len(p),
        "high_quality": float(near.mean()),
        "reverse_kl": float((p * np.log(len(centers) * p)).sum()) if len(p) else float("nan"),
    }
