"""Where does a training step of the VAE spend its time?  `tinygen.profile()` around the step of models/vae.py.

python -m tinygen.benchmarks.studies.profile_vae [--steps 20] [--repeat 10] [--rows 6] [-o profile.png]

The fastest repetition is shown, the one least disturbed by other load on the machine.
"""

from __future__ import annotations

import argparse

import numpy as np

import tinygen
from tinygen import optim
from tinygen.data import binarize
from tinygen.models import vae
from tinygen.random import Generator


def step(net, optimizer, images: np.ndarray, random: Generator, i: int) -> None:
    """One step of `vae.train` on these images, without log, schedule and pictures."""
    x = tinygen.tensor(binarize(images, random.at("binarize", i)))
    eps = tinygen.tensor(random.at("eps", i).normal((len(x), net.latent)))
    reconstruction, kl = vae.loss(net, x, eps)
    optimizer.zero_grad()
    (reconstruction + kl).backward()
    optimizer.step()


def measure(steps: int = 20, batch: int = 100, by_shape: bool = False) -> tinygen.profile:
    """The profile of `steps` steps on random images, after a few that compile and warm up."""
    random = Generator(0)
    images = (255 * random.at("images").uniform((batch, vae.PIXELS))).astype(np.uint8)
    net = vae.build(vae.Config())
    optimizer = optim.Adam(net.parameters(), 1e-3)
    profile = tinygen.profile(show=False, by_shape=by_shape)
    for i in range(3):
        step(net, optimizer, images, random, i)
    with profile:
        for i in range(3, 3 + steps):
            step(net, optimizer, images, random, i)
    return profile


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="profile_vae", description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeat", type=int, default=10, help="number of repetitions; the fastest is shown")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--rows", type=int, help="number of operations to list (default all)")
    parser.add_argument("--by-shape", action="store_true", help="a line for each combination of input shapes")
    parser.add_argument("-o", metavar="PNG", help="also draw the profile")
    given = parser.parse_args(argv)
    profiles = [measure(given.steps, given.batch, given.by_shape) for _ in range(given.repeat)]
    profile = min(profiles, key=lambda p: p.wall_ms)
    print(profile.table(given.rows))
    if given.o:
        profile.plot(given.o)


if __name__ == "__main__":
    main()
