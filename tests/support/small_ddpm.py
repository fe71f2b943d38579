"""Small images and short training runs of DDPM."""

from __future__ import annotations

import numpy as np
from support.small_gans import blobs

import tinygen as tg
from tinygen.models import ddpm
from tinygen.run.flags import make_config
from tinygen.run.training import Run

SMALL = dict(steps=4, batch=8, width=8, noise_levels=30, pictures_every=100, checkpoint_every=100)
SMALL |= dict(schedule="linear", predict="eps")  # the paper's


def config_of(**values):
    """A Config for a short run."""
    return make_config(ddpm.Config, SMALL | values)


def load(name, data_dir=None, grey=False):
    """40 small images in the place of a data set."""
    return blobs(name, n=40, shape=(3, 32, 32) if name == "cifar10" else (28, 28))


def trained(folder, device="cpu", **values):
    """A short run that has been trained."""
    config = config_of(**values)
    return ddpm.train(config, Run.create("ddpm", config, folder, device=device))


class Right:
    """A network that knows the only image: its noise is exact, and so is every step."""

    def __init__(self, x0, schedule):
        self.x0, self.schedule = x0, schedule

    def __call__(self, x, t, label):
        a = self.schedule.alpha_bar[t.numpy()].reshape(-1, 1, 1, 1)
        return tg.tensor((x.numpy() - np.sqrt(a) * self.x0) / np.sqrt(1 - a))

    def parameters(self):
        return [tg.zeros(1)]
