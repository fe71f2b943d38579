"""What a model provides so that its latent space can be explored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class LatentSpace:
    """`draw` latents z that stand for images, `decode` them.

    draw(n, split, seed) -> (n, L) float32, from other images for "train" than for "test"
    decode (N, L) -> (N, 28, 28) in [0, 1];  data: the name of the training data set
    held: the last `held` numbers of z are not coordinates but, for instance, a label; walks leave them alone
    told: z (N, L) -> what the held numbers mean, in words, to be shown beside the images
    """

    draw: Callable
    decode: Callable
    data: str
    held: int = 0
    told: Callable = lambda z: ()
