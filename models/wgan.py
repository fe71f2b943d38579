"""WGAN: a critic measures how far generated images are from real ones.  Arjovsky et al. 2017, arXiv 1701.07875.

tinygen train wgan.  Clipping its weights keeps the critic from becoming arbitrarily steep, crudely, as the paper itself
says (section 3); wgan_gp.py does it better.

tinygen train wgan --data mnist, then tinygen eval RUN: inception score 6.55, Fréchet distance 31.75; for comparison,
tinygen train wgan-gp --data mnist --steps 6000, seeds 0 to 2: 7.81 and 14.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tinygen import manual_seed, no_grad, optim, random
from tinygen.data import Feed
from tinygen.models.adversarial.losses import LOSSES
from tinygen.models.adversarial.trained import drawn, noise_space, trained_generator
from tinygen.models.adversarial.training import finish_step, load_images, noise
from tinygen.models.adversarial.watch import Watch
from tinygen.models.latent.space import LatentSpace
from tinygen.models.networks import dcgan, mlp
from tinygen.models.shared.images import real_images, shape_of
from tinygen.models.shared.measures import evaluation
from tinygen.models.shared.resuming import more_steps
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
    lr: float = 5e-5  # learning rate of generator and critic (RMSprop, algorithm 1)
    clip: float = 0.01  # the critic's parameters are clipped to [-clip, clip]
    net: Literal["mlp", "conv"] = "mlp"  # networks: fully connected, as in gan, or convolutional, as in dcgan
    latent: int = 100  # dimensions of the noise
    ema: float = 0.999  # decay of the averaged generator that draws the images; 0 for none
    measure_every: int | None = None  # steps between measurements of the images (fd and inception_score)
    pictures_every: int = 2_000  # steps between pictures
    checkpoint_every: int = 2_000  # steps between checkpoints


def build(config) -> tuple:
    """Generator and critic with the initial parameters that `config.seed` gives.

    The critic has no BatchNorm, which would let the score of an image depend on the rest of the batch.
    """
    manual_seed(config.seed)
    if config.net == "mlp":
        return mlp.Generator(config.latent, eps=1e-5), mlp.Discriminator()
    channels, size = shape_of(config.data)[:2]
    generator = dcgan.Generator(config.latent, channels=channels, size=size)
    return generator, dcgan.Discriminator(channels=channels, size=size, norm="none")


def train(config: Config, run: Run | None = None) -> Run:
    """Algorithm 1: before every step of the generator, the critic is trained until it is nearly optimal."""
    run = run or Run.create("wgan", config)
    dataset, images = load_images(config, grey=config.net == "mlp")
    run.record(data_sha256=dataset.sha256)
    feed = Feed(images, batch=config.batch, seed=config.seed, device=run.device)
    draws, loss = random.Generator(config.seed), LOSSES["wasserstein"]
    generator, critic = (net.to(run.device) for net in build(config))
    optimizer_g = optim.RMSprop(generator.parameters(), config.lr)
    optimizer_d = optim.RMSprop(critic.parameters(), config.lr)
    ema, watch = optim.EMA(generator, config.ema), Watch(run, "wasserstein")
    run.track(generator=generator, critic=critic, ema=ema, watch=watch)
    run.track(optimizer_g=optimizer_g, optimizer_d=optimizer_d)

    @run.captured
    def advance_critic(turn, real):
        with no_grad():
            fake = generator(noise(draws.at("z-critic", turn, run.device), config.batch, config.latent))
        real_scores, fake_scores = critic(real), critic(fake)
        loss_d = loss.discriminator(real_scores, fake_scores)
        optimizer_d.zero_grad()
        loss_d.backward()
        optimizer_d.step()
        clip_weights(critic, config.clip)
        return real_scores, fake_scores, loss_d

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
            real_scores, fake_scores, loss_d = advance_critic(turn, real)
        fake, loss_g = advance_generator(step)
        watch.look(critic, generator, real, fake, real_scores, fake_scores, loss_d)
        finish_step(run, {"loss": loss_d, "loss_g": loss_g}, generator, ema, measure_raw=True)
    return run


@no_grad()
def clip_weights(critic, limit: float) -> None:
    """Clip every parameter to [-limit, limit]."""
    for p in critic.parameters():
        p.clamp_(-limit, limit)


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


evaluate = evaluation(sample)
