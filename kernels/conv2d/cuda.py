"""The ladder of convolution on a GPU (`conv2d.cu`): float32; any stride, dilation, padding and groups.

Shapes: x (N, C, H, W), w (K, C/G, R, S), y and gy (N, K, P, Q); a transposed convolution is the input gradient.
"""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.conv2d.layer import conv2d_layer, conv2d_layer_grad
from tinygen.kernels.conv2d.reference import conv2d, conv2d_input_grad, conv2d_weight_grad, output_size
from tinygen.kernels.reduce.cuda import sum_two_stage
from tinygen.kernels.runtime.cuda_source import CudaSource, float32_only
from tinygen.kernels.runtime.dispatch import array_module
from tinygen.kernels.runtime.rounding import ceil_div

source = CudaSource("conv2d/conv2d.cu")
SIDE, STEP = 64, 16  # rows and columns, and terms, of a tile of implicit_gemm
FEW_ROWS = 8  # out of the 64 of a tile; with fewer, most of its products are wasted
FULL = 512  # blocks that the weight gradient is split into: four per multiprocessor of a large card
LONG = 32 * STEP  # terms of a sum that are worth a block
GRID_Z = 65_535


class Convolution:
    """The sizes of one convolution, in the order of GEOMETRY in conv2d.cu."""

    def __init__(self, x_shape, w_shape, stride, padding, dilation, groups) -> None:
        self.x_shape, self.w_shape, self.groups = tuple(x_shape), tuple(w_shape), groups
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.N, self.C, *size = self.x_shape
        self.K, self.channels, *window = self.w_shape
        self.filters = self.K // groups
        self.positions = output_size(size, window, stride, padding, dilation)
        self.y_shape = (self.N, self.K, *self.positions)
        self.arguments = (
            *self.x_shape,
            *(self.K, *window, *self.positions, groups),
            *(*stride, *dilation, padding[0][0], padding[1][0]),
        )

    def check(self, name: str, gy=None) -> Convolution:
        """self; ValueError if the shapes do not match or an offset does not fit into 32 bits."""
        if self.C != self.channels * self.groups or self.K % self.groups:
            raise ValueError(
                f"{name}: x {self.x_shape} and w {self.w_shape} do not fit with {self.groups} groups"
            )
        if gy is not None and gy.shape != self.y_shape:
            raise ValueError(f"{name}: expected gy {self.y_shape}, found {gy.shape}")
        if not self.in_32_bits():
            raise ValueError(f"{name}: more than 2^31 elements; x {self.x_shape}, y {self.y_shape}")
        return self

    def in_32_bits(self) -> bool:
        """Whether 32 bits can index the elements of x and y, and the places where windows reach beyond them."""
        reach = [d * (r - 1) + 1 for d, r in zip(self.dilation, self.w_shape[2:])]
        x = [n + sum(p) + r for n, p, r in zip(self.x_shape[2:], self.padding, reach)]
        y = [n + r for n, r in zip(self.positions, reach)]
        sizes = self.N * self.C * math.prod(x), self.N * self.K * math.prod(y), math.prod(self.w_shape)
        grid_fits = self.phase_tiles() < 2**31 and self.groups <= GRID_Z
        return max(sizes) < 2**31 - SIDE and max(*x, *y) < 2**30 and grid_fits

    def phase_tiles(self) -> int:
        """The blocks of the input gradient along x: tiles of pixels, for each of stride_h x stride_w phases."""
        pixels = self.N * math.prod(ceil_div(n, s) for n, s in zip(self.x_shape[2:], self.stride))
        return ceil_div(pixels, SIDE) * math.prod(self.stride)


def _contiguous(name: str, **arrays):
    """The arrays, which must be float32, contiguous and in the given order."""
    float32_only(name, **arrays)
    return [array_module(a).ascontiguousarray(a) for a in arrays.values()]


def _takes(a, b, *, w_shape, x_shape, stride, padding, dilation, groups) -> bool:
    if not (a.dtype == b.dtype == np.float32):
        return False
    return Convolution(x_shape, w_shape, stride, padding, dilation, groups).in_32_bits()


def _forward_fits(x, w, **at) -> bool:
    return _takes(x, w, x_shape=x.shape, w_shape=w.shape, **at)


def _input_grad_fits(gy, w, *, shape, **at) -> bool:
    return _takes(gy, w, x_shape=shape, w_shape=w.shape, **at)


def _weight_grad_fits(x, gy, *, shape, **at) -> bool:
    return _takes(x, gy, x_shape=x.shape, w_shape=shape, **at)


def _many_filters(x, w, **at) -> bool:
    return len(w) // at["groups"] >= FEW_ROWS and _forward_fits(x, w, **at)


def _many_channels(gy, w, **at) -> bool:
    return w.shape[1] >= FEW_ROWS and _input_grad_fits(gy, w, **at)


def _many_filters_of_gradient(x, gy, *, shape, **at) -> bool:
    return shape[0] // at["groups"] >= FEW_ROWS and _weight_grad_fits(x, gy, shape=shape, **at)


# -- y


def _forward(x, w, bias, at, launch):
    """Prepare the arrays; launch(conv, x, w, y, bias) fills y."""
    conv = Convolution(x.shape, w.shape, **at).check("conv2d")
    x, w = _contiguous("conv2d", x=x, w=w)
    if bias is not None:
        (bias,) = _contiguous("conv2d", bias=bias)
    y = array_module(x).empty(conv.y_shape, np.float32)
    if w[:1].size == 0:
        y[...] = 0 if bias is None else bias.reshape(-1, 1, 1)
    elif y.size:
        launch(conv, x, w, y, bias)
    return y


def _naive(conv, x, w, y, bias=None) -> None:
    source.launch("conv2d_naive", (ceil_div(y.size, 256),), (256,), x, w, y, *conv.arguments, bias)


def _implicit_gemm(conv, x, w, y, bias=None) -> None:
    columns = conv.N * math.prod(conv.positions)
    grid = ceil_div(columns, SIDE), ceil_div(conv.filters, SIDE), conv.groups
    source.launch("conv2d_implicit_gemm", grid, (128,), x, w, y, *conv.arguments, bias)


@conv2d.variant("naive", devices=("cuda",), usable=_forward_fits, on="host")
def conv2d_naive_cuda(x, w, **at):
    """One thread per element of y: C/G R S coalesced reads of x, and as many of w, which a warp shares."""
    return _forward(x, w, None, at, _naive)


@conv2d.variant("implicit_gemm", devices=("cuda",), usable=_many_filters, on="host")
def conv2d_implicit_gemm_cuda(x, w, **at):
    """Filters times columns in tiles of 64 x 64; columns are gathered from x when needed and never written to memory.

    128 threads hold 8 x 4 sums each.  With fewer than 8 filters in a group tiles are mostly empty: `naive` takes those.
    """
    return _forward(x, w, None, at, _implicit_gemm)


def _layer_fits(x, w, bias, **at) -> bool:
    return bias.dtype == np.float32 and _forward_fits(x, w, **at)


@conv2d_layer.variant("in_one", devices=("cuda",), usable=_layer_fits, on="host")
def conv2d_layer_in_one(x, w, bias, **at):
    """The convolution adds the bias to its sums before it writes them: one launch, and no pass over y."""
    few = len(w) // at["groups"] < FEW_ROWS
    return _forward(x, w, bias, at, _naive if few else _implicit_gemm)


# -- gx


def _input_grad(gy, w, shape, at, launch):
    """Prepare the arrays; `launch` fills gx."""
    name = "conv2d_input_grad"
    conv = Convolution(shape, w.shape, **at).check(name, gy=gy)
    gy, w = _contiguous(name, gy=gy, w=w)
    gx = array_module(gy).empty(conv.x_shape, np.float32)
    if gy[:1].size * w.size == 0:
        gx[...] = 0
    elif gx.size:
        launch(conv, gy, w, gx)
    return gx


@conv2d_input_grad.variant("naive", devices=("cuda",), usable=_input_grad_fits, on="host")
def conv2d_input_grad_naive_cuda(gy, w, *, shape, **at):
    """One thread per element of gx gathers every gy that it contributed to, at most K/G R S: no atomics."""

    def launch(conv, gy, w, gx):
        source.launch(
            "conv2d_input_grad_naive", (ceil_div(gx.size, 256),), (256,), gy, w, gx, *conv.arguments
        )

    return _input_grad(gy, w, shape, at, launch)


@conv2d_input_grad.variant("implicit_gemm", devices=("cuda",), usable=_many_channels, on="host")
def conv2d_input_grad_implicit_gemm_cuda(gy, w, *, shape, **at):
    """w, with its channels as rows, times columns gathered from gy.

    With strides, the pixels of x fall into stride_h x stride_w phases that meet different taps: one product per phase.
    """

    def launch(conv, gy, w, gx):
        grid = conv.phase_tiles(), ceil_div(conv.channels, SIDE), conv.groups
        steps = [s // math.gcd(s, d) for s, d in zip(conv.stride, conv.dilation)]
        source.launch("conv2d_input_grad_implicit_gemm", grid, (128,), gy, w, gx, *conv.arguments, *steps)

    return _input_grad(gy, w, shape, at, launch)


# -- gw and gb


def _weight_grad(x, gy, shape, at, launch):
    """Prepare the arrays; launch(conv, x, gy) returns gw."""
    name = "conv2d_weight_grad"
    conv = Convolution(x.shape, shape, **at).check(name, gy=gy)
    x, gy = _contiguous(name, x=x, gy=gy)
    if 0 in (x.size, gy.size, math.prod(shape)):
        return array_module(x).zeros(shape, np.float32)
    return launch(conv, x, gy)


def _results(like, shape, filters: int, parts: int):
    """For `filters` sums besides gw: gw, gb and what the parts of both are written to, which is gw and gb themselves
    if there is one part.  -> gw, gb, parts of gw, parts of gb, floats between parts"""
    xp, size = array_module(like), math.prod(shape)
    gw, gb = xp.empty(shape, np.float32), xp.empty(filters, np.float32)
    if parts == 1:
        return gw, gb, gw, gb, size
    both = xp.empty(parts * (size + filters), np.float32)
    return gw, gb, both, both[size:], size + filters


def _add_parts(parts, gw, gb, count: int) -> None:
    if count > 1:
        grid = (ceil_div(gw.size + gb.size, 256),)
        source.launch("conv2d_sum_parts", grid, (256,), parts, gw, gw.size, gb, gb.size, count)


@conv2d_weight_grad.variant("naive", devices=("cuda",), usable=_weight_grad_fits, on="host")
def conv2d_weight_grad_naive_cuda(x, gy, *, shape, **at):
    """One thread per element of w sums over some of the images; a second kernel adds these parts in order."""

    def launch(conv, x, gy):
        blocks = ceil_div(math.prod(shape), 256)
        images = ceil_div(conv.N, ceil_div(FULL, blocks))
        count = ceil_div(conv.N, images)
        gw, gb, parts, _, _ = _results(x, shape, 0, count)
        grid = blocks, count
        source.launch("conv2d_weight_grad_naive", grid, (256,), x, gy, parts, *conv.arguments, images)
        _add_parts(parts, gw, gb, count)
        return gw

    return _weight_grad(x, gy, shape, at, launch)


@conv2d_weight_grad.variant("implicit_gemm", devices=("cuda",), usable=_many_filters_of_gradient, on="host")
def conv2d_weight_grad_implicit_gemm_cuda(x, gy, *, shape, **at):
    """gy, with its filters as rows, times columns gathered from x: sums over all positions of all images.

    Few tiles with long sums: each sum is split so that about 512 blocks have work, and the parts are added in order.
    """
    return _weight_grad(x, gy, shape, at, lambda *arrays: _weight_and_bias_grad(*arrays, False)[0])


def _weight_and_bias_grad(conv, x, gy, with_bias: bool):
    """gw and gb by implicit_gemm; gb is empty without a bias."""
    terms = conv.N * math.prod(conv.positions)
    columns = math.prod(conv.w_shape[1:])
    tiles = ceil_div(columns, SIDE) * ceil_div(conv.filters, SIDE) * conv.groups
    count = max(1, min(ceil_div(FULL, tiles), terms // LONG))
    part = ceil_div(ceil_div(terms, count), STEP) * STEP
    count = ceil_div(terms, part)
    gw, gb, parts, bias_parts, apart = _results(x, conv.w_shape, conv.K if with_bias else 0, count)
    grid = ceil_div(columns, SIDE), ceil_div(conv.filters, SIDE), conv.groups * count
    source.launch(
        "conv2d_weight_grad_implicit_gemm", grid, (128,), x, gy, parts, *conv.arguments, part, apart,
        bias_parts if with_bias else None,
    )  # fmt: skip
    _add_parts(parts, gw, gb, count)
    return gw, gb


def _layer_grad_fits(g, x, w, *, needs, x_shape, w_shape, **at) -> bool:
    return all(a is None or a.dtype == np.float32 for a in (x, w)) and _takes(
        g, g, x_shape=x_shape, w_shape=w_shape, **at
    )


@conv2d_layer_grad.variant("in_one", devices=("cuda",), usable=_layer_grad_fits, on="host")
def conv2d_layer_grad_in_one(g, x, w, *, needs, x_shape, w_shape, **at):
    """g is made contiguous once for all three, and the blocks that sum gw add up gb from what they read of g."""
    gx = gw = gb = None
    (g,) = _contiguous("conv2d_layer_grad", g=g)
    if needs[0]:
        few = w_shape[1] < FEW_ROWS
        input_grad = conv2d_input_grad_naive_cuda if few else conv2d_input_grad_implicit_gemm_cuda
        gx = input_grad(g, w, shape=x_shape, **at)
    few = w_shape[0] // at["groups"] < FEW_ROWS
    if needs[1] and needs[2] and not few and g.size and math.prod(x_shape) and math.prod(w_shape):
        conv = Convolution(x_shape, w_shape, **at).check("conv2d_layer_grad", gy=g)
        (x,) = _contiguous("conv2d_layer_grad", x=x)
        return gx, *_weight_and_bias_grad(conv, x, g, True)
    if needs[1]:
        weight_grad = conv2d_weight_grad_naive_cuda if few else conv2d_weight_grad_implicit_gemm_cuda
        gw = weight_grad(x, g, shape=w_shape, **at)
    if needs[2]:
        gb = sum_two_stage(g, (0, 2, 3))
    return gx, gw, gb
