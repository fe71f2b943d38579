"""Resizing: interpolation, and moving pixels to channels and back."""

from __future__ import annotations

import numbers

import numpy as np

from tinygen import kernels
from tinygen.engine import dtypes
from tinygen.engine.dtypes import DtypeError, ShapeError
from tinygen.engine.errors import refusal
from tinygen.engine.primitive import primitive
from tinygen.ops.arguments import NUMBERS, WORD
from tinygen.ops.declaration import example, operation, real
from tinygen.ops.images.pool import adaptive_avg_pool1d, adaptive_avg_pool2d
from tinygen.ops.products.matmul import matmul
from tinygen.ops.shape.reshape import copied, permute, reshape, squeeze, unsqueeze
from tinygen.ops.tensor.device import beside
from tinygen.ops.wide import by_float32


@primitive
def _nearest2d(x, *, rows, columns):
    """y[…, p, q] = x[…, rows[p], columns[q]], both ascending.  (N, C, H, W) -> (N, C, P, Q)"""
    return kernels.nearest2d(x, rows=rows, columns=columns)


@primitive
def _nearest2d_grad(g, *, rows, columns, size):
    """Sums of elements that came from the same pixel: the transpose of _nearest2d.  (N, C, P, Q) -> (N, C, *size)"""
    return kernels.nearest2d_grad(g, rows=rows, columns=columns, size=size)


_nearest2d.vjp(
    lambda g, x_shape, rows, columns: _nearest2d_grad(g, rows=rows, columns=columns, size=x_shape[2:])
)
_nearest2d_grad.vjp(lambda g, rows, columns: _nearest2d(g, rows=rows, columns=columns))


NEAREST, LINEAR = ("nearest", "nearest-exact"), {"linear": 3, "bilinear": 4}
INSTEAD = {
    "bicubic": "mode='bilinear'",
    "trilinear": "mode='bilinear' on images",
    "lanczos": "mode='bilinear'",
}


def _check_mode(input, mode: str, align_corners, antialias: bool) -> None:
    if mode in INSTEAD:
        raise refusal(
            "interpolate", NotImplementedError, f"mode {mode!r} is not supported; use {INSTEAD[mode]}"
        )
    if mode not in NEAREST and mode not in LINEAR and mode != "area":
        raise refusal(
            "interpolate",
            NotImplementedError,
            f"found mode {mode!r}, expected 'nearest', 'nearest-exact', 'linear', 'bilinear' or 'area'",
        )
    if align_corners is not None and mode not in LINEAR:
        raise refusal(
            "interpolate", ValueError, f"align_corners is for 'linear' and 'bilinear', found mode {mode!r}"
        )
    if antialias:
        raise refusal(
            "interpolate",
            NotImplementedError,
            "antialias is not supported; use avg_pool2d before, or size alone",
        )
    if input.ndim not in (3, 4) or 0 in input.shape[1:]:
        kind = NotImplementedError if input.ndim not in (3, 4) else ShapeError
        raise refusal(
            "interpolate", kind, f"found input {input.shape}, expected (N, C, L) or (N, C, H, W), not empty"
        )
    if input.ndim != LINEAR.get(mode, input.ndim):
        raise refusal(
            "interpolate",
            NotImplementedError,
            f"found input {input.shape}; 'linear' is for (N, C, L), 'bilinear' for (N, C, H, W)",
        )
    if not input.is_floating_point() and (mode not in NEAREST or input.dtype != np.uint8):
        raise refusal(
            "interpolate", DtypeError, f"found dtype {input.dtype}, expected a floating dtype; use x.float()"
        )


def _targets(input, size, scale_factor, recompute: bool) -> list:
    """(number of outputs, input steps per output step) for every dimension of the image."""
    if (size is None) == (scale_factor is None):
        found = "neither" if size is None else "both"
        raise refusal("interpolate", ValueError, f"found {found} of size and scale_factor, expected one")
    if recompute and size is not None:
        raise refusal("interpolate", ValueError, "recompute_scale_factor is for scale_factor, found size")
    given = scale_factor if size is None else size
    given = list(given) if isinstance(given, (tuple, list)) else [given] * (input.ndim - 2)
    if len(given) != input.ndim - 2:
        raise refusal("interpolate", ShapeError, f"found {len(given)} sizes or factors; input {input.shape}")
    if size is not None and not all(isinstance(n, numbers.Integral) for n in given):
        raise refusal("interpolate", TypeError, f"found size {size}, expected whole numbers")
    targets = []
    for dim, (n, value) in enumerate(zip(input.shape[2:], given), start=2):
        count = int(n * value) if size is None else int(value)
        if count < 1:
            raise refusal(
                "interpolate", ShapeError, f"nothing is left of dimension {dim}; input {input.shape}"
            )
        targets.append((count, n / count if size is not None or recompute else 1 / value))
    return targets


@operation(
    example("F.interpolate(input, scale_factor=2)", input=real(1, 1, 2, 2)),
    homes="F",
    scale_factor=NUMBERS,
    mode=WORD,
)
def interpolate(
    input,
    size=None,
    scale_factor=None,
    mode="nearest",
    align_corners=None,
    recompute_scale_factor=None,
    antialias=False,
):
    """Resize a sequence (N, C, L) or images (N, C, H, W) to `size`, or by `scale_factor`.

    With s input steps per output step (1 / scale_factor; n / size if recompute_scale_factor or by size), y[i] is
    "nearest"         x[floor(i s)]
    "nearest-exact"   x[floor((i + 1/2) s)]: the pixel that contains the center of output pixel i
    "linear"          for sequences, and "bilinear" for images, along each dimension: between the two pixels around
                      (i + 1/2) s - 1/2, or with align_corners around i (n - 1) / (size - 1)
    "area"            the mean of the pixels that output pixel i covers: `adaptive_avg_pool2d`
    """
    _check_mode(input, mode, align_corners, antialias)
    targets = _targets(input, size, scale_factor, bool(recompute_scale_factor))
    if mode == "area":
        pool = adaptive_avg_pool2d if input.ndim == 4 else adaptive_avg_pool1d
        return pool(input, [count for count, _ in targets])
    if mode in LINEAR and input.dtype == dtypes.float16:  # the weights must not be float16 either
        return by_float32(_linear, input, targets, bool(align_corners))
    if mode in LINEAR:
        return _linear(input, targets, bool(align_corners))
    exact, images = mode == "nearest-exact", input.ndim == 4
    places = [_nearest(n, count, step, exact, images) for n, (count, step) in zip(input.shape[2:], targets)]
    if images:
        return _nearest2d(input, rows=places[0], columns=places[1])
    y = _nearest2d(unsqueeze(input, 2), rows=np.zeros(1, np.int64), columns=places[0])
    return squeeze(y, 2)


def _nearest(n: int, count: int, step: float, exact: bool, images: bool):
    """For each of `count` outputs, the index of its pixel among n; computed in float32, as in PyTorch.

    For images, PyTorch resizes to the same or the double size exactly, regardless of the step.
    """
    if images and not exact and count in (n, 2 * n):
        return np.arange(count) * n // count
    places = (np.arange(count, dtype=np.float32) + np.float32(0.5 * exact)) * np.float32(step)
    return np.minimum(places.astype(np.int64), n - 1)


def _linear(input, targets, align_corners: bool):
    """A product with a matrix of weights along each dimension: y = A x, y = A x Bᵀ.

    Most weights are 0.  A nan or an infinity spreads along its row and column; in PyTorch, only to its neighbors.
    """
    weights = [
        beside(input, _line_weights(n, count, step, align_corners, input.dtype))
        for n, (count, step) in zip(input.shape[2:], targets)
    ]
    y = matmul(input, weights[-1].T)
    return matmul(weights[0], y) if len(weights) == 2 else y


def _line_weights(n: int, count: int, step: float, align_corners: bool, dtype):
    """The matrix whose row i mixes the two of n elements around position i.  -> (count, n)"""
    i = np.arange(count)
    if n == count:
        place = i.astype(np.float64)
    elif align_corners:
        place = i * ((n - 1) / max(count - 1, 1))
    else:
        place = np.maximum((i + 0.5) * step - 0.5, 0)
    low = np.minimum(place.astype(np.int64), n - 1)
    share = np.minimum(place - low, 1)
    matrix = np.zeros((count, n), dtype)
    matrix[i, low] = 1 - share
    matrix[i, np.minimum(low + 1, n - 1)] += share.astype(dtype)
    return matrix


@operation(example("tinygen.pixel_shuffle(input, 2)", input=real(1, 4, 1, 2)), homes="tinygen F")
def pixel_shuffle(input, upscale_factor):
    """Channels to pixels: (…, C r², H, W) -> (…, C, H r, W r)  (Shi et al. 2016, arXiv 1609.05158)"""
    r = upscale_factor
    if input.ndim < 3 or r < 1 or input.shape[-3] % (r * r):
        raise refusal("pixel_shuffle", ShapeError, f"found input {input.shape}, expected (…, C · {r}², H, W)")
    *lead, channels, H, W = input.shape
    n, C = len(lead), channels // (r * r)
    x = reshape(input, *lead, C, r, r, H, W)
    x = permute(x, *range(n), n, n + 3, n + 1, n + 4, n + 2)  # (…, C, H, r, W, r)
    return copied(reshape(x, *lead, C, H * r, W * r), input)


@operation(example("tinygen.pixel_unshuffle(input, 2)", input=real(1, 1, 2, 4)), homes="tinygen F")
def pixel_unshuffle(input, downscale_factor):
    """Pixels to channels, the inverse of pixel_shuffle: (…, C, H r, W r) -> (…, C r², H, W)"""
    r = downscale_factor
    if input.ndim < 3 or r < 1 or input.shape[-2] % r or input.shape[-1] % r:
        raise refusal(
            "pixel_unshuffle", ShapeError, f"found input {input.shape}, expected (…, C, H · {r}, W · {r})"
        )
    *lead, C, height, width = input.shape
    n, H, W = len(lead), height // r, width // r
    x = reshape(input, *lead, C, H, r, W, r)
    x = permute(x, *range(n), n, n + 2, n + 4, n + 1, n + 3)  # (…, C, r, r, H, W)
    return copied(reshape(x, *lead, C * r * r, H, W), input)
