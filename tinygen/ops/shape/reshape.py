"""Other shapes and orders of the same elements: reshape, permute, expand, flip, roll."""

from __future__ import annotations

import math
import operator

import numpy as np

from tinygen import kernels
from tinygen.engine import dtypes
from tinygen.engine.dtypes import ShapeError
from tinygen.engine.errors import refusal
from tinygen.engine.memory import share_memory
from tinygen.engine.primitive import primitive
from tinygen.engine.sweep_ops import clone
from tinygen.engine.sweep_ops import expand as _expand
from tinygen.ops.arguments import INT, INTS, INTS_OR_DTYPE, TENSOR, TENSOR_OR_TENSORS, WORD
from tinygen.ops.declaration import constant, example, operation, real


def dim_of(dim: int, ndim: int, operation: str) -> int:
    """`dim` as a number in 0..ndim-1."""
    bound = max(ndim, 1)
    if not -bound <= dim < bound:
        raise refusal(
            operation, IndexError, f"found dim {dim}, expected {-bound} to {bound - 1} for {ndim} dimensions"
        )
    return dim % bound


def sizes_of(given: tuple, named, operation: str) -> tuple[int, ...]:
    """Sizes (or dimensions) that were passed one by one, as one list or tuple, or by keyword."""
    if named is not None:
        if given:
            raise refusal(
                operation, TypeError, "found sizes by position and by name, expected one of the two"
            )
        given = (named,)
    if not given:
        raise refusal(operation, TypeError, "found no sizes, expected whole numbers")
    if len(given) == 1 and isinstance(given[0], (tuple, list)):
        given = given[0]
    try:
        return tuple(operator.index(n) for n in given)
    except TypeError:
        found = ", ".join(type(n).__name__ for n in given)
        raise refusal(operation, TypeError, f"found sizes of type {found}, expected whole numbers") from None


@primitive
def _reshape(x, *, shape):
    return x.reshape(shape)


# the same elements: g reshaped to the shape of x
_reshape.vjp(lambda g, x_shape: _reshape(g, shape=x_shape))


@operation(example("tinygen.reshape(x, (3, 2))", x=real(2, 3)))
def reshape(input, *sizes, shape=None):
    """The same elements in another shape, of which one size may be -1; a view where memory allows"""
    shape = sizes_of(sizes, shape, "reshape")
    known = math.prod(n for n in shape if n != -1)
    fits = input.numel() == known if -1 not in shape else (known and input.numel() % known == 0)
    if not fits or shape.count(-1) > 1 or any(n < -1 for n in shape):
        raise refusal(
            "reshape",
            ShapeError,
            f"x {input.shape} has {input.numel()} elements, which do not fill shape {shape}",
        )
    return _reshape(input, shape=shape)


@operation(example("x.view(3, 2)", x=real(2, 3)), homes="Tensor", sizes=INTS_OR_DTYPE)
def view(input, *sizes, size=None):
    """`reshape`.  Unlike PyTorch's, it copies where the memory layout does not allow a view; a dtype is refused."""
    if len(sizes) == 1 and isinstance(sizes[0], (type, np.dtype)):
        raise refusal(
            "view",
            NotImplementedError,
            "reinterpreting memory as another dtype is not supported; use x.to(dtype)",
        )
    return reshape(input, sizes_of(sizes, size, "view"))


@operation
def flatten(input, start_dim=0, end_dim=-1):
    """Dimensions start_dim..end_dim merged into one"""
    start, end = dim_of(start_dim, input.ndim, "flatten"), dim_of(end_dim, input.ndim, "flatten")
    if input.ndim == 0:
        return reshape(input, 1)
    if start > end:
        raise refusal("flatten", RuntimeError, f"found start_dim {start_dim} after end_dim {end_dim}")
    return _reshape(
        input, shape=(*input.shape[:start], math.prod(input.shape[start : end + 1]), *input.shape[end + 1 :])
    )


@operation(example("tinygen.unflatten(x, 1, (2, 2))", x=real(2, 4)), dim=INT)
def unflatten(input, dim, sizes):
    """Dimension `dim` split into several, of which one size may be -1"""
    dim = dim_of(dim, input.ndim, "unflatten")
    if sizes in ((), []):
        raise refusal("unflatten", ShapeError, f"found sizes {sizes}, expected at least one; x {input.shape}")
    sizes = sizes_of((sizes,), None, "unflatten")
    known = math.prod(n for n in sizes if n != -1)
    if list(sizes).count(-1) > 1:
        raise refusal("unflatten", ShapeError, f"found sizes {tuple(sizes)}, expected at most one -1")
    sizes = tuple(input.shape[dim] // known if n == -1 and known else n for n in sizes)
    if math.prod(sizes) != input.shape[dim]:
        raise refusal(
            "unflatten", ShapeError, f"sizes {sizes} do not fill dimension {dim} of x {input.shape}"
        )
    return _reshape(input, shape=(*input.shape[:dim], *sizes, *input.shape[dim + 1 :]))


@operation(example("tinygen.squeeze(x, 1)", x=real(2, 1, 3)))
def squeeze(input, dim=None):
    """Without its dimensions of size one: all of them, or those in `dim`"""
    dims = (
        range(input.ndim)
        if dim is None
        else [dim_of(d, input.ndim, "squeeze") for d in ([dim] if isinstance(dim, int) else dim)]
    )
    return _reshape(input, shape=tuple(n for i, n in enumerate(input.shape) if not (i in dims and n == 1)))


@operation(example("tinygen.unsqueeze(x, 1)", x=real(2, 3)), dim=INT)
def unsqueeze(input, dim):
    """With a new dimension of size one at position `dim`"""
    dim = dim_of(dim, input.ndim + 1, "unsqueeze")
    return _reshape(input, shape=(*input.shape[:dim], 1, *input.shape[dim:]))


@primitive
def _permute(x, *, dims):
    return x.transpose(dims)


# the inverse permutation
_permute.vjp(lambda g, dims: _permute(g, dims=tuple(sorted(range(len(dims)), key=dims.__getitem__))))


@operation(example("tinygen.permute(x, (2, 0, 1))", x=real(2, 1, 3)))
def permute(input, *order, dims=None):
    """Dimensions in another order: (N, C, H, W), (0, 2, 3, 1) -> (N, H, W, C)"""
    dims = tuple(dim_of(d, input.ndim, "permute") for d in sizes_of(order, dims, "permute"))
    if sorted(dims) != list(range(input.ndim)):
        raise refusal(
            "permute",
            ShapeError,
            f"found dims {dims}, expected each of 0 to {input.ndim - 1} once; x {input.shape}",
        )
    return _permute(input, dims=dims)


@operation(example("tinygen.transpose(x, 0, 1)", x=real(2, 3)), aliases="swapaxes swapdims")
def transpose(input, dim0, dim1):
    """Two dimensions swapped"""
    order = list(range(input.ndim))
    a, b = dim_of(dim0, input.ndim, "transpose"), dim_of(dim1, input.ndim, "transpose")
    if order:
        order[a], order[b] = order[b], order[a]
    return _permute(input, dims=tuple(order))


@operation
def t(input):
    """The transpose of a matrix; Tensors of fewer dimensions are returned unchanged"""
    if input.ndim > 2:
        raise refusal("t", RuntimeError, f"found {input.ndim} dimensions, expected at most 2")
    return transpose(input, 0, 1) if input.ndim == 2 else input


@operation(example("x.expand(2, 3)", x=real(2, 1)), homes="Tensor")
def expand(input, *sizes, size=None):
    """Dimensions of size one expanded to `sizes` without copying; -1 keeps a size"""
    sizes = sizes_of(sizes, size, "expand")
    lead = len(sizes) - input.ndim
    old = (None,) * lead + input.shape
    shape = tuple(o if n == -1 else n for n, o in zip(sizes, old))
    if lead < 0 or any(n is None or (o not in (None, 1) and o != n) for n, o in zip(shape, old)):
        raise refusal("expand", ShapeError, f"x {input.shape} cannot be expanded to {sizes}")
    return _expand(input, shape=shape)


@operation(
    example("x.view_as(other)", x=real(2, 3), other=constant(real(3, 2))), homes="Tensor", other=TENSOR
)
def view_as(input, other):
    """`view` in the shape of another Tensor"""
    return view(input, other.shape)


@operation(
    example("x.expand_as(other)", x=real(2, 1), other=constant(real(2, 3))), homes="Tensor", other=TENSOR
)
def expand_as(input, other):
    """`expand` to the shape of another Tensor"""
    return expand(input, other.shape)


@operation(example("tinygen.broadcast_to(x, (2, 3))", x=real(2, 1)))
def broadcast_to(input, size):
    """`expand`"""
    return expand(input, size)


@operation(example("x.repeat(2, 2)", x=real(1, 3)), homes="Tensor")
def repeat(input, *sizes, repeats=None):
    """The Tensor tiled, `sizes[i]` times along dimension i"""
    sizes = sizes_of(sizes, repeats, "repeat")
    lead = len(sizes) - input.ndim
    if lead < 0:
        raise refusal(
            "repeat",
            ShapeError,
            f"found {len(sizes)} sizes, expected at least {input.ndim} for x {input.shape}",
        )
    shape = (1,) * lead + input.shape
    spread = [n for size, old in zip(sizes, shape) for n in (size, old)]
    between = [n for old in shape for n in (1, old)]
    spread = expand(reshape(input, between), spread)
    return copied(reshape(spread, [size * old for size, old in zip(sizes, shape)]), input)


def copied(result, input):
    """`result`, computed from `input`, in memory of its own: PyTorch copies where NumPy returns a view"""
    return clone(result) if share_memory(result._data, input._data) else result


@operation(example("x.t().contiguous()", x=real(2, 3)), homes="Tensor")
def contiguous(input):
    """x itself if its memory is in row-major order, else such a copy"""
    return input if input.is_contiguous() else _contiguous(input)


@primitive
def _contiguous(x):
    return kernels.array_module(x).ascontiguousarray(x)


_contiguous.vjp(lambda g: g)


@primitive
def _flip(x, *, dims):
    return (
        kernels.array_module(x).flip(x, dims).copy()
    )  # a copy, as in PyTorch: writing to it does not change x


_flip.vjp(lambda g, dims: _flip(g, dims=dims))


@operation(example("tinygen.flip(x, (1,))", x=real(2, 3)))
def flip(input, *order, dims=None):
    """The order of elements reversed along `dims`"""
    dims = [dim_of(d, input.ndim, "flip") for d in sizes_of(order, dims, "flip")]
    if len(set(dims)) < len(dims):
        raise refusal("flip", RuntimeError, f"found dims {dims}, expected distinct dimensions")
    return _flip(input, dims=tuple(dims) if input.ndim else ())


@primitive
def _roll(x, *, shifts, dims):
    return kernels.array_module(x).roll(x, shifts, dims)


_roll.vjp(lambda g, shifts, dims: _roll(g, shifts=tuple(-n for n in shifts), dims=dims))


@operation(example("tinygen.roll(x, 1, 1)", x=real(2, 3)))
def roll(input, shifts, dims=None):
    """Elements shifted by `shifts` along `dims`, from the end back to the start; without dims, in flattened order"""
    shifts = sizes_of((shifts,), None, "roll")
    if dims is None or dims in ((), []):
        if len(shifts) != 1:
            raise refusal("roll", RuntimeError, f"found {len(shifts)} shifts without dims, expected one")
        return reshape(_roll(reshape(input, -1), shifts=shifts, dims=(0,)), input.shape)
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    if len(shifts) != len(dims):
        raise refusal(
            "roll",
            RuntimeError,
            f"found {len(shifts)} shifts for {len(dims)} dims, expected the same number of both",
        )
    if input.ndim == 0:
        raise refusal("roll", IndexError, f"found dims {dims} of input (), expected at least one dimension")
    dims = tuple(dim_of(d, input.ndim, "roll") for d in dims)
    return _roll(input, shifts=shifts, dims=dims) if input.ndim else clone(input)


@operation(example("tinygen.movedim(x, 0, 1)", x=real(2, 1, 3)), aliases="moveaxis", source=INTS)
def movedim(input, source, destination):
    """Dimensions `source` (one or several) moved to the positions `destination`; the others keep their order"""
    if isinstance(source, (tuple, list)) != isinstance(destination, (tuple, list)):
        raise refusal(
            "movedim",
            TypeError,
            f"found source {source}, destination {destination}, expected two numbers or two tuples",
        )
    source, destination = (sizes_of((dims,), None, "movedim") for dims in (source, destination))
    source, destination = ([dim_of(d, input.ndim, "movedim") for d in dims] for dims in (source, destination))
    if len(source) != len(destination) or len({*source}) < len(source) or len({*destination}) < len(source):
        raise refusal(
            "movedim",
            ShapeError,
            f"found source {source}, destination {destination}, expected the same number of both, without repetition",
        )
    rest = iter(d for d in range(input.ndim) if d not in source)
    given = dict(zip(destination, source))
    return _permute(input, dims=tuple(given[d] if d in given else next(rest) for d in range(input.ndim)))


@operation(
    example("tinygen.meshgrid(a, b, indexing='ij')", a=real(2), b=real(3)),
    homes="tinygen",
    tensors=TENSOR_OR_TENSORS,
    indexing=WORD,
)
def meshgrid(*tensors, indexing="ij"):
    """Coordinates of the grid spanned by 1-d Tensors, each in the grid's shape; "xy" swaps the first two dimensions"""
    tensors = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    if indexing not in ("ij", "xy"):
        raise refusal("meshgrid", RuntimeError, f"found indexing {indexing!r}, expected 'ij' or 'xy'")
    if not tensors or any(x.ndim > 1 for x in tensors):
        raise refusal(
            "meshgrid", ShapeError, f"found {[x.shape for x in tensors]}, expected Tensors of one dimension"
        )
    if len({x.dtype for x in tensors}) > 1:
        raise refusal(
            "meshgrid", dtypes.DtypeError, f"found {[str(x.dtype) for x in tensors]}, expected one dtype"
        )
    shape = [x.numel() for x in tensors]
    grids = [
        expand(reshape(x, [-1 if k == i else 1 for k in range(len(shape))]), shape)
        for i, x in enumerate(tensors)
    ]
    return tuple(transpose(x, 0, 1) if indexing == "xy" and len(shape) > 1 else x for x in grids)


@operation
def ravel(input):
    """The flattened Tensor"""
    return reshape(input, -1)
