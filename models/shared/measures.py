"""`tinygen eval` of models that draw images: how good are the images, compared with the data?"""

from __future__ import annotations

from collections.abc import Callable

from tinygen.metrics import MetricError, features_and_logits, image_measures, load_evaluator
from tinygen.metrics.frechet import expect_enough
from tinygen.metrics.images import FEATURES
from tinygen.models.shared.images import shape_of
from tinygen.run.flags import FlagError
from tinygen.run.terminal import say


def measured(
    run, n: int, draw: Callable, data_name: str | None, data_dir: str | None, labels=None, alone: bool = True
) -> dict:
    """The measures of n images from `draw()`; with the labels that were asked for (n,), their accuracy too.

    Raises an error for a data set that has no evaluator, or whose images have another shape than the run's.
    alone=False is for models that have other measures as well: if the run's own data have no evaluator, say so
    and draw nothing.
    """
    name = data_name or run.config.data
    refuse_other_shape(run, name)
    found = {"data": name, "split": "train"}
    try:
        evaluator = load_evaluator(name)
    except MetricError as e:
        if alone or name != run.config.data:
            raise
        say(f"{run.folder}: {e}")
        return found
    expect_enough(n, FEATURES)  # before the images are drawn
    images = draw()
    found |= {"images": n} | image_measures(images, name, data_dir or run.config.data_dir)
    if labels is not None:
        _, logits = features_and_logits(evaluator, images)
        found["accuracy"] = float((logits.argmax(1) == labels).mean())
    return found


def refuse_other_shape(run, name: str) -> None:
    """Raise FlagError if a data set's images do not have the shape of the run's."""
    theirs, ours = (" x ".join(map(str, shape_of(data))) for data in (name, run.config.data))
    if theirs != ours:
        raise FlagError(f"--data: images of {name} are {theirs}, those of this run {ours}")


def evaluation(sample: Callable) -> Callable:
    """The `evaluate` of a model that is measured by the images of its `sample` alone."""

    def evaluate(
        run,
        *,
        data: str | None = None,  # data set to compare with, instead of the training data
        data_dir: str | None = None,  # folder with its files
        samples: int = 10_000,  # number of images to draw
    ) -> dict:
        return measured(run, samples, lambda: sample(run, samples), data, data_dir)

    return evaluate
