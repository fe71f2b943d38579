"""Convolution with numba.cuda: x (N, C, H, W), w (K, C/G, R, S), y (N, K, P, Q).

numba_naive   a thread computes one number of y (or of gx, or of gw) and gathers what it is made of: 2 C/G R S reads.
numba_tiled   y as a matrix product: filters (K/G, C/G R S) times columns (C/G R S, N P Q), one column for each position
              of the output.  The columns are never written: a block reads each tile of them straight from x, and each
              number read serves TILE threads.

No two threads write to one place, so the gradients need no atomics and come out with the same bits every time.
stride and dilation are (vertical, horizontal); the kernels take padding as (top, left), y's shape says the rest.
"""

from __future__ import annotations

from tinygen.kernels.conv2d.reference import conv2d, conv2d_input_grad, conv2d_weight_grad, output_size
from tinygen.kernels.runtime.dispatch import array_module
from tinygen.kernels.runtime.numba_cuda import blocks, cuda, require, rung, same_float

TILE = 16  # numbers along the side of a tile, threads along the side of a block
THREADS = 128  # in a block of the naive rungs


@cuda.jit
def naive(x, w, y, stride, padding, dilation):
    """y[n, k, p, q] = sum over c, r, s of w[k, c, r, s] x[n, c, p·stride + r·dilation - top, q·stride + …]"""
    pixel, k, n = cuda.grid(3)
    P, Q = y.shape[2], y.shape[3]
    if pixel >= P * Q:
        return
    p, q = pixel // Q, pixel % Q
    first = k // (w.shape[0] * w.shape[1] // x.shape[1]) * w.shape[1]  # channel of k's group
    total = y.dtype.type(0)
    for r in range(w.shape[2]):
        h = p * stride[0] + r * dilation[0] - padding[0]
        for s in range(w.shape[3]):
            v = q * stride[1] + s * dilation[1] - padding[1]
            if 0 <= h < x.shape[2] and 0 <= v < x.shape[3]:
                for c in range(w.shape[1]):
                    total += w[k, c, r, s] * x[n, first + c, h, v]
    y[n, k, p, q] = total


@cuda.jit
def tiled(x, w, y, stride, padding, dilation):
    """The same sum as a row of filters times a column of what they meet, TILE terms at a time from shared memory"""
    filters = cuda.shared.array((TILE, TILE), w.dtype)
    columns = cuda.shared.array((TILE, TILE), x.dtype)
    position, k, group = cuda.grid(3)  # of the output; filter of the group
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    (N, K, P, Q), (_, C, R, S) = y.shape, w.shape
    K = K * C // x.shape[1]  # filters in a group
    n, p, q = position // (P * Q), position // Q % P, position % Q
    zero = y.dtype.type(0)
    total = zero
    for start in range(0, C * R * S, TILE):
        term = start + tx  # that is c, r, s of the number this thread brings
        c, r, s = term // (R * S), term // S % R, term % S
        filters[ty, tx] = w[group * K + k, c, r, s] if k < K and c < C else zero
        term = start + ty
        c, r, s = term // (R * S), term // S % R, term % S
        h = p * stride[0] + r * dilation[0] - padding[0]
        v = q * stride[1] + s * dilation[1] - padding[1]
        inside = n < N and c < C and 0 <= h < x.shape[2] and 0 <= v < x.shape[3]
        columns[ty, tx] = x[n, group * C + c, h, v] if inside else zero
        cuda.syncthreads()  # the tiles are complete
        for i in range(TILE):
            total += filters[ty, i] * columns[i, tx]
        cuda.syncthreads()  # nobody reads them any more
    if n < N and k < K:
        y[n, group * K + k, p, q] = total


@cuda.jit
def input_grad(gy, w, gx, stride, padding, dilation):
    """gx[n, c, h, v] = sum over k, r, s of w[k, c, r, s] gy[n, k, p, q], (p, q) where tap (r, s) had read (h, v)"""
    pixel, channel, n = cuda.grid(3)
    H, W = gx.shape[2], gx.shape[3]
    if pixel >= H * W:
        return
    h, v = pixel // W, pixel % W
    c, K = channel % w.shape[1], w.shape[0] * w.shape[1] // gx.shape[1]
    first = channel // w.shape[1] * K  # filter of the channel's group
    total = gx.dtype.type(0)
    for r in range(w.shape[2]):
        top = h + padding[0] - r * dilation[0]
        p = top // stride[0]
        for s in range(w.shape[3]):
            left = v + padding[1] - s * dilation[1]
            q = left // stride[1]
            met = top == p * stride[0] and left == q * stride[1]  # strides step over the other taps
            if met and 0 <= p < gy.shape[2] and 0 <= q < gy.shape[3]:
                for k in range(first, first + K):
                    total += w[k, c, r, s] * gy[n, k, p, q]
    gx[n, channel, h, v] = total


@cuda.jit
def weight_grad(x, gy, gw, stride, padding, dilation):
    """gw[k, c, r, s] = sum over n, p, q of gy[n, k, p, q] x[n, c, p·stride + r·dilation - top, q·stride + …]"""
    element = cuda.grid(1)
    K, C, R, S = gw.shape
    if element >= K * C * R * S:
        return
    k, c, r, s = element // (C * R * S), element // (R * S) % C, element // S % R, element % S
    channel = k // (K * C // x.shape[1]) * C + c
    total = gw.dtype.type(0)
    for p in range(gy.shape[2]):
        h = p * stride[0] + r * dilation[0] - padding[0]
        for q in range(gy.shape[3]):
            v = q * stride[1] + s * dilation[1] - padding[1]
            if 0 <= h < x.shape[2] and 0 <= v < x.shape[3]:
                for n in range(gy.shape[0]):
                    total += gy[n, k, p, q] * x[n, channel, h, v]
    gw[k, c, r, s] = total


def _corner(padding) -> tuple:
    """(top, left) of ((top, bottom), (left, right))"""
    return padding[0][0], padding[1][0]


def _output(x, w, stride, padding, dilation, groups):
    """The array y of a convolution, not filled"""
    fits = x.ndim == w.ndim == 4 and x.shape[1] == w.shape[1] * groups and len(w) % groups == 0
    expected = "(N, C, H, W) and (K, C/G, R, S), both float32 or both float64"
    require("conv2d", fits and same_float(x, w), expected, x=x, w=w)
    positions = output_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    return array_module(x).empty((len(x), len(w), *positions), x.dtype)


def _require_gradient(name, x_shape, w_shape, stride, padding, dilation, groups, *, gy, **other) -> None:
    """ValueError unless gy has the shape of the convolution's output, and the dtypes fit."""
    (N, C, *size), (K, channels, *window) = x_shape, w_shape
    positions = output_size(size, window, stride, padding, dilation)
    fits = gy.shape == (N, K, *positions) and C == channels * groups
    expected = f"gy {(N, K, *positions)}, both float32 or both float64"
    require(name, fits and same_float(gy, *other.values()), expected, gy=gy, **other)


@rung(conv2d, "numba_naive")
def conv2d_numba_naive(x, w, *, stride, padding, dilation, groups):
    """A thread computes one number of y: 2 C/G R S reads and operations, one write.

    Neighbouring threads compute neighbouring pixels: they read one weight together, and x side by side.
    """
    y = _output(x, w, stride, padding, dilation, groups)
    N, K, P, Q = y.shape
    naive[(blocks(P * Q, THREADS), K, N), (THREADS, 1, 1)](x, w, y, stride, _corner(padding), dilation)
    return y


@rung(conv2d, "numba_tiled")
def conv2d_numba_tiled(x, w, *, stride, padding, dilation, groups):
    """A thread computes one number of y from tiles of filters and of columns that its block shares.

    Reads 2 C/G R S / TILE numbers for each of y.  The columns of the reference take C R S N P Q numbers of memory,
    nine times x for a 3 x 3 window; here they exist a tile at a time.
    """
    y = _output(x, w, stride, padding, dilation, groups)
    N, K, P, Q = y.shape
    grid = blocks(N * P * Q, TILE), blocks(K // groups, TILE), groups
    tiled[grid, (TILE, TILE, 1)](x, w, y, stride, _corner(padding), dilation)
    return y


@rung(conv2d_input_grad, "numba_naive")
def conv2d_input_grad_numba_naive(gy, w, *, shape, stride, padding, dilation, groups):
    """A thread computes one number of gx and gathers every gy that it went into: at most 2 K/G R S reads, one write.

    The reference goes the other way and adds each gy to every place it came from.
    """
    _require_gradient("conv2d_input_grad", shape, w.shape, stride, padding, dilation, groups, gy=gy, w=w)
    gx = array_module(gy).empty(shape, gy.dtype)
    N, C, H, W = shape
    grid = blocks(H * W, THREADS), C, N
    input_grad[grid, (THREADS, 1, 1)](gy, w, gx, stride, _corner(padding), dilation)
    return gx


@rung(conv2d_weight_grad, "numba_naive")
def conv2d_weight_grad_numba_naive(x, gy, *, shape, stride, padding, dilation, groups):
    """A thread computes one number of gw: 2 N P Q reads and operations, one write.

    Few threads with much work each, K C/G R S of them: the rungs of conv2d.cu split the sum as well.
    """
    _require_gradient("conv2d_weight_grad", x.shape, shape, stride, padding, dilation, groups, gy=gy, x=x)
    gw = array_module(x).empty(shape, x.dtype)
    weight_grad[(blocks(gw.size, THREADS), 1, 1), (THREADS, 1, 1)](
        x, gy, gw, stride, _corner(padding), dilation
    )
    return gw
