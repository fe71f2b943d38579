"""Convolution with numba.cuda: x (N, C, H, W), w (K, C/G, R, S), y (N, K, P, Q).

numba_naive   a thread computes one element of y (or gx, or gw) and gathers its terms: 2 C/G R S reads.
numba_tiled   y as a matrix product: filters (K/G, C/G R S) times columns (C/G R S, N P Q), one column per output
              position.  The columns are never written: a block reads each tile of them straight from x, and every
              number it reads serves TILE threads.

No two threads write to the same place, so the gradients need no atomics and have the same bits every time.
stride and dilation are (vertical, horizontal); the kernels take padding as (top, left); y's shape says the rest.
"""

from __future__ import annotations

from tinygen.kernels.conv2d.reference import conv2d, conv2d_input_grad, conv2d_weight_grad, output_size
from tinygen.kernels.runtime.dispatch import array_module
from tinygen.kernels.runtime.numba_cuda import cuda, require, rung, same_float
from tinygen.kernels.runtime.rounding import ceil_div

TILE = 16  # side of a tile, and of a block of threads
THREADS = 128  # in a block of the naive variants


@cuda.jit
def naive(x, w, y, stride, padding, dilation):
    """y[n, k, p, q] = sum over c, r, s of w[k, c, r, s] x[n, c, p·stride + r·dilation - top, q·stride + …]"""
    pixel, k, n = cuda.grid(3)
    P, Q = y.shape[2], y.shape[3]
    if pixel >= P * Q:
        return
    p, q = pixel // Q, pixel % Q
    first = k // (w.shape[0] * w.shape[1] // x.shape[1]) * w.shape[1]  # first channel of k's group
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
    """The same sum as a row of filters times a column of pixels, TILE terms at a time from shared memory"""
    filters = cuda.shared.array((TILE, TILE), w.dtype)
    columns = cuda.shared.array((TILE, TILE), x.dtype)
    position, k, group = cuda.grid(3)  # output position; filter within the group
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    (N, K, P, Q), (_, C, R, S) = y.shape, w.shape
    K = K * C // x.shape[1]  # filters in a group
    n, p, q = position // (P * Q), position // Q % P, position % Q
    zero = y.dtype.type(0)
    total = zero
    for start in range(0, C * R * S, TILE):
        term = start + tx  # the thread loads the number at this (c, r, s)
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
        cuda.syncthreads()  # all threads are done with the tiles
    if n < N and k < K:
        y[n, group * K + k, p, q] = total


@cuda.jit
def input_grad(gy, w, gx, stride, padding, dilation):
    """gx[n, c, h, v] = sum over k, r, s of w[k, c, r, s] gy[n, k, p, q], where tap (r, s) at (p, q) had read (h, v)"""
    pixel, channel, n = cuda.grid(3)
    H, W = gx.shape[2], gx.shape[3]
    if pixel >= H * W:
        return
    h, v = pixel // W, pixel % W
    c, K = channel % w.shape[1], w.shape[0] * w.shape[1] // gx.shape[1]
    first = channel // w.shape[1] * K  # first filter of the channel's group
    total = gx.dtype.type(0)
    for r in range(w.shape[2]):
        top = h + padding[0] - r * dilation[0]
        p = top // stride[0]
        for s in range(w.shape[3]):
            left = v + padding[1] - s * dilation[1]
            q = left // stride[1]
            met = top == p * stride[0] and left == q * stride[1]  # with strides, the other taps were skipped
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
    """Check the arguments and allocate y."""
    fits = x.ndim == w.ndim == 4 and x.shape[1] == w.shape[1] * groups and len(w) % groups == 0
    expected = "(N, C, H, W) and (K, C/G, R, S), both float32 or both float64"
    require("conv2d", fits and same_float(x, w), expected, x=x, w=w)
    positions = output_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    return array_module(x).empty((len(x), len(w), *positions), x.dtype)


def _require_gradient(name, x_shape, w_shape, stride, padding, dilation, groups, *, gy, **other) -> None:
    """ValueError unless gy has the shape of the convolution's output and the dtypes match."""
    (N, C, *size), (K, channels, *window) = x_shape, w_shape
    positions = output_size(size, window, stride, padding, dilation)
    fits = gy.shape == (N, K, *positions) and C == channels * groups
    expected = f"gy {(N, K, *positions)}, both float32 or both float64"
    require(name, fits and same_float(gy, *other.values()), expected, gy=gy, **other)


@rung(conv2d, "numba_naive")
def conv2d_numba_naive(x, w, *, stride, padding, dilation, groups):
    """A thread computes one element of y: 2 C/G R S reads and operations, one write.

    Neighboring threads compute neighboring pixels: they read the same weight, and adjacent elements of x.
    """
    y = _output(x, w, stride, padding, dilation, groups)
    N, K, P, Q = y.shape
    naive[(ceil_div(P * Q, THREADS), K, N), (THREADS, 1, 1)](x, w, y, stride, _corner(padding), dilation)
    return y


@rung(conv2d, "numba_tiled")
def conv2d_numba_tiled(x, w, *, stride, padding, dilation, groups):
    """A thread computes one element of y from tiles of filters and of columns that its block shares.

    Reads 2 C/G R S / TILE numbers per element of y.  The columns of the reference take C R S N P Q numbers of memory,
    nine times x for a 3 x 3 window; here they only ever exist one tile at a time.
    """
    y = _output(x, w, stride, padding, dilation, groups)
    N, K, P, Q = y.shape
    grid = ceil_div(N * P * Q, TILE), ceil_div(K // groups, TILE), groups
    tiled[grid, (TILE, TILE, 1)](x, w, y, stride, _corner(padding), dilation)
    return y


@rung(conv2d_input_grad, "numba_naive")
def conv2d_input_grad_numba_naive(gy, w, *, shape, stride, padding, dilation, groups):
    """A thread computes one element of gx from every gy that it contributed to: at most 2 K/G R S reads, one write.

    The reference goes the other way: it adds each gy to every place it came from.
    """
    _require_gradient("conv2d_input_grad", shape, w.shape, stride, padding, dilation, groups, gy=gy, w=w)
    gx = array_module(gy).empty(shape, gy.dtype)
    N, C, H, W = shape
    grid = ceil_div(H * W, THREADS), C, N
    input_grad[grid, (THREADS, 1, 1)](gy, w, gx, stride, _corner(padding), dilation)
    return gx


@rung(conv2d_weight_grad, "numba_naive")
def conv2d_weight_grad_numba_naive(x, gy, *, shape, stride, padding, dilation, groups):
    """A thread computes one element of gw: 2 N P Q reads and operations, one write.

    Only K C/G R S threads, each with a lot of work: the kernels of conv2d.cu split the sum as well.
    """
    _require_gradient("conv2d_weight_grad", x.shape, shape, stride, padding, dilation, groups, gy=gy, x=x)
    gw = array_module(x).empty(shape, x.dtype)
    weight_grad[(ceil_div(gw.size, THREADS), 1, 1), (THREADS, 1, 1)](
        x, gy, gw, stride, _corner(padding), dilation
    )
    return gw
