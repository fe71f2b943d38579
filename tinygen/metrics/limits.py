"""Floors and ceilings of the measures of images, measured once and shipped with the evaluators.

    python -m tinygen.metrics.limits mnist     writes tinygen/metrics/weights/mnist.json

The floor is the measure of 10,000 unseen real images, the test set: no generator needs to be better.  The ceiling is
the measure of noise: each pixel independently 0 or 1, and 1 with the brightness of the mean training image.
"""

from __future__ import annotations

import hashlib
import json
import sys

import numpy as np

from tinygen.data import binarize, load
from tinygen.metrics.evaluator import WEIGHTS, in_unit_range, load_evaluator
from tinygen.metrics.images import Reference, measures_of
from tinygen.random import Generator

KINDS = "floor", "ceiling"


def measured(data: str, kind: str, data_dir=None) -> dict[str, float]:
    """The measures of the test images ("floor") or of as much noise ("ceiling")."""
    dataset = load(data, data_dir, grey=True)
    test = in_unit_range(dataset.test_images)
    images = test if kind == "floor" else noise(dataset.train_images, len(test))
    return measures_of(load_evaluator(data), images, Reference.of(data, data_dir))


def noise(train_images: np.ndarray, n: int) -> np.ndarray:
    """n images of independent pixels, 1 with the brightness of the mean image.  (M, 28, 28) -> (n, 28, 28) float32"""
    mean = np.broadcast_to(train_images.mean(axis=0), (n, *train_images.shape[1:]))
    return binarize(mean, Generator(0).at("ceiling"))


def main(data: str, *kinds: str) -> None:
    """Measure both kinds, or only the given ones, and keep the other's numbers."""
    file = WEIGHTS / f"{data}.json"
    weights = (WEIGHTS / f"{data}.safetensors").read_bytes()
    known = json.loads(file.read_text()) if file.exists() else {}
    known["command"] = f"python -m tinygen.metrics.limits {data}"
    known["weights_sha256"] = hashlib.sha256(weights).hexdigest()
    for kind in kinds or KINDS:
        known[kind] = measured(data, kind)
    text = json.dumps(known, indent=2) + "\n"
    file.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main(*sys.argv[1:])
