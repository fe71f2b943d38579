"""Winograd's minimal filtering F(2x2, 3x3) for stride 1: 16 products a channel for 4 outputs instead of 36.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016, section 4.1, eq. 12:
`Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A` with d a 4x4 square of x, overlapping by two, g a filter and Y a 2x2 square of y.
"""

from __future__ import annotations

import numpy as np

from tinygen.kernels.conv2d import conv2d, conv2d_input_grad, output_size

CACHED = 1 << 19  # bytes of a block's strips
G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])


def _filters(w):
    """G w Gᵀ.  (K, C, 3, 3) -> flat (16, K / ROWS, C, ROWS), the order the tile reads them."""
    from tinygen.kernels.conv2d_tile_loops import ROWS

    K, C = w.shape[:2]
    blocks = -(-K // ROWS)
    out = np.zeros((16, blocks * ROWS, C), w.dtype)
    square = np.kron(G, G).astype(w.dtype)  # of the 9 values of a filter, its 16
    out[:, :K] = (square @ w.reshape(K * C, 9).T).reshape(16, K, C)
    return out.reshape(16, blocks, ROWS, C).swapaxes(2, 3).ravel()


def _winograd(x, w, padding, positions):
    from tinygen.kernels.conv2d_loops import winograd
    from tinygen.kernels.conv2d_tile_loops import PIXELS

    (top, _), (left, _) = padding
    grid = tuple(
        (n + 1) // 2 + 1 for n in positions
    )  # a tile reads its own and the next row and column of the phases
    area, chunk = grid[0] * grid[1], PIXELS * 4 // x.itemsize
    most = max(1, min(len(x), 8, CACHED // (4 * x.shape[1] * area * x.itemsize)))
    block = min(range(1, most + 1), key=lambda n: -(-n * area // chunk) / n)  # the fewest chunks an image
    length = block * grid[0] * grid[1] + grid[1] + 3 * PIXELS
    y = np.empty((len(x), len(w), *positions), x.dtype)
    winograd(np.ascontiguousarray(x), block, (top, left), grid, length, _filters(w), y)
    return y


def _pays(a, b, channels, w_shape, stride, padding, dilation, groups):
    """At 64 channels it is as fast as taps, with fewer it is slower; no padding is wider than the filter reaches."""
    return (
        tuple(w_shape[2:]) == (3, 3)
        and tuple(stride) == tuple(dilation) == (1, 1)
        and groups == 1
        and a.dtype == b.dtype
        and a.dtype.char in "fd"
        and min(channels) >= 96
        and a.size > 0
        and b.size > 0
        and all(0 <= side <= 2 for pair in padding for side in pair)
    )


def _usable(x, w, *, stride, padding, dilation, groups):
    return _pays(x, w, w.shape[:2], w.shape, stride, padding, dilation, groups)


@conv2d.variant("winograd", usable=_usable)
def conv2d_winograd(x, w, *, stride, padding, dilation, groups):
    """16 small products over the channels for each chunk of tiles, transformed in registers on the way in and out.

    Added over taps: 1/2.25 of the multiplications.  Bytes: x read and its strips (phases of two) written once, four
    loads and four stores an element for the transform (L2), the filters' 16 K C read from L2 or L3 once a chunk.
    One core (thread time, medians): at 128 channels of 14x14 18.6 ms for taps' 21.2; at 64 of 28x28 no gain (19.9
    each): a third of it goes into splitting rows into even and odd columns and joining them, element by element.

    Error at 14x14, standard normal x, y of size 1, against float64, as root mean square (largest):
    128 channels 3.5e-7 (1.9e-6), taps 5.6e-7 (4.8e-6), reference 2.8e-7 (1.7e-6);
    512 channels 6.7e-7 (3.9e-6), taps 1.1e-6 (1.1e-5), reference 3.0e-7 (1.9e-6).
    Below taps' at every size, so accuracy bounds nothing here (F(4x4, 3x3) would need it).  An inf or nan of x makes
    nan of a whole square of outputs, here up to 2 pixels further than its filter reaches.
    """
    positions = output_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    return _winograd(x, w, padding, positions)


def _usable_input(gy, w, *, shape, stride, padding, dilation, groups):
    return _pays(gy, w, w.shape[:2], w.shape, stride, padding, dilation, groups) and 0 not in shape


@conv2d_input_grad.variant("winograd", usable=_usable_input)
def conv2d_input_grad_winograd(gy, w, *, shape, stride, padding, dilation, groups):
    """The same with the filters turned by 180°, their channels exchanged, and 2 - padding."""
    turned = w[:, :, ::-1, ::-1].swapaxes(0, 1)
    padding = [(2 - top, 2 - bottom) for top, bottom in padding]
    return _winograd(gy, turned, padding, tuple(shape[2:]))
