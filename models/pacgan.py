"""PacGAN: a judge of several samples at once sees missing modes.  Lin et al. 2018, arXiv 1712.04086.

tinygen train pacgan --data ring8 --packing 2 (--packing 1 is the plain GAN), then tinygen eval RUN: modes reached,
share of high-quality samples, reverse KL.  All commands and the paper's figures: the table of modes in
models/README.md, from benchmarks/results/models.json.

Data, networks and hyperparameters are those of the authors' code for section 4.1 (github.com/fjxmlzn/PacGAN, folder
synthetic_data_experiments), which trains for 400,000 steps: --steps 400000.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tinygen import autograd, cat, manual_seed, nn, no_grad, optim, tensor
from tinygen.data import Feed, toy, toy_centers
from tinygen.data.toys import STD
from tinygen.metrics import mode_measures
from tinygen.models.adversarial.losses import LOSSES
from tinygen.models.shared.networks import device_of
from tinygen.models.shared.resuming import more_steps
from tinygen.nn import init
from tinygen.ops.tensor.conversion import own
from tinygen.random import Generator as Random
from tinygen.run import pictures as draw
from tinygen.run.flags import Checked
from tinygen.run.training import Run

LATENT = 2
DATA_SIZE = 100_000  # points in the training set, and packs drawn from them
TEST_SEED = 0  # seed of the samples that are measured and shown
UNITS = {"loss_d": "nats a pack", "loss_g": "nats a pack"}
UNITS |= {"p_real": "probability of being real", "p_fake": "probability of being real"}


@dataclass(frozen=True)
class Config(Checked):
    data: Literal["ring8", "grid25"] = "ring8"  # data set: 8 Gaussians on a circle or 25 on a grid
    seed: int = 0  # seed of the data, the initial parameters and everything drawn in training
    steps: int = 20_000  # training steps; the paper's 400 epochs are 400,000
    batch: int = 100  # packs per step: the discriminator sees batch x packing samples
    lr: float = 1e-4  # learning rate of both networks (Adam)
    packing: Literal[1, 2, 3, 4] = 2  # samples that the discriminator judges together; 1 is the plain GAN
    pictures_every: int = 2_000  # steps between pictures
    checkpoint_every: int = 5_000  # steps between checkpoints


class Maxout(nn.Module):
    """The largest of several linear maps of x, for each output (Goodfellow et al. 2013, arXiv 1302.4389).

    (N, inputs) -> (N, outputs):  max_k (W_k x + b_k)
    """

    def __init__(self, inputs: int, outputs: int, pieces: int = 5) -> None:
        super().__init__()
        self.shape = pieces, outputs
        self.linear = nn.Linear(inputs, pieces * outputs)

    def forward(self, x):
        return self.linear(x).reshape(-1, *self.shape).amax(1)


class Generator(nn.Module):
    """2-400-400-400-400-2 with ReLU and BatchNorm, whose shift replaces the biases of the hidden layers."""

    def __init__(self) -> None:
        super().__init__()
        layers = []
        for inputs in LATENT, 400, 400, 400:
            norm = nn.BatchNorm1d(400, eps=1e-4, momentum=0.05)
            layers += [nn.Linear(inputs, 400, bias=False), norm, nn.ReLU()]
        self.model = nn.Sequential(*layers, nn.Linear(400, 2))

    def forward(self, z):
        """z (N, 2) -> points (N, 2)"""
        return self.model(z)


class Discriminator(nn.Module):
    """Judges packs: three maxout layers of 200 units, then a logit."""

    def __init__(self, packing: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            Maxout(2 * packing, 200), Maxout(200, 200), Maxout(200, 200), nn.Linear(200, 1)
        )

    def forward(self, packs):
        """packs (N, 2 packing) -> logit of "real" (N,)"""
        return self.model(packs).squeeze(1)


def initial_networks(config: Config) -> tuple[Generator, Discriminator]:
    """Generator and discriminator, with weights N(0, 0.02²) that `config.seed` gives, and biases 0."""
    manual_seed(config.seed)
    nets = Generator(), Discriminator(config.packing)
    for net in nets:
        for layer in net.modules():
            if isinstance(layer, nn.Linear):
                init.normal_(layer.weight, std=0.02)
                if layer.bias is not None:
                    init.zeros_(layer.bias)
    return nets


def training_packs(config: Config) -> np.ndarray:
    """The training set: 100,000 points, and 100,000 packs drawn from them with replacement.  -> (100000, 2 packing)"""
    random = Random(config.seed)
    points = toy(config.data, DATA_SIZE, random.at("data"))
    return points[random.at("packs").integers(0, DATA_SIZE, (DATA_SIZE, config.packing))].reshape(
        DATA_SIZE, -1
    )


def generated_packs(generator, z):
    """Packs of independent samples, each with its own batch statistics.  z (packing, N, 2) -> (N, 2 packing)"""
    return cat([generator(part) for part in z], dim=1)


def train(config: Config, run: Run | None = None) -> Run:
    """Both networks step at the same time: both gradients are taken at the parameters before the step."""
    run = run or Run.create("pacgan", config)
    random = Random(config.seed)
    packs, loss = training_packs(config), LOSSES["non_saturating"]
    generator, discriminator = (net.to(run.device) for net in initial_networks(config))
    of_g, of_d = list(generator.parameters()), list(discriminator.parameters())
    optimizer_g = optim.Adam(of_g, config.lr, betas=(0.8, 0.999))
    optimizer_d = optim.Adam(of_d, config.lr, betas=(0.8, 0.999))
    feed = Feed(packs, batch=config.batch, seed=config.seed, device=run.device)
    frames = Frames()
    run.track(net=generator, discriminator=discriminator)
    run.track(optimizer_g=optimizer_g, optimizer_d=optimizer_d, frames=frames)

    @run.captured
    def advance(step, batch):
        z = own(random.at("z", step, run.device).normal((config.packing, config.batch, LATENT)))
        real = discriminator(own(batch))
        fake = discriminator(generated_packs(generator, z))
        loss_d, loss_g = loss.discriminator(real, fake), loss.generator(fake)
        gradients = autograd.grad(loss_d, of_d, retain_graph=True), autograd.grad(loss_g, of_g)
        for parameter, gradient in zip(of_d + of_g, gradients[0] + gradients[1]):
            parameter.grad = gradient
        optimizer_d.step()
        optimizer_g.step()
        return loss_d, loss_g, real.sigmoid().mean(), fake.sigmoid().mean()

    for step in run.steps(config.steps):
        loss_d, loss_g, p_real, p_fake = advance(step, *feed.at(step))
        run.log(loss_d=loss_d, loss_g=loss_g, p_real=p_real, p_fake=p_fake)
        if run.every(config.pictures_every) or run.done == config.steps:
            frames.add(run.done, points_of(generator, 2500))
            pictures(run, discriminator, frames)
    run.plot_losses(UNITS)
    return run


resumable_changes = more_steps


@no_grad()
def points_of(generator, n: int, seed: int = TEST_SEED) -> np.ndarray:
    """n samples, with BatchNorm's running statistics.  -> (n, 2)"""
    device = device_of(generator)
    was_training = generator.training
    generator.eval()
    points = generator(tensor(Random(seed).at("sample", device=device).normal((n, LATENT))))
    generator.train(was_training)
    return points.cpu().numpy()


def sample(
    run: Run,
    n: int,
    *,
    seed: int = 0,  # seed of the noise z
) -> np.ndarray:
    """n points from z ~ N(0, 1).  -> (n, 2)"""
    generator = Generator().to(run.device)
    run.load(net=generator)
    return points_of(generator, n, seed)


def evaluate(
    run: Run,
    *,
    samples: int = 2500,  # number of points to draw; the paper's tables use 2500
) -> dict:
    """Modes reached, share of high-quality samples and reverse KL of generated points."""
    points = sample(run, samples, seed=TEST_SEED)
    return {"images": len(points)} | measured(run.config.data, points)


def measured(data: str, points) -> dict:
    """Modes reached, share of high-quality samples and reverse KL.  points (n, 2)"""
    return mode_measures(points, toy_centers(data), STD[data])


# Pictures


class Frames:
    """Samples of the same z at several steps of training; saved in the checkpoint."""

    def __init__(self) -> None:
        self.steps, self.points = [], np.zeros((0, 2500, 2), np.float32)

    def add(self, step: int, points) -> None:
        self.steps, self.points = [*self.steps, step], np.concatenate([self.points, points[None]])

    def state_dict(self) -> dict:
        return {"steps": self.steps, "points": self.points}

    def load_state_dict(self, state: dict) -> None:
        self.steps, self.points = list(state["steps"]), np.asarray(state["points"])


def pictures(run: Run, discriminator, frames: Frames) -> None:
    """Draw the samples over training, frames side by side, and the discriminator's surface."""
    data, reach = run.config.data, 1.5 * np.abs(toy_centers(run.config.data)).max()
    shown = np.unique(np.linspace(0, len(frames.steps) - 1, 10).round().astype(int))
    titles = []
    for i in shown:
        found = measured(data, frames.points[i])
        titles.append(f"step {frames.steps[i]:,}\n{found['modes']} modes, {found['high_quality']:.0%} near")
    centers = toy_centers(data)
    run.picture("training", draw.points(frames.points[shown], reach, titles, centers))
    surface = discriminator_surface(discriminator, run.config, reach)
    title = f"D at step {run.done:,}" + (", with real companions" if run.config.packing > 1 else "")
    run.picture(
        "discriminator", draw.surface(surface, reach, title, frames.points[-1], "probability of being real")
    )
    run.plot_losses(UNITS)


@no_grad()
def discriminator_surface(discriminator, config: Config, reach: float, n: int = 80) -> np.ndarray:
    """The probability of "real" over the square [-reach, reach]².  -> (n, n), the first row at the bottom

    With packing, each point is completed to a pack by real points, and the mean over 8 such packs is shown.
    """
    axis = np.linspace(-reach, reach, n, dtype=np.float32)
    plane = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    draws = 8 if config.packing > 1 else 1
    companions = toy(config.data, draws * (config.packing - 1), Random(TEST_SEED).at("companions"))
    device = device_of(discriminator)
    probability = np.zeros(len(plane))
    for rest in companions.reshape(draws, -1):
        packs = np.concatenate([plane, np.broadcast_to(rest, (len(plane), rest.size))], axis=1)
        probability += discriminator(tensor(packs, device=device)).sigmoid().cpu().numpy() / draws
    return probability.reshape(n, n)
