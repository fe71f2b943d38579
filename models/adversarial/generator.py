"""What the GANs share: losses, packing, a watch over training, and how a trained generator is sampled and measured.

The training loops are not here: each model's `train` shows its own.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinygen import data, nn, no_grad, optim, random, tensor
from tinygen.metrics import MetricError, features_and_logits, image_measures, load_evaluator, quick_measures
from tinygen.metrics.frechet import expect_enough
from tinygen.metrics.images import FEATURES
from tinygen.models.latent.walks import LatentSpace
from tinygen.nn import functional as F
from tinygen.run.flags import FlagError
from tinygen.run.pictures import by_class
from tinygen.run.progress import progress
from tinygen.run.terminal import say

# Losses


@dataclass(frozen=True)
class Loss:
    """Both players' losses, means over the logits of real and of generated images.

    optimum: the logit of the discriminator that is best against a fixed generator, from log p_data(x)/p_generated(x)
    won: a discriminator loss below this says that it tells all images apart (its least is 0); None if it may
    guess: the least loss of a discriminator that gives all images the same answer
    """

    discriminator: Callable  # real (N,), fake (N,) -> ()
    generator: Callable  # fake (N,) -> ()
    optimum: Callable | None
    won: float | None
    guess: float


def _classify(real, fake):
    """-log D(real) - log(1 - D(fake)) with D = sigmoid(logit), without ever taking a log of 0."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


GUESS = 2 * math.log(2)
LOSSES = {
    # Goodfellow et al. 2014, eq. 1 and 2: the generator minimises log(1 - D(fake)), flat where D is sure
    "minimax": Loss(
        _classify, lambda fake: -F.softplus(fake).mean(), lambda log_ratio: log_ratio, 0.05, GUESS
    ),
    # the same, section 3: it maximises log D(fake), steep there
    "non_saturating": Loss(
        _classify, lambda fake: F.softplus(-fake).mean(), lambda log_ratio: log_ratio, 0.05, GUESS
    ),
    # Mao et al. 2016, arXiv 1611.04076, eq. 9: real is 1, generated 0, and the generator wants 1
    "least_squares": Loss(
        lambda real, fake: 0.5 * (real - 1).square().mean() + 0.5 * fake.square().mean(),
        lambda fake: 0.5 * (fake - 1).square().mean(),
        lambda log_ratio: log_ratio.sigmoid(),
        0.01,
        0.25,
    ),
    # Lim & Ye 2017, arXiv 1705.02894; Miyato et al. 2018, eq. 16 and 17
    "hinge": Loss(
        lambda real, fake: F.relu(1 - real).mean() + F.relu(1 + fake).mean(),
        lambda fake: -fake.mean(),
        lambda log_ratio: log_ratio.sign(),
        0.05,
        2.0,
    ),
    # Arjovsky et al. 2017, eq. 2, minus: the best critic is the steepest one allowed, and meant to be found
    "wasserstein": Loss(
        lambda real, fake: fake.mean() - real.mean(),
        lambda fake: -fake.mean(),
        None,
        None,
        0.0,
    ),
}


def packed(x, m: int):
    """Let the discriminator judge m images at once, so that it sees when they are all alike.

    Lin et al. 2017, arXiv 1712.04086.  x (N, C, H, W) -> (N/m, m C, H, W); (N, D) -> (N/m, m D)
    """
    if len(x) % m:
        raise FlagError(f"--packing: {m} does not divide the batch of {len(x)}")
    return x if m == 1 else x.reshape(len(x) // m, m * x.shape[1], *x.shape[2:])


# Images and noise

MEASURED = 5_000  # images for measures in training


def shape_of(name: str) -> tuple[int, int, int]:
    """Channels, height and width of a data set's images."""
    return (3, 32, 32) if name == "cifar10" else (1, 28, 28)


def load_images(config, grey: bool = False) -> tuple[data.Dataset, np.ndarray]:
    """The data set a config names and its training images; `grey` if the network takes no others.

    -> dataset, (n, C, H, W) uint8
    """
    if config.batch < 2:
        raise FlagError(
            f"--batch: found {config.batch}, expected 2 or more, whose differences BatchNorm needs"
        )
    if config.measure_every:
        load_evaluator(config.data)  # raises where there is none, before the first step
    dataset = data.load(config.data, config.data_dir, grey=grey)
    return dataset, dataset.train_images.reshape(-1, *shape_of(config.data))


def real_batch(images, config, step: int, device):
    """The images of a step, as a Tensor in [-1, 1], the range of tanh.  -> (batch, C, H, W)"""
    x = images[data.batch_indices(len(images), config.batch, config.seed, step)]
    return tensor(x.astype(np.float32) / 127.5 - 1, device=device)


def noise(stream, n: int, latent: int):
    """z ~ N(0, 1).  -> (n, latent)"""
    return tensor(stream.normal((n, latent)))


# A watch over training


class Watch:
    """Looks at every tenth step, logs what it sees, and warns once of each way to fail.

    d_real, d_fake: the mean answer to real and generated images; grad_d, grad_g: norms of all gradients;
    diversity: the variance of generated images over the batch, summed over pixels, in that of real ones;
    nearest: how far they are from the nearest other one of the batch, in what real ones are.  A few images drawn again
    and again have the one, not the other.  The seed programs' GAN begins like that and mostly goes on from it: 0.05
    after 1,000 steps of `tinygen train gan --data mnist --recipe seed --seed 1`, 0.23 after 5,000 (seed 2: 0.04, 0.33),
    but 0.01 after 5,000 and after 15,000 with `--warmup 0 --seed 0` on two threads.  So few images are judged late.
    """

    EVERY, MEMORY = 10, 30  # steps between two looks; looks whose means are judged
    COLLAPSED, FEW = 0.05, 0.05  # mean diversity below this; mean nearest below that, from step LATE on
    LATE = 5_000

    def __init__(self, run, loss: str) -> None:
        self.run, self.loss = run, loss
        self.looks, self.warnings = [], []  # the last of (the discriminator's loss, diversity, nearest)

    def state_dict(self) -> dict:
        return {"looks": self.looks, "warnings": self.warnings}

    def load_state_dict(self, state: dict) -> None:
        self.looks = [(float(loss), float(wide), float(near)) for loss, wide, near in state["looks"]]
        self.warnings = [
            {"step": int(warning["step"]), "kind": str(warning["kind"]), "text": str(warning["text"])}
            for warning in state["warnings"]
        ]

    @no_grad()
    def look(self, discriminator, generator, real, fake, real_logits, fake_logits, loss_d) -> None:
        """Called at the end of a step, with its batch, the discriminator's answers to it, and both gradients."""
        if not self.run.every(self.EVERY):
            return
        probability = LOSSES[self.loss].discriminator is _classify
        d_real, d_fake = ((x.sigmoid() if probability else x).mean() for x in (real_logits, fake_logits))
        diversity = (fake.var(0).sum() / real.var(0).sum()).item()
        near = (nearest(fake) / nearest(real)).item()
        self.run.log(
            d_real=d_real,
            d_fake=d_fake,
            grad_d=gradient_norm(discriminator),
            grad_g=gradient_norm(generator),
            diversity=diversity,
            nearest=near,
        )
        self.judge(loss_d.item(), diversity, near)

    def judge(self, loss_d: float, diversity: float, near: float) -> None:
        """Warn of what the last looks have in common: one line said, one entry in warnings.json."""
        self.looks = [*self.looks, (loss_d, diversity, near)][-self.MEMORY :]
        if len(self.looks) < self.MEMORY:
            return
        loss_d, diversity, near = (sum(values) / self.MEMORY for values in zip(*self.looks))
        won, guess = LOSSES[self.loss].won, LOSSES[self.loss].guess
        signs = {
            "discriminator-won": won is not None and loss_d < won,
            "discriminator-lost": loss_d > guess,
            "generator-collapsed": diversity < self.COLLAPSED,
            "few-images": near < self.FEW and self.run.done >= self.LATE,
        }
        for kind, seen in signs.items():
            if seen and kind not in [w["kind"] for w in self.warnings]:
                text = ADVICE[kind].format(loss=loss_d, diversity=diversity, near=near, guess=guess)
                say(f"{self.run.folder}: step {self.run.done}: {text}")
                self.warnings.append({"step": self.run.done, "kind": kind, "text": text})
                self.run.write_json("warnings.json", self.warnings)


def nearest(images):
    """The mean squared distance of an image to the nearest other one: few modes make it small, while their variance can
    be as large as that of all.  (N, ...) -> ()"""
    x = images.reshape(len(images), -1)
    squares = x.square().sum(1)
    distances = squares.unsqueeze(0) + squares.unsqueeze(1) - 2 * x @ x.T
    itself = tensor(np.diag(np.full(len(x), np.inf, np.float32)), device=x.device)
    return (distances.clamp(0) + itself).amin(1).mean()


ADVICE = {
    "discriminator-won": "the discriminator has won: its loss is {loss:.3f}, it tells all images apart and the "
    "generator learns little more; try a lower --lr-ratio, or --loss hinge",
    "discriminator-lost": "the discriminator has lost: its loss is {loss:.3f}, and would be {guess:.3f} if it gave all "
    "images the same answer, so it has nothing to teach; try another --lr-ratio",
    "generator-collapsed": "the generator has collapsed: its images vary {diversity:.2f} times as much as real ones; "
    "try --packing 2, a lower --lr, or wgan-gp",
    "few-images": "the generator draws a few images again and again: each is {near:.3f} times as far from the nearest "
    "other one as real ones are; try another --seed, --packing 2, or wgan-gp",
}


def gradient_norm(net):
    """The norm of all gradients of a network as one vector.  -> ()"""
    return nn.utils.get_total_norm([p.grad for p in net.parameters() if p.grad is not None])


# A trained generator


def averaged(generator, ema, classes: int | None = None):
    """A copy of the generator with the averaged weights, and BatchNorm's statistics that belong to them.

    The running statistics describe the activations of the raw weights, and averages of statistics are those of no
    network at all.
    """
    with ema.applied() if ema.decay else contextlib.nullcontext():
        return settled(generator, classes)


@no_grad()
def settled(generator, classes: int | None = None):
    """A copy of the generator to draw from: BatchNorm's statistics measured again, on 8 batches of 512 noises."""
    net = copy.deepcopy(generator).train()
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
    for i in range(8 if norms else 0):
        stream, n = random.Generator(0).at("statistics", i, device_of(net)), 512
        labels = [tensor(np.arange(n) % classes, device=device_of(net))] if classes else []
        net(noise(stream, n, generator.latent), *labels)
    return net.eval()


def trained(run, generator, classes: int | None = None):
    """The generator that draws a run's images, from its checkpoint."""
    generator = generator.to(run.device)
    ema = optim.EMA(generator, run.config.ema)
    run.load(generator=generator, ema=ema)
    return averaged(generator, ema, classes)


def drawn(net, n: int, seed: int, labels: np.ndarray | None = None, rows: int = 500) -> np.ndarray:
    """n images of z ~ N(0, 1), `rows` at a time.  labels (n,) or None -> (n, H, W), or (n, 3, H, W), in [0, 1]"""
    return decoded(net, random.Generator(seed).at("sample").normal((n, net.latent)), labels, rows)


@no_grad()
def decoded(net, z: np.ndarray, labels: np.ndarray | None = None, rows: int = 500) -> np.ndarray:
    """The images of latents.  z (n, latent) -> (n, H, W), or (n, 3, H, W), in [0, 1]"""
    parts = []
    for start in progress(range(0, len(z), rows), "drawing"):
        given = [a[start : start + rows] for a in (z, labels) if a is not None]
        parts.append(net(*(tensor(a, device=device_of(net)) for a in given)).cpu().numpy())
    images = (np.concatenate(parts) + 1) / 2
    return images[:, 0] if images.shape[1] == 1 else images


def latent_space(run, generator) -> LatentSpace:
    """The noise of a trained generator, to be explored; see models/latent/walks.py."""
    net = trained(run, generator)

    def draw(n: int, split: str, seed: int) -> np.ndarray:
        return random.Generator(seed).at(f"latents-{split}").normal((n, net.latent))

    return LatentSpace(draw, lambda z: decoded(net, z), run.config.data)


UNITS = dict.fromkeys(("d_real", "d_fake"), "mean answer of D")
UNITS |= dict.fromkeys(("grad_d", "grad_g"), "norm of the gradient")
UNITS |= dict.fromkeys(("diversity", "nearest"), "times that of real images")


def pictures(run, net, classes: int | None = None) -> None:
    """What the generator makes of the same noises each time, 64 or 10 of each class, and the curves of the log."""
    labels = np.tile(np.arange(classes), 10) if classes else None
    run.sheet("samples", by_class(drawn(net, 64 if labels is None else len(labels), 0, labels), labels))
    unit = "nats" if LOSSES[getattr(run.config, "loss", "wasserstein")].discriminator is _classify else "loss"
    run.plot_losses(UNITS | dict.fromkeys(("loss", "loss_g"), unit))


def log_measures(run, net, classes: int | None = None) -> None:
    """Log fd and inception_score of what the generator draws now: how training goes, and when it was good enough."""
    labels = np.arange(MEASURED) % classes if classes else None
    run.log(**quick_measures(drawn(net, MEASURED, 0, labels), run.config.data, run.config.data_dir))


def device_of(net):
    return next(iter(net.parameters())).device


def measured(
    run, n: int, draw: Callable, data_name: str | None, data_dir: str | None, labels=None, alone: bool = True
) -> dict:
    """What `tinygen eval` prints of the n images that `draw()` makes, and of labels that were asked for (n,).

    Data without an evaluator are refused, and such with images of another shape.  With alone=False, for a model that
    has more to measure, one line says that the run's own data have none, and nothing is drawn.
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
    """Raise FlagError where the images of a data set are not as large as the run's."""
    theirs, ours = (" x ".join(map(str, shape_of(data))) for data in (name, run.config.data))
    if theirs != ours:
        raise FlagError(f"--data: images of {name} are {theirs}, those of this run {ours}")


def evaluation(sample: Callable) -> Callable:
    """The `evaluate` of a model: measures of the images that its `sample` draws, beside the data's."""

    def evaluate(
        run,
        *,
        data: str | None = None,  # another data set than the one trained on
        data_dir: str | None = None,  # where its files are now
        samples: int = 10_000,  # images to draw
    ) -> dict:
        return measured(run, samples, lambda: sample(run, samples), data, data_dir)

    return evaluate


def resumable_changes(config) -> set[str]:
    """What may differ when a run goes on: nothing in training depends on how long it will be."""
    return {"steps"}
