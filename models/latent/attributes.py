"""Attribute vectors: directions in the latent space that change one property of the image.

    man with glasses - man + woman = woman with glasses          (Radford et al. 2015, arXiv 1511.06434, section 6.3.2)

Here the attributes are measured on images (tinygen/metrics/attributes.py), so the sum can be checked: the vector is
computed from some images and added to others, and the attribute of the result is measured again.

    tinygen sample RUN --attribute slant         rows of one image, with -2 ... 2 times the vector added
    tinygen eval RUN --attribute slant           slope, r2, monotone, class_kept

Measured on 2,000 images of tinygen train vae --data mnist, gan --data mnist, gan --data mnist --recipe seed:

                             slope     r2   class kept   at the worst step   of all images
    vae, slant               0.136  1.000        0.986               0.959           0.963
    vae, stroke width        0.435  0.989        0.995               0.981           0.977
    gan, slant               0.170  0.999        0.929               0.867           0.858
    gan, stroke width        0.291  0.978        0.978               0.946           0.920
    seed, slant              0.047  1.000        0.977               0.938           0.894
    seed, stroke width       0.054  1.000        0.993               0.980           0.929
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from tinygen.metrics import MetricError, features_and_logits, load_evaluator
from tinygen.metrics.attributes import ATTRIBUTES
from tinygen.models.latent.space import LatentSpace
from tinygen.run.flags import FlagError
from tinygen.run.pictures import Sheet
from tinygen.run.terminal import say

STEPS = np.linspace(-2, 2, 9)  # along the vector, in standard deviations of the prior
FOUND_ON = 40_000  # images that a vector is computed from; with 10,000 its noise changes classes
ROWS = 5_000  # images decoded at a time
EXTREMES = 0.2  # share of a class that counts as high, and as low, in an attribute
SURE = 0.99  # the evaluator is sure of a class from this probability on
LEAST = 100  # fewest images to measure on


def attribute_vector(z: np.ndarray, values: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The direction in which the attribute grows and the class stays.  z (N, L), (N,), (N,) -> (L,), of length 1

    Within each class: the mean of the fifth of the latents with the highest values, minus the mean of the fifth with
    the lowest.  The average over the classes, minus its projection on the differences between the classes' means.
    """
    differences, means = [], []
    for c in np.unique(classes):
        member = (classes == c) & np.isfinite(values)
        of_c, order = z[member], np.argsort(values[member], kind="stable")
        if k := int(EXTREMES * len(order)):
            differences.append(of_c[order[-k:]].mean(0) - of_c[order[:k]].mean(0))
            means.append(of_c.mean(0))
    if not differences:
        raise MetricError(
            f"attributes: found {len(z)} images, too few to find high and low ones in any class"
        )
    between, sizes, _ = np.linalg.svd(np.transpose(means) - np.mean(means, 0)[:, None], full_matrices=False)
    between = between[:, sizes > 1e-6]  # centred means of C classes span C - 1 dimensions
    vector = np.mean(differences, axis=0)
    vector = vector - between @ (between.T @ vector)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def found_vector(space: LatentSpace, attribute: str) -> np.ndarray:
    """The vector of an attribute, from FOUND_ON images, decoded ROWS at a time.  -> (L,)"""
    z, values, classes = space.draw(FOUND_ON, "train", 0), [], []
    for part in np.split(z, range(ROWS, len(z), ROWS)):
        images = space.decode(part)
        probabilities = class_probabilities(space.data, images)
        values.append(ATTRIBUTES[attribute](images))
        classes.append(np.zeros(len(part), int) if probabilities is None else probabilities.argmax(1))
    free = z.shape[1] - space.held
    vector = attribute_vector(z[:, :free], np.concatenate(values), np.concatenate(classes))
    return np.pad(vector, (0, space.held))


def class_probabilities(data: str, images) -> np.ndarray | None:
    """The evaluator's answers.  (N, 28, 28) -> (N, 10), or None if the data set has no evaluator"""
    try:
        _, logits = features_and_logits(load_evaluator(data), images)
    except MetricError:
        return None
    p = np.exp(logits - logits.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def moved(space: LatentSpace, z, vector) -> list[np.ndarray]:
    """The images of z + t · vector for each t in STEPS.  z (N, L) -> len(STEPS) arrays (N, 28, 28)"""
    return [space.decode(z + np.float32(t) * vector) for t in STEPS]


def attribute_rows(space: LatentSpace, n: int, attribute: str, seed: int) -> Sheet:
    """n rows: an image with -2 ... 2 times the vector added.  -> a sheet of n · len(STEPS) images"""
    z = space.draw(n, "test", seed)
    rows = np.stack(moved(space, z, found_vector(space, attribute)), axis=1)
    images, over = rows.reshape(-1, *rows.shape[2:]), [f"{t:+g}" if t else "0" for t in STEPS]
    title = f"{attribute.replace('_', ' ')}: multiples of its vector added"
    return Sheet(images, len(STEPS), over, space.told(z), title)


def attribute_measures(
    space: LatentSpace,
    *,
    attribute: Literal["slant", "stroke_width"] | None = None,  # measure only the effect of adding its vector
    samples: int = 2000,  # number of images to draw
) -> dict:
    """Does the measured attribute grow linearly with the step, and does the image keep its class?

    slope r2 monotone: of the mean attribute over the step, which counts in standard deviations of the prior
    class_kept: how often the image has the same class as at step 0.  Counted over all steps and over those images of
    whose class the evaluator is sure at step 0 (probability >= 0.99; their share is `sure`), because a blend of two
    digits has no class to keep.  class_kept_worst: at the step where it is lowest; class_kept_all: over all images
    """
    if attribute is None:
        raise FlagError("--attribute: expected one of " + ", ".join(ATTRIBUTES))
    if samples < LEAST:
        raise MetricError(f"attributes: found {samples} samples, expected {LEAST} or more")
    z = space.draw(samples, "test", 0)
    images = moved(space, z, found_vector(space, attribute))
    values = np.array([np.nanmean(ATTRIBUTES[attribute](x)) for x in images])
    slope, r2 = line_fit(STEPS, values)
    found = {"attribute": attribute, "split": "test", "images": len(z), "slope": slope, "r2": r2}
    found |= {"monotone": bool((np.diff(values) > 0).all()), "values": [round(float(v), 4) for v in values]}
    before = class_probabilities(space.data, images[len(STEPS) // 2])
    if before is None:
        say(f"{space.data} has no evaluator: whether images keep their class is not measured")
        return found
    sure = before.max(1) >= SURE
    kept = [
        class_probabilities(space.data, x).argmax(1) == before.argmax(1)
        for t, x in zip(STEPS, images)
        if t != 0
    ]
    by_step = [k[sure].mean() if sure.any() else np.nan for k in kept]
    return found | {
        "class_kept": float(np.mean(by_step)),
        "class_kept_worst": float(np.min(by_step)),
        "class_kept_all": float(np.mean(kept)),
        "sure": float(sure.mean()),
    }


def line_fit(x, y) -> tuple[float, float]:
    """Slope and R² of the least-squares line; R² = 1 - residual / total sum of squares."""
    slope, intercept = np.polyfit(x, y, 1)
    residual, total = ((y - slope * x - intercept) ** 2).sum(), ((y - np.mean(y)) ** 2).sum()
    return float(slope), float(1 - residual / total) if total else 0.0
