"""All measures of generated images against a dataset, with their floors and ceilings.

    image_measures(images, "mnist")     {"fd": ..., "fd_floor": ..., "fd_ceiling": ..., "kid": ..., ...}

Floors and ceilings were measured by `limits.py` and are shipped with the evaluators' weights.
"""

from __future__ import annotations

import json
from functools import cached_property, lru_cache

import numpy as np

from tinygen.data import load
from tinygen.metrics.classes import class_histogram_kl, inception_score, top_probability
from tinygen.metrics.evaluator import (
    FEATURES,
    WEIGHTS,
    Evaluator,
    Standardised,
    features_and_logits,
    load_evaluator,
)
from tinygen.metrics.frechet import expect_enough, frechet_distance
from tinygen.metrics.kid import kernel_distance
from tinygen.metrics.metric_error import MetricError
from tinygen.metrics.neighbours import memorisation, precision_recall_density_coverage
from tinygen.run.terminal import say

REFERENCE = 10_000  # the first training images, to compare with; memorisation uses all


def image_measures(images: np.ndarray, data: str, data_dir=None) -> dict[str, float]:
    """Measure images against the training images of a dataset, by the features and classes of its evaluator.

    images (N, 28, 28) or (N, 1, 28, 28) in [0, 1]; 10,000 to compare with floors and ceilings.  Raises MetricError.

    fd fd_floor fd_ceiling                  Fréchet distance, lower is better
    kid ...                                 kernel distance, lower is better
    inception_score ...                     the evaluator's, not Inception's: 1 to 10, higher is better
    top_probability ...                     mean probability of the top class, 0.1 to 1; noise can have a high one
    class_kl ...                            KL(generated || data) of the class histograms in nats, lower is better
    precision recall density coverage ...   k = 5, higher is better
    memorisation ...                        share closer to training images than those to each other; copies: 1
    """
    net = load_evaluator(data)
    images = checked(images)
    expect_enough(len(images), FEATURES)
    if len(images) != REFERENCE:
        say(f"measures of {len(images):,} images; their floors and ceilings are for {REFERENCE:,}")
    return measures_of(net, images, Reference.of(data, data_dir)) | known_limits(data)


def quick_measures(images: np.ndarray, data: str, data_dir=None) -> dict[str, float]:
    """fd and inception_score alone, cheap enough to be measured during training."""
    net, images = load_evaluator(data), checked(images)
    expect_enough(len(images), FEATURES)
    reference = Reference.of(data, data_dir)
    features, logits = features_and_logits(net, images)
    return {
        "fd": frechet_distance(reference.standardise(features), reference.features),
        "inception_score": inception_score(logits),
    }


def checked(images) -> np.ndarray:
    """Images as (N, 28, 28) float32, after a look at their shape and values."""
    images = np.asarray(images)
    if images.ndim == 4 and images.shape[1] == 1:
        images = images[:, 0]
    if images.ndim == 4 and images.shape[1] == 3:
        raise MetricError(
            f"images: found colour, {images.shape}; expected grey (N, 28, 28) or (N, 1, 28, 28)"
        )
    if images.ndim != 3 or images.shape[1:] != (28, 28):
        raise MetricError(f"images: found shape {images.shape}, expected (N, 28, 28) or (N, 1, 28, 28)")
    if images.dtype.kind != "f":
        raise MetricError(f"images: found {images.dtype}, expected floats in [0, 1]")
    low, high = (images.min(), images.max()) if images.size else (0, 0)
    if not (low >= 0 and high <= 1):
        raise MetricError(f"images: found values from {low:.3g} to {high:.3g}, expected [0, 1]")
    return images.astype(np.float32, copy=False)


def known_limits(data: str) -> dict[str, float]:
    """The floors and ceilings, NAME_floor and NAME_ceiling, that `python -m tinygen.metrics.limits` measured."""
    known = json.loads((WEIGHTS / f"{data}.json").read_text())
    return {f"{name}_{kind}": value for kind in ("floor", "ceiling") for name, value in known[kind].items()}


class Reference:
    """The dataset's side of the measures: the evaluator's features of its training images."""

    def __init__(self, net: Evaluator, train_images: np.ndarray, train_labels: np.ndarray) -> None:
        self.net, self.train_images, self.labels = net, train_images, train_labels
        features, _ = features_and_logits(net, train_images[:REFERENCE], "reference")
        self.standardise = Standardised(features)
        self.features = self.standardise(features)  # (REFERENCE, F)

    @cached_property
    def all_features(self) -> np.ndarray:
        """The standardised features of all training images; 60,000 take some seconds.  (N, F)"""
        rest, _ = features_and_logits(self.net, self.train_images[REFERENCE:], "training images")
        return np.concatenate([self.features, self.standardise(rest)])

    @classmethod
    @lru_cache(maxsize=2)
    def of(cls, data: str, data_dir=None) -> Reference:
        """The reference of a dataset, cached."""
        dataset = load(data, data_dir, grey=True)
        return cls(load_evaluator(data), dataset.train_images, dataset.train_labels)


def measures_of(net: Evaluator, images: np.ndarray, reference: Reference) -> dict[str, float]:
    """The measures themselves, for images returned by `checked`."""
    features, logits = features_and_logits(net, images)
    x = reference.standardise(features)
    return {
        "fd": frechet_distance(x, reference.features),
        "kid": kernel_distance(x, reference.features),
        "inception_score": inception_score(logits),
        "top_probability": top_probability(logits),
        "class_kl": class_histogram_kl(logits.argmax(axis=1), reference.labels),
        **precision_recall_density_coverage(reference.features, x),
        "memorisation": memorisation(reference.all_features, x),
    }
