"""The losses of generator and discriminator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from tinygen.nn import functional as F


@dataclass(frozen=True)
class Loss:
    """A pair of losses, means over the logits of real and of generated images.

    optimum: from log p_data(x)/p_generated(x) to the logit of the best discriminator against a fixed generator
    won: a discriminator whose loss is below this tells all images apart (the least possible is 0); None if it should
    guess: the least loss of a discriminator that gives all images the same answer
    is_probability: the sigmoid of the logit is the probability of "real", and the losses are in nats
    """

    discriminator: Callable  # real (N,), fake (N,) -> ()
    generator: Callable  # fake (N,) -> ()
    optimum: Callable | None
    won: float | None
    guess: float
    is_probability: bool = False


def classify(real, fake):
    """-log D(real) - log(1 - D(fake)) for D = sigmoid(logit), without ever taking the log of 0."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


GUESS = 2 * math.log(2)
LOSSES = {
    # Goodfellow et al. 2014, eq. 1 and 2: the generator minimises log(1 - D(fake)), flat where D is sure
    "minimax": Loss(
        classify, lambda fake: -F.softplus(fake).mean(), lambda log_ratio: log_ratio, 0.05, GUESS, True
    ),
    # the same, section 3: it maximises log D(fake), which is steep there
    "non_saturating": Loss(
        classify, lambda fake: F.softplus(-fake).mean(), lambda log_ratio: log_ratio, 0.05, GUESS, True
    ),
    # Mao et al. 2016, arXiv 1611.04076, eq. 9: the targets are 1 for real, 0 for generated, 1 for the generator
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
    # Arjovsky et al. 2017, eq. 2, negated: the best critic is the steepest that is allowed, and training seeks it
    "wasserstein": Loss(
        lambda real, fake: fake.mean() - real.mean(),
        lambda fake: -fake.mean(),
        None,
        None,
        0.0,
    ),
}
