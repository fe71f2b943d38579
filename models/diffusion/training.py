"""Around a diffusion model's training loop: learning rate, labels, and what is logged and shown."""

from __future__ import annotations

import math

import numpy as np

from tinygen.data import batch_indices
from tinygen.models.diffusion import denoising
from tinygen.models.diffusion.schedule import NoiseSchedule, picture
from tinygen.models.shared.images import signed
from tinygen.models.shared.labels import CLASSES, classes_asked
from tinygen.ops.tensor.conversion import own
from tinygen.random import Generator
from tinygen.run.flags import FlagError
from tinygen.run.pictures import by_class, gif
from tinygen.run.terminal import say


def lr_factor(step: int, steps: int) -> float:
    """The factor of the learning rate: up to 1 in the first 200 steps, times half a cosine that is 0 at the end."""
    return min(1.0, (step + 1) / 200) * 0.5 * (1 + math.cos(math.pi * step / max(1, steps)))


def label_batch(labels, config, draws: Generator, step: int, device):
    """The labels of a step's images, some of them replaced by "no class"; None without labels.  -> (N,)"""
    if labels is None:
        return None
    label = labels[batch_indices(len(labels), config.batch, config.seed, step)]
    return left_out(label, config, draws, step, None).to(device)


def left_out(label, config, draws: Generator, step: int, device):
    """A step's labels as a Tensor, some of them replaced by "no class".  (N,), an array on the device"""
    dropped = draws.at("label-dropout", step, device).uniform(config.batch) < config.label_dropout
    return own(np.where(dropped, CLASSES, label))


def classes_of(config) -> int:
    """The number of classes that the network takes, 0 for none.  Checks --label-dropout."""
    if not config.conditional and config.label_dropout != type(config).label_dropout:
        raise FlagError("--label-dropout: only with --conditional")
    if not config.label_dropout:
        raise FlagError(
            "--label-dropout: found 0, expected more: guidance, the bound, --walk and --inpaint ask without labels"
        )
    return CLASSES if config.conditional else 0


def by_quarter(losses: np.ndarray, t: np.ndarray, T: int) -> dict[str, float]:
    """The mean loss of each quarter of the levels that the batch has, since each converges to its own value."""
    quarter = (4 * (t - 1)) // T
    return {f"loss_t{q + 1}of4": losses[quarter == q].mean() for q in range(4) if (quarter == q).any()}


def log_losses(run, losses, t) -> None:
    """Log the mean loss of a step, over all levels and over each quarter of them.  losses, t (N,)"""

    def log(mean, losses, t) -> None:
        run.log(loss=mean, **by_quarter(losses, t, run.config.noise_levels))

    run.when_read(log, losses.mean(), losses.detach(), t)


def describe(run, schedule: NoiseSchedule, images: np.ndarray) -> None:
    """Print how noisy the last level of the schedule is, and draw the schedule as schedule.png."""
    square = float(np.square(signed(images[:10_000])).mean())
    run.write("schedule.png", picture(schedule, square))
    say(
        f"{run.folder}: noise schedule {run.config.schedule}, T {schedule.T}: "
        f"signal to noise at T {schedule.snr[-1]:.2e}, prior KL {schedule.prior_kl(square)[-1]:.2e} bits/dim"
    )


def show(run, denoiser: denoising.Denoiser) -> None:
    """Images, always from the same noise, and how four of them emerge from it, as a strip and as an animation.

    8 rows, with one column per class if the run is conditional.
    """
    n = 8 * (CLASSES if run.config.conditional else 8)
    labels = classes_asked(run.config, n, None)
    run.sheet("samples", by_class(denoising.drawn(denoiser, n, 0, labels), labels))
    labels = classes_asked(run.config, 4, None)
    frames = denoising.trajectory(denoiser, 4, 0, labels)
    run.sheet("denoising", denoising.strip(frames, labels))
    run.write(f"samples/denoising-{run.done:06d}.gif", gif(denoising.animated(frames, labels)))
