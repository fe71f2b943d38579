"""Joining and cutting along one dimension."""

from __future__ import annotations

import math

import numpy as np

from tinygen import kernels
from tinygen.engine import dtypes
from tinygen.engine.dtypes import ShapeError
from tinygen.engine.errors import refusal
from tinygen.engine.primitive import primitive
from tinygen.engine.sweep_ops import cast
from tinygen.ops.arguments import INT
from tinygen.ops.declaration import example, operation, real
from tinygen.ops.shape.reshape import dim_of, sizes_of, squeeze, unsqueeze


@primitive(promote="same")
def _cat(*xs, dim):
    return kernels.array_module(xs[0]).concatenate(xs, axis=dim)


# every input gets its own slice of g
_cat.vjp(lambda g, i, xs_shape, dim: narrow(g, dim, sum(s[dim] for s in xs_shape[:i]), xs_shape[i][dim]))


@operation(
    example("tinygen.cat([a, b], dim=1)", a=real(2, 2), b=real(2, 1)),
    homes="tinygen",
    aliases="concat concatenate",
    dim=INT,
)
def cat(tensors, dim=0):
    """Tensors joined along an existing dimension"""
    tensors = list(tensors)
    if not tensors:
        raise refusal("cat", ValueError, "found no Tensors, expected at least one")
    full = [x for x in tensors if x.shape != (0,)] or tensors[
        :1
    ]  # PyTorch lets a Tensor of shape (0,) join anything
    dim = dim_of(dim, full[0].ndim, "cat")
    first = full[0].shape
    if not first:
        raise refusal(
            "cat", ShapeError, "found a Tensor without dimensions, expected at least one; use stack"
        )
    for i, x in enumerate(full):
        if x.ndim != len(first) or x.shape[:dim] + x.shape[dim + 1 :] != first[:dim] + first[dim + 1 :]:
            raise refusal(
                "cat", ShapeError, f"xs[{i}] {x.shape} does not fit xs[0] {first} outside dim {dim}"
            )
    result = _cat(*full, dim=dim)
    if len(full) < len(tensors):  # the empty ones still count for the dtype
        dtype = dtypes.result_type([x.dtype for x in tensors], [], [])
        result = result if result.dtype == dtype else cast(result, dtype=dtype)
    return result


@operation(example("tinygen.stack([a, b])", a=real(2), b=real(2)), homes="tinygen", dim=INT)
def stack(tensors, dim=0):
    """Tensors of the same shape joined along a new dimension"""
    tensors = list(tensors)
    if not tensors:
        raise refusal("stack", ShapeError, "found no Tensors, expected at least one")
    for i, x in enumerate(tensors):
        if x.shape != tensors[0].shape:
            raise refusal(
                "stack", ShapeError, f"xs[{i}] is {x.shape}, expected the shape of xs[0] {tensors[0].shape}"
            )
    dim = dim_of(dim, tensors[0].ndim + 1, "stack")
    return _cat(*[unsqueeze(x, dim) for x in tensors], dim=dim)


@primitive
def _narrow(x, *, dim, start, length):
    return x[(slice(None),) * dim + (slice(start, start + length),)]


@primitive
def _widen(x, *, dim, start, size):
    """x at `start` among zeros, `size` elements along dim: the transpose of `narrow`."""
    xp = kernels.array_module(x)
    out = xp.zeros((*x.shape[:dim], size, *x.shape[dim + 1 :]), x.dtype)
    out[(slice(None),) * dim + (slice(start, start + x.shape[dim]),)] = x
    return out


_narrow.vjp(lambda g, x_shape, dim, start: _widen(g, dim=dim, start=start, size=x_shape[dim]))


@_narrow.adds
def _add_to_narrow(total, g, dim, start, length):
    total[(slice(None),) * dim + (slice(start, start + length),)] += g


_widen.vjp(lambda g, x_shape, dim, start: _narrow(g, dim=dim, start=start, length=x_shape[dim]))


@operation(example("tinygen.narrow(x, 1, 0, 2)", x=real(2, 3)), dim=INT)
def narrow(input, dim, start, length):
    """Elements start..start+length-1 along `dim`, a view"""
    dim = dim_of(dim, input.ndim, "narrow")
    if input.ndim == 0:
        raise refusal("narrow", ShapeError, "found input (), expected at least one dimension")
    size = input.shape[dim]
    if not -size <= start <= size:
        raise refusal(
            "narrow", IndexError, f"found start {start}, expected {-size} to {size}; x {input.shape}"
        )
    start = start + size if start < 0 else start
    if not 0 <= start <= start + length <= input.shape[dim]:
        raise refusal(
            "narrow", ShapeError, f"{start}..{start + length} is outside dimension {dim} of x {input.shape}"
        )
    return _narrow(input, dim=dim, start=start, length=length)


@operation(example("tinygen.split(x, 2, dim=1)", x=real(2, 3)), dim=INT)
def split(tensor, split_size_or_sections=None, dim=0, *, split_size=None):
    """Pieces of that size along `dim` (the last may be smaller), or of the listed sizes, as a tuple of views

    split_size   the method's name for split_size_or_sections in PyTorch
    """
    if (split_size is None) == (split_size_or_sections is None):
        raise refusal(
            "split", TypeError, "found no sizes, or sizes under two names, expected split_size_or_sections"
        )
    split_size_or_sections = split_size if split_size_or_sections is None else split_size_or_sections
    dim = dim_of(dim, tensor.ndim, "split")
    n = tensor.shape[dim]
    if isinstance(split_size_or_sections, int):
        step = split_size_or_sections
        if step < 0 or (step == 0 and n):
            raise refusal("split", ShapeError, f"found split_size {step}, expected a positive number")
        sizes = [min(step, n - start) for start in range(0, n, max(step, 1))] or [0]
    else:
        sizes = list(sizes_of((split_size_or_sections,), None, "split"))
        if any(size < 0 for size in sizes):
            raise refusal("split", ShapeError, f"found sizes {sizes}, expected no negative numbers")
    if sum(sizes) != n:
        raise refusal(
            "split",
            ShapeError,
            f"sizes {sizes} sum to {sum(sizes)}, expected {n}, dimension {dim} of x {tensor.shape}",
        )
    starts = np.cumsum([0, *sizes])
    return tuple(
        _narrow(tensor, dim=dim, start=int(start), length=size) for start, size in zip(starts, sizes)
    )


@operation(example("tinygen.chunk(x, 2, dim=1)", x=real(2, 4)), dim=INT)
def chunk(input, chunks, dim=0):
    """At most `chunks` pieces of equal size along `dim` (the last may be smaller), as a tuple of views"""
    if chunks < 1:
        raise refusal("chunk", ShapeError, f"found {chunks} chunks, expected at least one")
    n = input.shape[dim_of(dim, input.ndim, "chunk")]
    return split(input, max(1, math.ceil(n / chunks)), dim) if n else split(input, [0] * chunks, dim)


@operation(example("x.select(1, 2)", x=real(2, 3)), dim=INT, index=INT)
def select(input, dim, index):
    """The slice at `index` along `dim`, a view without that dimension"""
    if input.ndim == 0:
        raise refusal("select", IndexError, "found no dimensions, expected at least one")
    dim = dim_of(dim, input.ndim, "select")
    size = input.shape[dim]
    if not -size <= index < size:
        raise refusal(
            "select", IndexError, f"found index {index}, expected {-size} to {size - 1}; input {input.shape}"
        )
    return squeeze(_narrow(input, dim=dim, start=index % size, length=1), dim)


@operation(dim=INT)
def unbind(input, dim=0):
    """The slices along `dim`, as a tuple of views without that dimension"""
    dim = dim_of(dim, input.ndim, "unbind")
    return tuple(squeeze(narrow(input, dim, i, 1), dim) for i in range(input.shape[dim]))
