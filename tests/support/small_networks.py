"""Small networks and random inputs for them."""

from __future__ import annotations

import numpy as np

IMAGE = (1, 28, 28)
SMALL_UNET = {"width": 8, "multipliers": (1, 2), "attention": (False, True), "blocks": 1, "groups": 4}
SMALL_DIT = {"size": 8, "width": 24, "depth": 2, "heads": 3, "classes": 4}


def normal(*shape, seed=0):
    """Standard normals, the same for the same shape and seed."""
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def integers(n, below):
    """n integers, the same for the same n and below."""
    return np.random.default_rng([n, below]).integers(below, size=n)


def count(net):
    """The number of parameters."""
    return sum(p.numel() for p in net.parameters())
