"""Around a GAN's training loop: the images it starts from, and what every step ends with."""

from __future__ import annotations

import numpy as np

from tinygen import data
from tinygen.metrics import load_evaluator, quick_measures
from tinygen.models.adversarial.losses import LOSSES
from tinygen.models.adversarial.trained import averaged, drawn, settled
from tinygen.models.shared.images import shape_of
from tinygen.ops.tensor.conversion import own
from tinygen.run.flags import FlagError
from tinygen.run.pictures import by_class

MEASURED = 5_000  # images per measurement during training
UNITS = dict.fromkeys(("d_real", "d_fake"), "mean answer of D")
UNITS |= dict.fromkeys(("grad_d", "grad_g"), "norm of the gradient")
UNITS |= dict.fromkeys(("diversity", "nearest"), "times that of real images")


def load_images(config, grey: bool = False) -> tuple[data.Dataset, np.ndarray]:
    """The data set that a config names and its training images; grey=True for networks that take only grey images.

    -> dataset, (n, C, H, W) uint8
    """
    if config.batch < 2:
        raise FlagError(
            f"--batch: found {config.batch}, expected 2 or more: BatchNorm normalizes over the batch"
        )
    if config.measure_every:
        load_evaluator(config.data)  # raises an error before the first step if there is none
    dataset = data.load(config.data, config.data_dir, grey=grey)
    return dataset, dataset.train_images.reshape(-1, *shape_of(config.data))


def noise(stream, n: int, latent: int):
    """z ~ N(0, 1).  -> (n, latent)"""
    return own(stream.normal((n, latent)))


def finish_step(
    run, losses: dict, generator, ema, classes: int | None = None, measure_raw: bool = False
) -> None:
    """The end of a step: log the losses; when they are due, measure and draw images of the averaged generator.

    classes: number of labels of a conditional generator
    measure_raw: measure the generator with its current weights, which is the one that the critic judges
    """
    config = run.config
    if config.measure_every and run.every(config.measure_every):
        log_measures(
            run, settled(generator, classes) if measure_raw else averaged(generator, ema, classes), classes
        )
    run.log(**losses)
    if run.every(config.pictures_every) or run.done == config.steps:
        pictures(run, averaged(generator, ema, classes), classes)


def log_measures(run, net, classes: int | None = None) -> None:
    """Log fd and inception_score of the generator's images, to show how training goes and when it was good enough."""
    labels = np.arange(MEASURED) % classes if classes else None
    run.log(**quick_measures(drawn(net, MEASURED, 0, labels), run.config.data, run.config.data_dir))


def pictures(run, net, classes: int | None = None) -> None:
    """Draw 64 images, or 10 of each class, always from the same noise, and the curves of the log."""
    labels = np.tile(np.arange(classes), 10) if classes else None
    run.sheet("samples", by_class(drawn(net, 64 if labels is None else len(labels), 0, labels), labels))
    unit = "nats" if LOSSES[getattr(run.config, "loss", "wasserstein")].is_probability else "loss"
    run.plot_losses(UNITS | dict.fromkeys(("loss", "loss_g"), unit))
