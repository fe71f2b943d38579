"""Normalization on the GPU (`norm.cu`) in float32: layer, group, instance and batch norm, also followed by SiLU.

The numbers that are normalized together are a row.  A row consists of `slabs` times `inner` neighbors, which share a
weight.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tinygen.kernels.norm.reference import normalize, normalize_grad, normalize_silu, normalize_silu_grad
from tinygen.kernels.norm.shapes import shape_of, slab_start
from tinygen.kernels.runtime.cuda_source import CudaSource, float32_only
from tinygen.kernels.runtime.dispatch import array_module, for_readers
from tinygen.kernels.runtime.rounding import ceil_div

source = CudaSource("norm/norm.cu")
WARP_HOLDS = 256  # numbers of a row, 8 for each of 32 threads
SLICE = 1024  # floats; a slab is divided among several warps only if each gets at least as many
MANY_ROWS = 528  # 4 blocks for each multiprocessor of an H100; with that many rows a block need not be large
# Blocks of the gradient of layer norm, each of which writes its own sums: one per multiprocessor, or more if each still
# has enough rows for its sums to cost little, up to the number of threads that run at once.
FEWEST_STRIPES, ROWS_PER_STRIPE, THREADS_OF_A_GPU = 132, 16, 132 * 1024


class Layout(NamedTuple):
    """Number `inner` i + s of row r is at r row_stride + i slab_stride + s, and its weight has the index
    (r weight_row + i weight_slab) mod period.  The same as `Layout` in norm.cu."""

    rows: int
    slabs: int
    inner: int
    row_stride: int
    slab_stride: int
    weight_row: int
    weight_slab: int
    period: int

    @property
    def size(self) -> int:
        return self.slabs * self.inner

    @property
    def contiguous(self) -> bool:
        """Whether a row is contiguous in memory"""
        return self.slabs == 1 or self.slab_stride == self.inner

    def arguments(self) -> tuple:
        return (
            *(self.slabs, self.inner, np.int64(self.row_stride), np.int64(self.slab_stride)),
            *(self.weight_row, self.weight_slab, self.period),
        )


def layout_of(x, dims, shape) -> Layout | None:
    """The layout for normalizing x over dims with weights of `shape` (or None); None if the kernels cannot do it."""
    dims, lead = tuple(sorted(dims)), x.ndim - len(dims)
    wide = (1,) * x.ndim if shape is None else (1,) * (x.ndim - len(shape)) + tuple(shape)
    if dims == tuple(range(lead, x.ndim)):
        size = math.prod(x.shape[lead:])
        rows = math.prod(x.shape[:lead])
        if shape is None or shape == x.shape[lead:]:
            return Layout(rows, size, 1, size, 1, 0, 1, size)
        start = slab_start(x, dims, shape)
        slabs, inner = math.prod(x.shape[lead:start]), math.prod(x.shape[start:])
        # the weights belong to the dimensions first..start
        first = next((d for d in range(start) if wide[d] != 1), start)
        if wide[first:start] == x.shape[first:start]:
            return Layout(rows, slabs, inner, size, inner, slabs, 1, math.prod(wide))
    elif dims == (0, *range(2, x.ndim)) and (shape is None or wide == (1, x.shape[1], *(1,) * (x.ndim - 2))):
        N, C, inner = x.shape[0], x.shape[1], math.prod(x.shape[2:])
        if C == 1:
            return Layout(1, 1, N * inner, N * inner, 0, 1, 0, 1)
        return Layout(C, N, inner, inner, C * inner, 1, 0, C)
    return None


def _forward(kernel, launch, x, weight, bias, dims, eps):
    """Check the arguments, allocate y, mean and var, and let launch(layout, x, weight, bias, y, mean, var) fill them.

    An x without elements is left to the reference.
    """
    layout = _checked(kernel.name, x, weight, bias, dims)
    if not x.size:
        return kernel.ladder["cpu"][0][1](x, weight, bias, dims, eps)
    xp = array_module(x)
    y = xp.empty(x.shape, np.float32)
    mean, var = (
        xp.empty([1 if d in dims else n for d, n in enumerate(x.shape)], np.float32) for _ in range(2)
    )
    x, weight, bias = (None if a is None else xp.ascontiguousarray(a) for a in (x, weight, bias))
    launch(layout, x, weight, bias, y, mean, var)
    return y, mean, var


def _checked(name: str, x, weight, bias, dims, **others) -> Layout:
    present = {k: a for k, a in dict(x=x, weight=weight, bias=bias, **others).items() if a is not None}
    float32_only(name, **present)
    layout = layout_of(x, dims, shape_of(weight, bias))
    if layout is None or (weight is not None and bias is not None and weight.shape != bias.shape):
        vectors = [None if a is None else a.shape for a in (weight, bias)]
        raise ValueError(
            f"{name}: expected layer, group, instance or batch norm; x {x.shape}, dims {dims}, "
            f"weight and bias {vectors}"
        )
    return layout


def _slices(at: Layout) -> tuple[int, int, int]:
    """(slices per slab, floats per slice, threads per block), so that 8 warps have work."""
    slices = max(1, min(ceil_div(8, at.slabs), at.inner // SLICE))
    slice = ceil_div(at.inner, slices) + 3 & ~3
    slices = ceil_div(at.inner, slice)
    most = 8 if at.rows >= MANY_ROWS else 32
    return slices, slice, 32 * min(at.slabs * slices, most)


def _row_threads(size: int, a_thread_holds: int) -> int:
    """Threads of a block that holds a row of `size` numbers"""
    return 32 * min(ceil_div(size, 32 * a_thread_holds), 32)


def _naive(name: str):
    def launch(at: Layout, x, weight, bias, y, mean, var, eps):
        source.launch(
            f"{name}_naive", (ceil_div(at.rows, 64),), (64,), x, weight, bias, y, mean, var, np.int64(at.rows), eps,
            *at.arguments(),
        )  # fmt: skip

    return launch


def _slabs(name: str):
    def launch(at: Layout, x, weight, bias, y, mean, var, eps):
        slices, slice, threads = _slices(at)
        source.launch(
            f"{name}_slabs", (at.rows,), (threads,), x, weight, bias, y, mean, var, eps, slices, slice,
            *at.arguments(),
        )  # fmt: skip

    return launch


def _block_rows(name: str):
    def launch(at: Layout, x, weight, bias, y, mean, var, eps):
        if not at.contiguous:
            return _slabs(name)(at, x, weight, bias, y, mean, var, eps)
        arrays = (x, weight, bias, y, mean, var, np.int64(at.rows), at.size, eps)
        if at.inner == 1 and name == "normalize":
            source.launch("normalize_block_rows", (at.rows,), (_row_threads(at.size, 8),), *arrays)
        else:
            threads = _row_threads(at.size, 16)
            source.launch(f"{name}_groups_block_rows", (at.rows,), (threads,), *arrays, at.inner, at.period)

    return launch


def _warp_rows(at: Layout, x, weight, bias, y, mean, var, eps):
    if at.inner > 1 or not at.contiguous:
        return _block_rows("normalize")(at, x, weight, bias, y, mean, var, eps)
    arrays = (x, weight, bias, y, mean, var, np.int64(at.rows), at.size, eps)
    source.launch("normalize_warp_rows", (ceil_div(at.rows, 8),), (256,), *arrays)


def _usable(x, weight, bias, dims) -> Layout | None:
    """The layout, if the kernels take these arguments; else None"""
    vectors = [a for a in (weight, bias) if a is not None]
    if any(a.dtype != np.float32 or a.shape != vectors[0].shape for a in vectors) or x.dtype != np.float32:
        return None
    return layout_of(x, dims, shape_of(weight, bias))


def _in_slabs(x, weight, bias, dims, eps) -> bool:
    at = _usable(x, weight, bias, dims)
    return _slabs_pay(at)


def _in_rows(x, weight, bias, dims, eps) -> bool:
    at = _usable(x, weight, bias, dims)
    return at is not None and at.contiguous


def _in_short_rows(x, weight, bias, dims, eps) -> bool:
    at = _usable(x, weight, bias, dims)
    return at is not None and at.inner == 1 and at.contiguous and at.size <= WARP_HOLDS


def _register(kernel) -> None:
    """Register the forward rungs that a plain normalization and one with SiLU share."""

    @kernel.variant("naive", devices=("cuda",), usable=for_readers, on="host")
    def naive(x, weight, bias, dims, eps):
        """A thread takes a row: each number is read 3 times and written once; a thread reads neighbors."""
        return _forward(kernel, lambda *a: _naive(kernel.name)(*a, eps), x, weight, bias, dims, eps)

    @kernel.variant("slabs", devices=("cuda",), usable=_in_slabs, on="host")
    def slabs(x, weight, bias, dims, eps):
        """A block takes a row, a warp a channel of an image or part of it: for batch norm, and rows of any layout."""
        return _forward(kernel, lambda *a: _slabs(kernel.name)(*a, eps), x, weight, bias, dims, eps)

    @kernel.variant("block_rows", devices=("cuda",), usable=_in_rows, on="host")
    def block_rows(x, weight, bias, dims, eps):
        """A block takes a row and keeps it in registers: reads x and writes y once, 8 bytes per element."""
        return _forward(kernel, lambda *a: _block_rows(kernel.name)(*a, eps), x, weight, bias, dims, eps)


_register(normalize)
_register(normalize_silu)


@normalize.variant("warp_rows", devices=("cuda",), usable=_in_short_rows, on="host")
def normalize_warp_rows_cuda(x, weight, bias, dims, eps):
    """Layer norm of up to 256 numbers: a warp takes a row and needs no barrier; 8 bytes per element."""
    return _forward(normalize, lambda *a: _warp_rows(*a, eps), x, weight, bias, dims, eps)


# -- gradients -------------------------------------------------------------------------------------------------------


def _backward(kernel, launch, arguments, g, x, weight, bias, mean, var, dims, eps, shape):
    """launch(layout, arrays, gx, eps) fills gx and returns parts of Σ g n and Σ g.  -> gx, gweight, gbias

    An x without elements is left to the reference, which takes `arguments`.
    """
    at = layout_of(x, dims, shape)
    float32_only(
        kernel.name,
        **{
            k: a
            for k, a in dict(g=g, x=x, weight=weight, bias=bias, mean=mean, var=var).items()
            if a is not None
        },
    )
    if at is None or g.shape != x.shape or any(a is not None and a.shape != shape for a in (weight, bias)):
        raise ValueError(
            f"{kernel.name}: expected the arguments of layer, group, instance or batch norm; g {g.shape}, x {x.shape}, "
            f"dims {dims}, weight and bias {shape}"
        )
    if not x.size:
        return kernel.ladder["cpu"][0][1](*arguments)
    xp = array_module(x)
    g, x, weight, bias, mean, var = (
        None if a is None else xp.ascontiguousarray(a) for a in (g, x, weight, bias, mean, var)
    )
    gx = xp.empty(x.shape, np.float32)
    parts = launch(at, (g, x, weight, bias, mean, var), gx, eps)
    return gx, *((None, None) if shape is None else _summed(at, parts, shape))


def _summed(at: Layout, parts, shape):
    """Add the sums that share a weight.  parts (2, rows, slabs, slices) -> gweight, gbias of `shape`"""
    xp, (_, rows, slabs, slices) = array_module(parts), parts.shape
    gweight, gbias = (xp.empty(shape, np.float32) for _ in range(2))
    outs, size = (parts, gweight, gbias, at.period), rows * slabs * slices
    if at.weight_slab == 0:  # batch norm: a weight per row
        I, J, apart, step = 1, slabs * slices, slabs * slices, 0
    else:
        I, J, apart, step = rows * slabs // at.period, slices, slices, at.period * slices
    if J == 1:
        source.launch("normalize_sum_columns", (ceil_div(at.period, 32), 2), (256,), *outs, size, I, step)
    else:
        grid = ceil_div(at.period, 8), 2
        source.launch("normalize_sum_rows", grid, (256,), *outs, size, I, J, apart, step)
    return gweight, gbias


def _parts(like, *shape):
    """An array for the parts of Σ g n and of Σ g"""
    return array_module(like).empty((2, *shape), np.float32)


def _naive_grad(name: str):
    def launch(at: Layout, arrays, gx, eps):
        parts = _parts(gx, at.rows, at.slabs, 1)
        source.launch(
            f"{name}_naive", (ceil_div(at.rows, 64),), (64,), *arrays, gx, *parts, np.int64(at.rows), eps,
            *at.arguments(),
        )  # fmt: skip
        return parts

    return launch


def _slabs_grad(name: str):
    def launch(at: Layout, arrays, gx, eps):
        slices, slice, threads = _slices(at)
        parts = _parts(gx, at.rows, at.slabs, slices)
        source.launch(
            f"{name}_slabs", (at.rows,), (threads,), *arrays, gx, *parts, eps, slices, slice, *at.arguments()
        )
        return parts

    return launch


def _block_rows_grad(at: Layout, arrays, gx, eps):
    if at.inner > 1 or not at.contiguous:
        return _slabs_grad("normalize_grad")(at, arrays, gx, eps)
    g, x, weight, _, mean, var = arrays
    threads = min(_row_threads(at.size, 8), 512)
    blocks = min(at.rows, max(FEWEST_STRIPES, min(at.rows // ROWS_PER_STRIPE, THREADS_OF_A_GPU // threads)))
    parts = _parts(x, blocks, at.size, 1)
    if at.size > 8 * threads:  # the sums do not fit into registers: the blocks add to those in memory
        parts[...] = 0
    source.launch(
        "normalize_grad_block_rows", (blocks,), (threads,), g, x, weight, mean, var, gx, *parts,
        np.int64(at.rows), at.size, eps,
    )  # fmt: skip
    return parts


def _usable_grad(g, x, weight, bias, dims, shape) -> Layout | None:
    """The layout, if the gradient's kernels take these arguments; else None"""
    same = g.dtype == x.dtype == np.float32 and g.shape == x.shape
    vectors = all(a is None or (a.dtype == np.float32 and a.shape == shape) for a in (weight, bias))
    return layout_of(x, dims, shape) if same and vectors else None


def _slabs_pay(at: Layout | None) -> bool:
    return at is not None and (at.contiguous or at.inner >= 16)


def _grad_in_slabs(g, x, weight, mean, var, dims, eps, shape) -> bool:
    return _slabs_pay(_usable_grad(g, x, weight, None, dims, shape))


def _silu_grad_in_slabs(g, x, weight, bias, mean, var, dims, eps, shape) -> bool:
    return _slabs_pay(_usable_grad(g, x, weight, bias, dims, shape))


def _grad_in_rows(g, x, weight, mean, var, dims, eps, shape) -> bool:
    at = _usable_grad(g, x, weight, None, dims, shape)
    return at is not None and at.inner == 1 and at.contiguous


@normalize_grad.variant("naive", devices=("cuda",), usable=for_readers, on="host")
def normalize_grad_naive_cuda(*arguments):
    """A thread takes a row: reads g and x twice, writes gx once, and sums each slab for the weights."""
    g, x, weight, mean, var, *rest = arguments
    return _backward(
        normalize_grad, _naive_grad("normalize_grad"), arguments, g, x, weight, None, mean, var, *rest
    )


@normalize_grad.variant("slabs", devices=("cuda",), usable=_grad_in_slabs, on="host")
def normalize_grad_slabs_cuda(*arguments):
    """A block takes a row, a warp a channel of an image: 12 bytes per element if g and x of a row stay in a cache."""
    g, x, weight, mean, var, *rest = arguments
    return _backward(
        normalize_grad, _slabs_grad("normalize_grad"), arguments, g, x, weight, None, mean, var, *rest
    )


@normalize_grad.variant("block_rows", devices=("cuda",), usable=_grad_in_rows, on="host")
def normalize_grad_block_rows_cuda(*arguments):
    """Layer norm: a block takes many rows and keeps its sums for the weights in registers: 12 bytes per element."""
    g, x, weight, mean, var, *rest = arguments
    return _backward(normalize_grad, _block_rows_grad, arguments, g, x, weight, None, mean, var, *rest)


@normalize_silu_grad.variant("naive", devices=("cuda",), usable=for_readers, on="host")
def normalize_silu_grad_naive_cuda(*arguments):
    """As normalize_grad; the input of SiLU is computed again from x."""
    return _backward(normalize_silu_grad, _naive_grad("normalize_silu_grad"), arguments, *arguments)


@normalize_silu_grad.variant("slabs", devices=("cuda",), usable=_silu_grad_in_slabs, on="host")
def normalize_silu_grad_slabs_cuda(*arguments):
    """As normalize_grad; nothing is stored between the two operations: 12 bytes per element instead of 24."""
    return _backward(normalize_silu_grad, _slabs_grad("normalize_silu_grad"), arguments, *arguments)


from tinygen.kernels.norm import columns_cuda  # noqa: E402, F401  registers the last rung of both ladders
