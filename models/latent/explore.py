"""`tinygen sample --walk` and `--attribute`."""

from __future__ import annotations

from typing import Literal

from tinygen.models.latent.attributes import attribute_rows
from tinygen.models.latent.space import LatentSpace
from tinygen.models.latent.walks import walks
from tinygen.run.flags import FlagError
from tinygen.run.pictures import Sheet


def explored(
    space: LatentSpace,
    n: int,
    *,
    seed: int = 0,  # seed of the latents
    walk: Literal["linear", "spherical"] | None = None,  # draw rows from one image to another on this path
    attribute: Literal["slant", "stroke_width"] | None = None,  # draw rows with less to more of it
) -> Sheet:
    """n rows of images, of a walk or of an attribute."""
    if (walk is None) == (attribute is None):
        raise FlagError("--walk, --attribute: expected one of them")
    return walks(space, n, walk, seed) if walk else attribute_rows(space, n, attribute, seed)
