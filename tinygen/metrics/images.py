"""All measures of generated images against a data set, and their floors and ceilings.

    image_measures(images, "mnist")     {"fd": ..., "fd_floor": ..., "fd_ceiling": ..., "kid": ..., ...}
    python -m tinygen.metrics.images mnist     measures the floors and ceilings and writes weights/mnist.json

A floor is what 10,000 unseen real images, the test set, measure: no generator needs to be better.  A ceiling is what
noise measures: each pixel independently 0 or 1, with the mean training image's probability of 1.
"""

from __future__ import annotations

import hashlib
import json
import sys
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from tinygen.data import binarize, load
from tinygen.metrics.classes import class_histogram_kl, inception_score
from tinygen.metrics.errors import MetricError
from tinygen.metrics.evaluator import WEIGHTS, Evaluator, Standardised, features_and_logits, load_evaluator
from tinygen.metrics.frechet import frechet_distance
from tinygen.metrics.kid import kernel_distance
from tinygen.metrics.neighbours import memorisation, precision_recall_density_coverage
from tinygen.random import Generator

REFERENCE = (
    10_000  # training images, the first ones, that all but memorisation (which takes all) compare with
)


def image_measures(images: np.ndarray, data: str, data_dir=None) -> dict[str, float]:
    """Images against the training images of a data set, on the features and classes of its evaluator.

    images (N, 28, 28) or (N, 1, 28, 28) in [0, 1], 10,000 for comparison with floors and ceilings.  Raises MetricError.

    fd fd_floor fd_ceiling                  Fréchet distance, lower is better
    kid ...                                 kernel distance, lower is better
    inception_score ...                     the evaluator's, not Inception's: 1 to 10, higher is better
    class_kl ...                            KL(generated || data) of the class histograms in nats, lower is better
    precision recall density coverage ...   k = 5, higher is better
    memorisation ...                        share nearer to training images than those to each other; copies: 1
    """
    net = load_evaluator(data)
    images = checked(images)
    reference = _reference(data, data_dir)
    return _measures(net, images, reference) | limits(data)


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


def limits(data: str) -> dict[str, float]:
    """The floors and ceilings, NAME_floor and NAME_ceiling, as `python -m tinygen.metrics.images` measured them."""
    known = json.loads(_limits_file(data).read_text())
    return {f"{name}_{kind}": value for kind in ("floor", "ceiling") for name, value in known[kind].items()}


class Reference(NamedTuple):
    """The data set's side of the measures; features standardised."""

    standardise: Standardised
    features: np.ndarray  # (10000, F) of the first training images
    all_features: np.ndarray  # (60000, F) of all of them
    labels: np.ndarray  # (60000,)


@lru_cache(maxsize=1)
def _reference(data, data_dir) -> Reference:
    dataset = load(data, data_dir)
    features, _ = features_and_logits(load_evaluator(data), dataset.train_images, "training images' features")
    standardise = Standardised(features[:REFERENCE])
    features = standardise(features)
    return Reference(standardise, features[:REFERENCE], features, dataset.train_labels)


def _measures(net: Evaluator, images: np.ndarray, reference: Reference) -> dict[str, float]:
    features, logits = features_and_logits(net, images, "features")
    x = reference.standardise(features)
    return {
        "fd": frechet_distance(x, reference.features),
        "kid": kernel_distance(x, reference.features),
        "inception_score": inception_score(logits),
        "class_kl": class_histogram_kl(logits.argmax(axis=1), reference.labels),
        **precision_recall_density_coverage(reference.features, x),
        "memorisation": memorisation(reference.all_features, x),
    }


def noise(train_images: np.ndarray, n: int) -> np.ndarray:
    """n images of independent pixels, 1 with the mean image's probability.  (M, 28, 28) uint8 -> (n, 28, 28) float32"""
    mean = np.broadcast_to(train_images.mean(axis=0), (n, *train_images.shape[1:]))
    return binarize(mean, Generator(0).at("ceiling"))


def measure_limits(data: str, data_dir=None) -> dict[str, dict]:
    """{"floor": measures of the test images, "ceiling": measures of as much noise}"""
    dataset, net = load(data, data_dir), load_evaluator(data)
    test = np.divide(dataset.test_images, 255, dtype=np.float32)
    reference = _reference(data, data_dir)
    return {
        "floor": _measures(net, test, reference),
        "ceiling": _measures(net, noise(dataset.train_images, len(test)), reference),
    }


def _limits_file(data):
    return WEIGHTS / f"{data}.json"


def main(names) -> None:
    for name in names:
        weights = hashlib.sha256((WEIGHTS / f"{name}.safetensors").read_bytes()).hexdigest()
        facts = {"command": f"python -m tinygen.metrics.images {name}", "weights_sha256": weights}
        content = {**facts, **measure_limits(name)}
        text = json.dumps(content, indent=2) + "\n"
        _limits_file(name).write_text(text)
        print(text, end="")


if __name__ == "__main__":
    main(sys.argv[1:])
