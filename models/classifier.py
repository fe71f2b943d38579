"""Classifier: the network that judges images, for `tinygen/metrics`.

The evaluators that come with tinygen were made by

    tinygen train classifier                                      tinygen eval RUN: accuracy 0.9999
    tinygen train classifier --data mnist                         tinygen eval RUN: accuracy 0.9938
    tinygen train classifier --data fashion-mnist --steps 6000    tinygen eval RUN: accuracy 0.9242
    python -m tinygen.models.classifier RUN                       writes tinygen/metrics/weights/DATA.safetensors
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields

import numpy as np

from tinygen import manual_seed, optim
from tinygen.data import Feed, load
from tinygen.metrics.evaluator import WEIGHTS, Evaluator, features_and_logits, in_unit_range
from tinygen.nn import functional as F
from tinygen.ops.tensor.conversion import own
from tinygen.run import checkpoint
from tinygen.run.flags import Checked
from tinygen.run.training import Run, read_config


@dataclass(frozen=True)
class Config(Checked):
    data: str = "glyphs"  # data set: glyphs, mnist or fashion-mnist
    data_dir: str | None = None  # folder with the data set's files
    seed: int = 0  # seed of the initial parameters, of the order of the images and of dropout
    steps: int = 3_000  # training steps; 3,000 are 5 epochs of 600 batches
    batch: int = 100  # images per step
    lr: float = 3e-3  # initial learning rate (Adam); falls to 0 along a cosine
    checkpoint_every: int = 600  # steps between checkpoints


def train(config: Config, run: Run | None = None) -> Run:
    """Minimise the cross-entropy of the training labels."""
    run = run or Run.create("classifier", config)
    data = load(config.data, config.data_dir, grey=True)
    run.record(data_sha256=data.sha256)
    shown = data.train_images, data.train_labels
    feed = Feed(*shown, batch=config.batch, seed=config.seed, device=run.device)
    manual_seed(config.seed)
    net = Evaluator().to(run.device)
    optimizer = optim.Adam(net.parameters(), config.lr)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, config.steps))
    run.track(net=net, optimizer=optimizer, schedule=schedule)

    @run.captured
    def advance(images, labels):
        loss = F.cross_entropy(net(own(in_unit_range(images)[:, None])), own(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    for step in run.steps(config.steps):
        run.log(loss=advance(*feed.at(step)))
        schedule.step()
    run.plot_losses("nats per image")
    return run


def trained_network(run: Run) -> Evaluator:
    """The network of a run in eval mode, loaded from its checkpoint."""
    net = Evaluator().to(run.device)
    run.load(net=net)
    return net.eval()


def evaluate(
    run: Run,
    *,
    data: str | None = None,  # data set to measure on, instead of the training data
    data_dir: str | None = None,  # folder with its files
    samples: int | None = None,  # use only the first so many test images
) -> dict:
    """The accuracy on the test images."""
    name = data or run.config.data
    test = load(name, data_dir or run.config.data_dir, grey=True)
    images, labels = test.test_images[:samples], test.test_labels[:samples]
    return {
        "data": name,
        "split": "test",
        "images": len(images),
        "accuracy": accuracy(trained_network(run), images, labels),
    }


def accuracy(net: Evaluator, images: np.ndarray, labels: np.ndarray) -> float:
    """The share of images whose largest logit is that of their label.  images (N, 28, 28) uint8, labels (N,)"""
    _, logits = features_and_logits(net, images)
    return float((logits.argmax(1) == labels).mean())


def export(folder: str, path=None):
    """Write the network of a run as the evaluator of its data set, with the command and the accuracy as metadata.

    -> the path of the file, which `load_evaluator` reads
    """
    run = Run.open(folder, Config)
    flags = "".join(
        f" --{f.name.replace('_', '-')} {getattr(run.config, f.name)}"
        for f in fields(Config)
        if f.name not in ("data_dir", "checkpoint_every")
    )
    facts = {
        "command": f"tinygen train classifier{flags}",
        **evaluate(run),
        **read_config(folder)["versions"],
    }
    path = path or WEIGHTS / f"{run.config.data}.safetensors"
    checkpoint.write(path, trained_network(run).state_dict(), facts)
    return path


if __name__ == "__main__":
    print(export(*sys.argv[1:2]))
