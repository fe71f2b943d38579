"""Glyphs: an MNIST that needs no download, drawn from the fonts matplotlib ships.

Each (font, digit) outline becomes a signed distance field once.  Each image samples one field under a random
affine map, moves its zero line for the stroke width, and turns distance d into grey:

    pixel = clip(1/2 + d / softness, 0, 1)

The test fonts never occur in the training set.  After the outlines there are only sums, products and square
roots of Philox numbers: the same outlines give the same bytes on any machine.  Outlines come from matplotlib
and its FreeType; another version of these may move them by a rounding, and then `Dataset.sha256` differs.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np

from tinygen.random import Generator, Stream

# All shipped fonts whose digits stand upright at full height, judged from their picture.  Not here:
# symbol and size variants (no digits), cmmi10 (old-style digits), obliques and italics (there is a shear).
TRAIN_FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSansMono-Bold",
    "DejaVuSerif-Bold",
    "STIXGeneral",
    "cmr10",
    "cmb10",
    "cmtt10",
)
TEST_FONTS = ("DejaVuSansMono", "DejaVuSerif", "STIXGeneralBol", "cmss10")

SIDE = 28  # pixels
GRID, REACH = 96, 1.5  # a field has GRID² points over [-REACH, REACH]², its digit's larger side is [-1, 1]
CHUNK = 128  # images at a time: their temporaries stay in the cache


def generate(n_train: int = 60_000, n_test: int = 10_000, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Draw both splits.  -> images (n, 28, 28) uint8, labels (n,) uint8 of train, then of test"""
    rng = Generator(seed)
    train = render(n_train, TRAIN_FONTS, rng.at("glyphs-train"))
    return train + render(n_test, TEST_FONTS, rng.at("glyphs-test"))


def render(n: int, fonts: tuple[str, ...], stream: Stream) -> tuple[np.ndarray, np.ndarray]:
    """n digits in random fonts and poses.  -> (n, 28, 28) uint8, (n,) uint8"""
    labels, font = stream.integers(0, 10, n), stream.integers(0, len(fonts), n)
    pose = _poses(n, stream)
    images = np.empty((n, SIDE, SIDE), np.uint8)
    for f, name in enumerate(fonts):
        for digit in range(10):
            points, field = _glyph(name, digit)
            chosen = np.flatnonzero((font == f) & (labels == digit))
            for start in range(0, chosen.size, CHUNK):
                some = chosen[start : start + CHUNK]
                images[some] = _draw(points, field, {key: value[some] for key, value in pose.items()})
    return images, labels.astype(np.uint8)


def _poses(n, stream):
    """Random parameters of n images; lengths in pixels, y down."""
    between = lambda low, high: low + (high - low) * stream.uniform(n, np.float64)
    half_tan = between(-0.1, 0.1)  # of the rotation, ±11°; this way sin and cos need no libm
    cosine, sine = (1 - half_tan**2) / (1 + half_tan**2), 2 * half_tan / (1 + half_tan**2)
    shear, width = between(-0.25, 0.25), between(0.8, 1.2)
    # rotation · shear · widening, on (x right, y up)
    linear = np.stack([cosine * width, cosine * shear - sine, sine * width, sine * shear + cosine], axis=1)
    return {
        "linear": linear.reshape(n, 2, 2),
        "size": between(17, 20),  # of the larger side, stroke included
        "shift": np.stack([between(-1.5, 1.5), between(-1.5, 1.5)], axis=1),
        "half_stroke": between(0.9, 1.9),
        "softness": between(1.0, 1.4),
    }


def _draw(points, field, pose):
    """Images of one (font, digit).  points (K, 2), field (GRID, GRID), n poses -> (n, 28, 28) uint8"""
    linear = pose["linear"]
    placed = (linear[:, None] * points[None, :, None, :]).sum(-1)  # (n, K, 2)
    low, high = placed.min(axis=1), placed.max(axis=1)
    thicken = np.clip(pose["half_stroke"] - 10 * field.max(), -0.35, 0.9)  # a unit is about 10 pixels
    scale = (pose["size"] - 2 * thicken) / (high - low).max(axis=1)

    # from pixels back to the grid: (column, row) = linear⁻¹ ((pixel - middle - shift) / scale + centre)
    determinant = linear[:, 0, 0] * linear[:, 1, 1] - linear[:, 0, 1] * linear[:, 1, 0]
    back = np.stack([linear[:, 1, 1], -linear[:, 0, 1], -linear[:, 1, 0], linear[:, 0, 0]], axis=1)
    back = back.reshape(-1, 2, 2) / determinant[:, None, None]
    pixel = np.arange(SIDE) - (SIDE - 1) / 2
    x = (pixel - pose["shift"][:, :1]) / scale[:, None] + ((low + high) / 2)[:, :1]  # (n, 28)
    y = (-pixel - pose["shift"][:, 1:]) / scale[:, None] + ((low + high) / 2)[:, 1:]
    per_unit = (GRID - 1) / (2 * REACH)
    column, row = (
        (back[:, i, 0, None, None] * x[:, None, :] + back[:, i, 1, None, None] * y[:, :, None] + REACH)
        * per_unit
        for i in (0, 1)
    )
    distance = _bilinear(field, column.astype(np.float32), row.astype(np.float32))
    distance = distance * scale.astype(np.float32)[:, None, None] + thicken.astype(np.float32)[:, None, None]
    grey = np.clip(0.5 + distance / pose["softness"].astype(np.float32)[:, None, None], 0, 1)
    return (grey * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def _bilinear(field, column, row):
    """field at fractional (row, column), clamped to its edge, where it is far outside every digit."""
    column, row = (np.clip(v, 0, np.float32(GRID - 1.001)) for v in (column, row))
    left, top = column.astype(np.int32), row.astype(np.int32)
    right_part, low_part = column - left.astype(np.float32), row - top.astype(np.float32)
    at, flat = top * GRID + left, field.reshape(-1)
    upper, lower = (flat[k] + (flat[k + 1] - flat[k]) * right_part for k in (at, at + GRID))
    return upper + (lower - upper) * low_part


@cache  # 120 of them are 5 MB and a second's work
def _glyph(font, digit):
    points, polygons = _outline(font, digit)
    return points, _distance_field(polygons)


def _outline(font, digit):
    """The digit's polygons, centred, larger side [-1, 1], y up.  -> points (K, 2), closed polygons"""
    from matplotlib import get_data_path
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(fname=f"{get_data_path()}/fonts/ttf/{font}.ttf")
    # size 1000: curves are cut into lines to half a unit, 1/70 pixel here
    polygons = TextPath((0, 0), str(digit), size=1000, prop=font).to_polygons()
    points = np.concatenate(polygons)
    low, high = points.min(axis=0), points.max(axis=0)
    place = lambda p: (p - (low + high) / 2) * (2 / (high - low).max())
    return place(points), [place(p) for p in polygons]


def _distance_field(polygons):
    """Distance to the outline, positive inside (nonzero winding).  -> (GRID, GRID) float32"""
    axis = np.linspace(-REACH, REACH, GRID)
    x, y = axis[None, :], axis[:, None]
    nearest, winding = np.full((GRID, GRID), np.inf), np.zeros((GRID, GRID), np.int64)
    for polygon in polygons:
        for (ax, ay), (bx, by) in pairwise(polygon):
            dx, dy = bx - ax, by - ay
            length = dx * dx + dy * dy
            if length == 0:
                continue
            along = np.clip(((x - ax) * dx + (y - ay) * dy) / length, 0, 1)
            nearest = np.minimum(nearest, (x - ax - along * dx) ** 2 + (y - ay - along * dy) ** 2)
            left = (x - ax) * dy < (y - ay) * dx
            winding += ((ay <= y) & (y < by) & left).astype(np.int64) - ((by <= y) & (y < ay) & ~left)
    return np.where(winding != 0, np.sqrt(nearest), -np.sqrt(nearest)).astype(np.float32)
