"""WGAN-GP: a critic whose slope is held at 1.  Gulrajani et al. 2017, arXiv 1704.00028.   tinygen train wgan-gp

The penalty contains a gradient, so training takes gradients of gradients.  Extends wgan.py, whose networks it uses.
`--measure-every` logs how far the images are from the data beside the critic's loss, and `tinygen eval RUN` tells how
well the one follows the other:

tinygen train wgan-gp --data mnist --steps 6000 --measure-every 300     over 3 seeds the mean slope between real and
generated images is 1.049 ± 0.015; the rank correlation of the critic's estimate with the Fréchet distance over 20
checkpoints is 0.713 ± 0.003: the critic of the first checkpoint has hardly been trained and gives the least estimate
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tinygen import autograd, no_grad, optim, random, tensor
from tinygen.data import Feed
from tinygen.models.adversarial.losses import LOSSES
from tinygen.models.adversarial.trained import drawn, noise_space, settled, trained_generator
from tinygen.models.adversarial.training import finish_step, load_images, noise
from tinygen.models.adversarial.watch import Watch
from tinygen.models.latent.space import LatentSpace
from tinygen.models.shared.images import real_images, shape_of, signed
from tinygen.models.shared.measures import measured
from tinygen.models.shared.resuming import more_steps
from tinygen.models.wgan import build
from tinygen.run.flags import Checked
from tinygen.run.training import Run


@dataclass(frozen=True)
class Config(Checked):
    data: str = "glyphs"  # data set: glyphs, mnist, fashion-mnist or, with --net conv, cifar10
    data_dir: str | None = None  # folder with the data set's files
    seed: int = 0  # seed of the initial parameters and of everything drawn in training
    steps: int = 10_000  # training steps of the generator
    critic_steps: int = 5  # steps of the critic before each step of the generator
    batch: int = 64  # real images per step, and as many generated ones
    lr: float = 1e-4  # learning rate of generator and critic (Adam, betas 0 and 0.9; algorithm 1)
    penalty: float = 10.0  # weight of the gradient penalty
    net: Literal["mlp", "conv"] = "mlp"  # networks: fully connected, as in gan, or convolutional, as in dcgan
    latent: int = 100  # dimensions of the noise
    ema: float = 0.999  # decay of the averaged generator that draws the images; 0 for none
    measure_every: int | None = None  # steps between measurements of the images (fd and inception_score)
    pictures_every: int = 2_000  # steps between pictures
    checkpoint_every: int = 2_000  # steps between checkpoints


def slopes(critic, real, fake, t):
    """Norms of the critic's gradient at points between real and generated images; differentiable.

    real, fake (N, C, H, W), t (N, 1, 1, 1) in [0, 1] -> (N,)
    """
    between = (t * real + (1 - t) * fake).detach().requires_grad_()
    (gradient,) = autograd.grad(critic(between).sum(), [between], create_graph=True)
    return gradient.flatten(1).norm(dim=1)


def train(config: Config, run: Run | None = None) -> Run:
    """Algorithm 1: as WGAN, with a gradient penalty instead of clipping and Adam instead of RMSprop."""
    run = run or Run.create("wgan-gp", config)
    dataset, images = load_images(config, grey=config.net == "mlp")
    run.record(data_sha256=dataset.sha256)
    feed = Feed(images, batch=config.batch, seed=config.seed, device=run.device)
    draws, loss = random.Generator(config.seed), LOSSES["wasserstein"]
    generator, critic = (net.to(run.device) for net in build(config))
    optimizer_g = optim.Adam(generator.parameters(), config.lr, betas=(0.0, 0.9))
    optimizer_d = optim.Adam(critic.parameters(), config.lr, betas=(0.0, 0.9))
    ema, watch = optim.EMA(generator, config.ema), Watch(run, "wasserstein")
    run.track(generator=generator, critic=critic, ema=ema, watch=watch)
    run.track(optimizer_g=optimizer_g, optimizer_d=optimizer_d)

    @run.captured
    def advance_critic(turn, real):
        with no_grad():
            fake = generator(noise(draws.at("z-critic", turn, run.device), config.batch, config.latent))
        t = tensor(draws.at("interpolate", turn, run.device).uniform((config.batch, 1, 1, 1)))
        real_scores, fake_scores = critic(real), critic(fake)
        loss_d = loss.discriminator(real_scores, fake_scores)
        penalty = (slopes(critic, real, fake, t) - 1).square().mean()
        optimizer_d.zero_grad()
        (loss_d + config.penalty * penalty).backward()
        optimizer_d.step()
        return real_scores, fake_scores, loss_d, penalty

    @run.captured
    def advance_generator(step):
        fake = generator(noise(draws.at("z", step, run.device), config.batch, config.latent))
        loss_g = loss.generator(critic(fake))
        optimizer_g.zero_grad()
        loss_g.backward(inputs=list(generator.parameters()))  # the critic's gradients are not needed
        optimizer_g.step()
        if config.ema:
            ema.update()
        return fake, loss_g

    for step in run.steps(config.steps):
        for turn in range(step * config.critic_steps, (step + 1) * config.critic_steps):
            real = real_images(feed, turn)
            real_scores, fake_scores, loss_d, penalty = advance_critic(turn, real)
        fake, loss_g = advance_generator(step)
        watch.look(critic, generator, real, fake, real_scores, fake_scores, loss_d)
        losses = {"loss": loss_d, "loss_g": loss_g, "penalty": penalty}
        finish_step(run, losses, generator, ema, measure_raw=True)
    return run


resumable_changes = more_steps


def sample(
    run: Run,
    n: int,
    *,
    seed: int = 0,  # seed of the noise z
) -> np.ndarray:
    """n images of z ~ N(0, 1).  -> (n, 28, 28), or (n, 3, 32, 32), in [0, 1]"""
    return drawn(trained_generator(run, build(run.config)[0]), n, seed)


def latent_space(run: Run) -> LatentSpace:
    """The noise, for `tinygen sample RUN --walk` and `--attribute`."""
    return noise_space(run, build(run.config)[0])


def evaluate(
    run: Run,
    *,
    data: str | None = None,  # data set to compare with, instead of the training data
    data_dir: str | None = None,  # folder with its files
    samples: int = 10_000,  # number of images to draw
) -> dict:
    """Measures of generated images beside the data's, and two of the critic.

    grad_norm: its mean slope between training and generated images, which should be 1
    loss_fd_spearman: the rank correlation between minus its loss and fd, over `loss_fd_checkpoints` logged pairs
    """
    found = measured(run, samples, lambda: sample(run, samples), data, data_dir, alone=False)
    pairs = [(-line["loss"], line["fd"]) for line in run.metrics() if "fd" in line]
    found["grad_norm"] = mean_slope(run, samples, data_dir)
    if len(pairs) > 2:
        found |= {"loss_fd_spearman": rank_correlation(*zip(*pairs)), "loss_fd_checkpoints": len(pairs)}
    return found


def mean_slope(run: Run, n: int, data_dir: str | None = None, rows: int = 500) -> float:
    """The mean of `slopes` over n pairs of a training image and an image of the generator that the critic judged."""
    generator, critic = (net.to(run.device) for net in build(run.config))
    run.load(generator=generator, critic=critic)
    fake = drawn(settled(generator), n, seed=0).reshape(n, *shape_of(run.config.data))
    images = load_images(replace(run.config, data_dir=data_dir or run.config.data_dir))[1]
    t = random.Generator(0).at("interpolate").uniform((n, 1, 1, 1))
    total = 0.0
    for start in range(0, n, rows):
        some = slice(start, start + rows)
        real = signed(images[np.arange(n)[some] % len(images)])
        parts = (tensor(a, device=run.device) for a in (real, fake[some] * 2 - 1, t[some]))
        total += slopes(critic, *parts).sum().item()
    return total / n


def rank_correlation(x, y) -> float:
    """Spearman's rank correlation; equal values share the mean of their ranks."""
    ranks = [[np.mean(np.flatnonzero(np.sort(v) == a)) for a in v] for v in (np.asarray(x), np.asarray(y))]
    return float(np.corrcoef(ranks)[0, 1])
