"""Operations that move elements without computing: reshape, permute, join, split, pad, gather."""

from __future__ import annotations

import math

import numpy as np

from tinygen import dtypes, kernels
from tinygen.dtypes import ShapeError
from tinygen.ops.elementwise import cast, clone
from tinygen.primitive import primitive
from tinygen.tensor import Tensor


def _dim(dim: int, ndim: int, operation: str) -> int:
    """One dimension number in 0..ndim-1."""
    bound = max(ndim, 1)
    if not -bound <= dim < bound:
        raise IndexError(
            f"{operation}: found dim {dim}, expected {-bound} to {bound - 1} for {ndim} dimensions"
        )
    return dim % bound


def _sizes(sizes: tuple) -> tuple[int, ...]:
    """Sizes given one by one or as one list or tuple."""
    if len(sizes) == 1 and not isinstance(sizes[0], (int, np.integer, Tensor)):
        sizes = sizes[0]
    return tuple(int(n) for n in sizes)


@primitive
def _reshape(x, *, shape):
    return x.reshape(shape)


_reshape.vjp(lambda g, x_shape: _reshape(g, shape=x_shape))


def reshape(x, *shape):
    """The same elements in another shape, one size may be -1; a view where the memory allows it"""
    shape = _sizes(shape)
    known = math.prod(n for n in shape if n != -1)
    fits = x.numel() == known if -1 not in shape else (known and x.numel() % known == 0)
    if not fits or shape.count(-1) > 1 or any(n < -1 for n in shape):
        raise ShapeError(f"reshape: x {x.shape} has {x.numel()} elements, which do not fill shape {shape}")
    return _reshape(x, shape=shape)


def view(x, *shape):
    """`reshape`.  Unlike PyTorch's it copies where the memory layout does not allow a view; a dtype casts nothing."""
    if len(shape) == 1 and isinstance(shape[0], np.dtype):
        raise NotImplementedError(
            "view: reinterpreting memory as another dtype is not supported; use x.to(dtype)"
        )
    return reshape(x, *shape)


def flatten(x, start_dim=0, end_dim=-1):
    """Dimensions start_dim..end_dim as one"""
    if x.ndim == 0:
        return reshape(x, 1)
    start, end = _dim(start_dim, x.ndim, "flatten"), _dim(end_dim, x.ndim, "flatten")
    if start > end:
        raise RuntimeError(f"flatten: found start_dim {start_dim} after end_dim {end_dim}")
    return _reshape(x, shape=(*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :]))


def unflatten(x, dim, sizes):
    """Dimension `dim` as several; one of the sizes may be -1"""
    dim = _dim(dim, x.ndim, "unflatten")
    known = math.prod(n for n in sizes if n != -1)
    sizes = tuple(x.shape[dim] // known if n == -1 and known else n for n in sizes)
    if math.prod(sizes) != x.shape[dim]:
        raise ShapeError(f"unflatten: sizes {sizes} do not fill dimension {dim} of x {x.shape}")
    return _reshape(x, shape=(*x.shape[:dim], *sizes, *x.shape[dim + 1 :]))


def squeeze(x, dim=None):
    """Without dimensions of size one: all, or those named"""
    dims = (
        range(x.ndim)
        if dim is None
        else [_dim(d, x.ndim, "squeeze") for d in ([dim] if isinstance(dim, int) else dim)]
    )
    return _reshape(x, shape=tuple(n for i, n in enumerate(x.shape) if not (i in dims and n == 1)))


def unsqueeze(x, dim):
    """With a new dimension of size one at `dim`"""
    dim = _dim(dim, x.ndim + 1, "unsqueeze")
    return _reshape(x, shape=(*x.shape[:dim], 1, *x.shape[dim:]))


@primitive
def _permute(x, *, dims):
    return x.transpose(dims)


_permute.vjp(lambda g, dims: _permute(g, dims=tuple(sorted(range(len(dims)), key=dims.__getitem__))))


def permute(x, *dims):
    """Dimensions in another order: (N, C, H, W), (0, 2, 3, 1) -> (N, H, W, C)"""
    dims = tuple(_dim(d, x.ndim, "permute") for d in _sizes(dims))
    if sorted(dims) != list(range(x.ndim)):
        raise ShapeError(f"permute: found dims {dims}, expected each of 0 to {x.ndim - 1} once; x {x.shape}")
    return _permute(x, dims=dims)


def transpose(x, dim0, dim1):
    """Two dimensions swapped"""
    order = list(range(x.ndim))
    a, b = _dim(dim0, x.ndim, "transpose"), _dim(dim1, x.ndim, "transpose")
    if order:
        order[a], order[b] = order[b], order[a]
    return _permute(x, dims=tuple(order))


def t(x):
    """A matrix transposed; fewer dimensions as they are"""
    if x.ndim > 2:
        raise RuntimeError(f"t: found {x.ndim} dimensions, expected at most 2")
    return transpose(x, 0, 1) if x.ndim == 2 else x


@primitive
def _expand(x, *, shape):
    return kernels.array_module(x).broadcast_to(x, shape)


_expand.vjp(lambda g: g)  # the tape sums it over the expanded axes


def expand(x, *sizes):
    """Dimensions of size one repeated to `sizes` without copying; -1 keeps a size"""
    sizes = _sizes(sizes)
    lead = len(sizes) - x.ndim
    old = (None,) * lead + x.shape
    shape = tuple(o if n == -1 else n for n, o in zip(sizes, old))
    if lead < 0 or any(n is None or (o not in (None, 1) and o != n) for n, o in zip(shape, old)):
        raise ShapeError(f"expand: x {x.shape} cannot be expanded to {sizes}")
    return _expand(x, shape=shape)


def view_as(x, other):
    """`view` in the shape of another Tensor"""
    return view(x, other.shape)


def expand_as(x, other):
    """`expand` to the shape of another Tensor"""
    return expand(x, other.shape)


def broadcast_to(x, size):
    """`expand`"""
    return expand(x, size)


def repeat(x, *sizes):
    """Copies laid side by side, `sizes[i]` times along dimension i"""
    sizes = _sizes(sizes)
    lead = len(sizes) - x.ndim
    if lead < 0:
        raise ShapeError(f"repeat: found {len(sizes)} sizes, expected at least {x.ndim} for x {x.shape}")
    shape = (1,) * lead + x.shape
    if all(n == 1 for n in sizes):
        return reshape(clone(x), shape)  # what follows would be a view
    spread = [n for size, old in zip(sizes, shape) for n in (size, old)]
    between = [n for old in shape for n in (1, old)]
    return reshape(expand(reshape(x, between), spread), [size * old for size, old in zip(sizes, shape)])


def contiguous(x):
    """x itself where its memory is in row-major order, else a copy that is"""
    return x if x.is_contiguous() else _contiguous(x)


@primitive
def _contiguous(x):
    return kernels.array_module(x).ascontiguousarray(x)


_contiguous.vjp(lambda g: g)


@primitive
def _flip(x, *, dims):
    return kernels.array_module(x).flip(x, dims).copy()  # as PyTorch's: writing to it leaves x alone


_flip.vjp(lambda g, dims: _flip(g, dims=dims))


def flip(x, dims):
    """The order of elements reversed along `dims`"""
    return _flip(x, dims=tuple(_dim(d, x.ndim, "flip") for d in ([dims] if isinstance(dims, int) else dims)))


# joining and splitting


@primitive(promote="same")
def _cat(*xs, dim):
    return kernels.array_module(xs[0]).concatenate(xs, axis=dim)


_cat.vjp(lambda g, i, xs_shape, dim: narrow(g, dim, sum(s[dim] for s in xs_shape[:i]), xs_shape[i][dim]))


def cat(tensors, dim=0):
    """Tensors joined along an existing dimension"""
    tensors = list(tensors)
    if not tensors:
        raise ValueError("cat: found no Tensors, expected at least one")
    full = [x for x in tensors if x.shape != (0,)] or tensors[:1]  # PyTorch lets a (0,) Tensor join anything
    dim = _dim(dim, full[0].ndim, "cat")
    first = full[0].shape
    if not first:
        raise ShapeError("cat: found a Tensor without dimensions, expected at least one; use stack")
    for i, x in enumerate(full):
        if x.ndim != len(first) or x.shape[:dim] + x.shape[dim + 1 :] != first[:dim] + first[dim + 1 :]:
            raise ShapeError(f"cat: xs[{i}] {x.shape} does not fit xs[0] {first} outside dim {dim}")
    result = _cat(*full, dim=dim)
    if len(full) < len(tensors):  # the empty ones still count for the dtype
        dtype = dtypes.result_type([x.dtype for x in tensors], [], [])
        result = result if result.dtype == dtype else cast(result, dtype=dtype)
    return result


def stack(tensors, dim=0):
    """Tensors of one shape joined along a new dimension"""
    tensors = list(tensors)
    if not tensors:
        raise ValueError("stack: found no Tensors, expected at least one")
    for i, x in enumerate(tensors):
        if x.shape != tensors[0].shape:
            raise ShapeError(f"stack: xs[{i}] is {x.shape}, expected the shape of xs[0] {tensors[0].shape}")
    dim = _dim(dim, tensors[0].ndim + 1, "stack")
    return _cat(*[unsqueeze(x, dim) for x in tensors], dim=dim)


@primitive
def _narrow(x, *, dim, start, length):
    return x[(slice(None),) * dim + (slice(start, start + length),)]


@primitive
def _widen(x, *, dim, start, size):
    """Zeros of `size` along dim with x at `start`: what `narrow` left out."""
    xp = kernels.array_module(x)
    out = xp.zeros((*x.shape[:dim], size, *x.shape[dim + 1 :]), x.dtype)
    out[(slice(None),) * dim + (slice(start, start + x.shape[dim]),)] = x
    return out


_narrow.vjp(lambda g, x_shape, dim, start: _widen(g, dim=dim, start=start, size=x_shape[dim]))
_widen.vjp(lambda g, x_shape, dim, start: _narrow(g, dim=dim, start=start, length=x_shape[dim]))


def narrow(x, dim, start, length):
    """Elements start..start+length-1 along `dim`, a view"""
    dim = _dim(dim, x.ndim, "narrow")
    start = start + x.shape[dim] if start < 0 else start
    if not 0 <= start <= start + length <= x.shape[dim]:
        raise ShapeError(f"narrow: {start}..{start + length} is outside dimension {dim} of x {x.shape}")
    return _narrow(x, dim=dim, start=start, length=length)


def split(x, split_size, dim=0):
    """Pieces of `split_size` along `dim` (the last may be smaller), or of the listed sizes, as a tuple of views"""
    dim = _dim(dim, x.ndim, "split")
    n = x.shape[dim]
    if isinstance(split_size, int):
        if split_size < 0 or (split_size == 0 and n):
            raise ValueError(f"split: found split_size {split_size}, expected a positive number")
        sizes = [min(split_size, n - start) for start in range(0, n, max(split_size, 1))] or [0]
    else:
        sizes = list(split_size)
    if sum(sizes) != n:
        raise ShapeError(
            f"split: sizes {sizes} sum to {sum(sizes)}, expected {n}, dimension {dim} of x {x.shape}"
        )
    starts = np.cumsum([0, *sizes])
    return tuple(_narrow(x, dim=dim, start=int(start), length=size) for start, size in zip(starts, sizes))


def chunk(x, chunks, dim=0):
    """`chunks` pieces along `dim`, fewer where it does not divide, as a tuple of views"""
    if chunks < 1:
        raise ValueError(f"chunk: found {chunks} chunks, expected at least one")
    n = x.shape[_dim(dim, x.ndim, "chunk")]
    return split(x, max(1, math.ceil(n / chunks)), dim) if n else split(x, [0] * chunks, dim)


def unbind(x, dim=0):
    """The slices along `dim`, as a tuple of views without it"""
    dim = _dim(dim, x.ndim, "unbind")
    return tuple(squeeze(narrow(x, dim, i, 1), dim) for i in range(x.shape[dim]))


# triangles and padding


@primitive
def tril(x, *, diagonal=0):
    """The lower triangle of matrices, zeros above `diagonal`"""
    return kernels.array_module(x).tril(x, diagonal)


tril.vjp(lambda g, diagonal: tril(g, diagonal))


@primitive
def triu(x, *, diagonal=0):
    """The upper triangle of matrices, zeros below `diagonal`"""
    return kernels.array_module(x).triu(x, diagonal)


triu.vjp(lambda g, diagonal: triu(g, diagonal))


@primitive
def _pad(x, *, widths, value):
    return kernels.array_module(x).pad(x, widths, constant_values=value)


@primitive
def _unpad(x, *, widths):
    return x[tuple(slice(before, x.shape[i] - after) for i, (before, after) in enumerate(widths))]


_pad.vjp(lambda g, widths: _unpad(g, widths=widths))
_unpad.vjp(lambda g, widths: _pad(g, widths=widths, value=0))


def pad(x, pad, mode="constant", value=None):
    """Add elements at the borders: pad = (left, right, top, bottom, …), the last dimension first; negative crops"""
    if mode != "constant":
        raise NotImplementedError(f"pad: mode {mode!r} is not supported so far; use 'constant'")
    if len(pad) % 2 or len(pad) > 2 * x.ndim:
        raise ShapeError(
            f"pad: found {len(pad)} widths, expected an even number of at most {2 * x.ndim} for x {x.shape}"
        )
    widths = [(0, 0)] * (x.ndim - len(pad) // 2) + [(pad[i], pad[i + 1]) for i in range(len(pad) - 2, -1, -2)]
    if any(w < 0 for pair in widths for w in pair):
        x = _unpad(x, widths=tuple((max(-a, 0), max(-b, 0)) for a, b in widths))
        widths = [(max(a, 0), max(b, 0)) for a, b in widths]
    return _pad(x, widths=tuple(widths), value=0 if value is None else value)


# gather and scatter along one dimension


@primitive
def _gather(x, *, index, dim):
    return kernels.array_module(x).take_along_axis(x[_corner(x, index, dim)], index, dim)


@primitive
def _scatter_add(x, *, index, dim, shape):
    """Zeros of `shape` to which x is added at `index` along `dim`; repeated places sum up."""
    xp = kernels.array_module(x)
    out = xp.zeros(shape, x.dtype)
    places = list(xp.indices(index.shape, sparse=True)) if index.ndim else []
    places[dim] = index
    xp.add.at(out, tuple(places), x)
    return out


def _corner(x, index, dim):
    """The part of x that an index smaller than x reaches."""
    return tuple(slice(None) if i == dim else slice(n) for i, n in enumerate(index.shape))


_gather.vjp(lambda g, x_shape, index, dim: _scatter_add(g, index=index, dim=dim, shape=x_shape))
_scatter_add.vjp(lambda g, index, dim: _gather(g, index=index, dim=dim))


def gather(x, dim, index):
    """out[i][j] = x[index[i][j]][j] for dim 0, and so on: pick along one dimension"""
    if x.ndim == 0:
        return reshape(x, index.shape)
    dim = _dim(dim, x.ndim, "gather")
    places = index._data
    if places.dtype.kind not in "iu":
        raise dtypes.DtypeError(f"gather: found an index of dtype {places.dtype}, expected an integer dtype")
    if places.ndim != x.ndim or any(places.shape[i] > x.shape[i] for i in range(x.ndim) if i != dim):
        raise ShapeError(f"gather: index {places.shape} does not fit x {x.shape} outside dim {dim}")
    if places.size and not (0 <= places.min() and places.max() < x.shape[dim]):
        raise IndexError(f"gather: an index is outside 0..{x.shape[dim] - 1}, dimension {dim} of x {x.shape}")
    return _gather(x, index=index, dim=dim)
