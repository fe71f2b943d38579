"""What can be done in the space of z: walks between two images, and attributes added and subtracted.

    man with glasses - man + woman = woman with glasses          (Radford et al. 2015, arXiv 1511.06434, section 6.3.2)

Attributes here are measured on the image (tinygen/metrics/attributes.py), so that the sum can be checked: the vector is
found on some images, added to others and the attribute of what comes out is measured again.

    tinygen sample RUN --walk spherical          rows of images between two of them
    tinygen sample RUN --attribute slant         rows of one image, the vector times -2 ... 2 added
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

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tinygen.metrics import MetricError, features_and_logits, load_evaluator
from tinygen.metrics.attributes import ATTRIBUTES
from tinygen.run.flags import FlagError
from tinygen.run.pictures import Sheet
from tinygen.run.terminal import say

STEPS = np.linspace(-2, 2, 9)  # standard deviations of the prior along the vector
COLUMNS = 10  # images of a walk
WAY = ["from", *(f"{i / (COLUMNS - 1):.2f}" for i in range(1, COLUMNS - 1)), "to"]  # words over them
FOUND_ON = 40_000  # images that a vector is found on; from 10,000 its noise already moves classes
ROWS = 5_000  # of them at a time
EXTREMES = 0.2  # share of a class that counts as high, and as low, in an attribute
SURE = 0.99  # probability from which on the evaluator is sure of a class
LEAST = 100  # images to measure on


@dataclass(frozen=True)
class LatentSpace:
    """What a model gives to be explored: `draw` z that stand for images, `decode` them.

    draw(n, split, seed) -> (n, L) float32, z of other images for "train" than for "test"
    decode (N, L) -> (N, 28, 28) in [0, 1];  data: the data set trained on
    held: how many numbers at the end of z are no place in the space, such as a label, and stay as they are
    told: z (N, L) -> what is held in words, to stand beside the image
    """

    draw: Callable
    decode: Callable
    data: str
    held: int = 0
    told: Callable = lambda z: ()


def explored(
    space: LatentSpace,
    n: int,
    *,
    seed: int = 0,  # of the latents
    walk: Literal["linear", "spherical"] | None = None,  # rows of images from one to another, along this path
    attribute: Literal["slant", "stroke_width"] | None = None,  # rows of an image, from less of it to more
) -> Sheet:
    """What `tinygen sample --walk` or `--attribute` draws: n rows of images."""
    if (walk is None) == (attribute is None):
        raise FlagError("--walk, --attribute: expected one of them")
    return walks(space, n, walk, seed) if walk else attribute_rows(space, n, attribute, seed)


# Walks


def linear(start: np.ndarray, end: np.ndarray, n: int) -> np.ndarray:
    """n points on the line between each pair of latent vectors.  (P, L), (P, L) -> (P, n, L)"""
    t = np.linspace(0, 1, n, dtype=np.float32)[:, None]
    return (1 - t) * start[:, None] + t * end[:, None]


def spherical(start: np.ndarray, end: np.ndarray, n: int) -> np.ndarray:
    """n points on the arc between each pair (Shoemake 1985).  (P, L), (P, L) -> (P, n, L)

        sin((1 - t) a) / sin a start + sin(t a) / sin a end,   a the angle between them

    In high dimensions nearly all of N(0, 1) lies near the sphere of radius sqrt(L), and a line's middle does not.
    Vectors of one direction have the line as their arc; opposite ones and zero have no one arc, and get the line too.
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
    """Images on the way between n pairs of latents, a walk a row.  n COLUMNS images"""
    z = space.draw(2 * n, "test", seed)
    free = z.shape[1] - space.held
    path = PATHS[kind](z[:n, :free], z[n:, :free], COLUMNS)
    held = np.repeat(z[:n, None, free:], COLUMNS, axis=1)  # the start's, along the whole walk
    images = space.decode(np.concatenate([path, held], axis=2).reshape(-1, z.shape[1]))
    return Sheet(images, COLUMNS, WAY, space.told(z[:n]), f"{kind} walk between two latents")


# Attributes


def attribute_vector(z: np.ndarray, values: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The direction in which an attribute grows and classes do not.  z (N, L), (N,), (N,) -> (L,), of length 1

    Within each class, the mean of the fifth of the latents with the highest values minus that of the fifth with the
    lowest, averaged over the classes; less its part in the space of the differences between the classes' means.
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
    """The vector of an attribute from FOUND_ON images, ROWS of them at a time.  -> (L,)"""
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
    """What the frozen evaluator says.  (N, 28, 28) -> (N, 10), or None where the data has no evaluator"""
    try:
        _, logits = features_and_logits(load_evaluator(data), images)
    except MetricError:
        return None
    p = np.exp(logits - logits.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def moved(space: LatentSpace, z, vector) -> list[np.ndarray]:
    """The images of z + t vector, for each t of STEPS.  z (N, L) -> len(STEPS) times (N, 28, 28)"""
    return [space.decode(z + np.float32(t) * vector) for t in STEPS]


def attribute_rows(space: LatentSpace, n: int, attribute: str, seed: int) -> Sheet:
    """n images, each in a row of itself with the vector added -2 ... 2 times.  n len(STEPS) images"""
    z = space.draw(n, "test", seed)
    rows = np.stack(moved(space, z, found_vector(space, attribute)), axis=1)
    images, over = rows.reshape(-1, *rows.shape[2:]), [f"{t:+g}" if t else "0" for t in STEPS]
    title = f"{attribute.replace('_', ' ')}: its vector added so many times"
    return Sheet(images, len(STEPS), over, space.told(z), title)


def attribute_measures(
    space: LatentSpace,
    *,
    attribute: Literal["slant", "stroke_width"] | None = None,  # measures only what adding its vector does
    samples: int = 2000,  # images
) -> dict:
    """Is the attribute, measured again, a line in the step, and is the image still of its class?

    slope r2 monotone: of the mean attribute of all images against the step, in standard deviations of the prior
    class_kept: share of images and steps with the class of the image at step 0, of the images whose class the
    evaluator is sure of there (probability >= 0.99; their share is `sure`): a blend of two digits has none to keep
    class_kept_worst: the same at the step where it is least; class_kept_all: over all images
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
    """Slope and R² of the least-squares line.  R² = 1 - residual / total sum of squares"""
    slope, intercept = np.polyfit(x, y, 1)
    residual, total = ((y - slope * x - intercept) ** 2).sum(), ((y - np.mean(y)) ** 2).sum()
    return float(slope), float(1 - residual / total) if total else 0.0
