"""Attributes of an image of a digit that need no network: its slant and the width of its strokes."""

from __future__ import annotations

import numpy as np

from tinygen.metrics.metric_error import MetricError

LEAST_INK = 5.0  # in full pixels; with less there is no stroke to measure


def slant(images) -> np.ndarray:
    """Pixels to the right per pixel upwards.  (N, H, W) in [0, 1] -> (N,)

    With the ink as mass, x to the right, y upwards and central second moments mu:

        slant = mu_xy / mu_yy

    the tangent of the angle to the vertical.  The shear x' = x + s y adds exactly s to it.
    """
    ink, x, y = _centred(images)
    mu_xy, mu_yy = (ink * x * y).sum((1, 2)), (ink * y * y).sum((1, 2))
    return mu_xy / mu_yy


def stroke_width(images) -> np.ndarray:
    """Mean width of the strokes in pixels.  (N, H, W) in [0, 1] -> (N,)

    A stroke of length L and width w has the area A = L w and an outline of length P = 2 L:

        w = 2 A / P,   A = sum of the ink,   P = sum of |grad ink|

    The total variation P of a grey image is the mean length of its level lines (the coarea formula), so no threshold
    is needed.  The ends of an open stroke are part of the outline: with round ends the result is
    w (L + pi w / 4) / (L + pi w / 2).  Strokes below 2.5 pixels are measured as wider than they are, since nothing is
    thinner than a pixel.
    """
    ink = np.pad(_with_ink(images), ((0, 0), (1, 1), (1, 1)))
    right = ink[:, :, 1:] - ink[:, :, :-1]
    down = ink[:, 1:] - ink[:, :-1]
    gradient = np.hypot((right[:, 1:] + right[:, :-1]) / 2, (down[:, :, 1:] + down[:, :, :-1]) / 2)
    return 2 * ink.sum((1, 2)) / gradient.sum((1, 2))


ATTRIBUTES = {"slant": slant, "stroke_width": stroke_width}


def _with_ink(images) -> np.ndarray:
    """The images in float64; those with hardly any ink become nan, and so do their attributes."""
    images = np.array(images, np.float64)
    if images.ndim != 3:
        raise MetricError(f"attributes: found images of shape {images.shape}, expected (N, H, W)")
    if len(images) and not (images.min() >= 0 and images.max() <= 1):
        raise MetricError(
            f"attributes: found values from {images.min():g} to {images.max():g}, expected [0, 1]"
        )
    images[images.sum((1, 2)) < LEAST_INK] = np.nan
    return images


def _centred(images):
    """The images and the coordinates of their pixels relative to the center of the ink, y upwards."""
    ink = _with_ink(images)
    y, x = -np.arange(ink.shape[1])[:, None], np.arange(ink.shape[2])
    centre_x, centre_y = ((ink * axis).sum((1, 2)) / ink.sum((1, 2)) for axis in (x, y))
    return ink, x - centre_x[:, None, None], y - centre_y[:, None, None]
