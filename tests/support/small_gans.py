"""Small images and short training runs of the GAN papers."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np

from tinygen.data import Dataset
from tinygen.run.flags import make_config
from tinygen.run.training import Run

MODELS = ["gan", "dcgan", "wgan", "wgan_gp", "cgan"]
SMALL = {"steps": 6, "batch": 8, "latent": 4, "pictures_every": 100, "checkpoint_every": 100}
LESS = {"dcgan": {"width": 4}, "wgan": {"critic_steps": 2}, "wgan_gp": {"critic_steps": 2}}


def blobs(name="mnist", n=400, shape=(28, 28), labels=True):
    """Images of a bright square, whose place depends on the label."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(10, size=n)
    images = rng.integers(0, 40, (n, *shape)).astype(np.uint8)
    for image, kind in zip(images, kinds):
        image[..., 2 * kind : 2 * kind + 8, 8:20] = 200
    labels = kinds.astype(np.int64) if labels else None
    return Dataset(name, images, labels, images, labels, sha256="0", folder=Path("."))


def small_config(model, **values):
    """The module of a model, and a Config for a short run."""
    module = importlib.import_module(f"tinygen.models.{model}")
    return module, make_config(module.Config, SMALL | LESS.get(model, {}) | values)


def trained(model, folder, device="cpu", **values):
    """The module of a model, and a short run that has been trained."""
    module, config = small_config(model, **values)
    return module, module.train(config, Run.create(command(model), config, folder, device=device))


def command(model):
    """The name of a model on the command line."""
    return model.replace("_", "-")
