"""Triangles and diagonals of matrices."""

from __future__ import annotations

import operator

import numpy as np

from tinygen import kernels
from tinygen.engine.dtypes import DtypeError, ShapeError
from tinygen.engine.errors import refusal
from tinygen.engine.primitive import primitive
from tinygen.engine.sweep_ops import clone
from tinygen.ops.declaration import operation
from tinygen.ops.reduce import sum
from tinygen.ops.shape.reshape import dim_of


def _matrices(x):
    if x.ndim < 2:
        raise ShapeError(f"found shape {x.shape}, expected at least two dimensions")
    return x


@primitive
def _tril(x, *, diagonal):
    return kernels.array_module(x).tril(_matrices(x), diagonal)


_tril.vjp(lambda g, diagonal: _tril(g, diagonal=diagonal))


@primitive
def _triu(x, *, diagonal):
    return kernels.array_module(x).triu(_matrices(x), diagonal)


_triu.vjp(lambda g, diagonal: _triu(g, diagonal=diagonal))


@operation
def tril(input, diagonal=0):
    """The lower triangle of matrices, zeros above `diagonal`"""
    return _tril(input, diagonal=operator.index(diagonal))


@operation
def triu(input, diagonal=0):
    """The upper triangle of matrices, zeros below `diagonal`"""
    return _triu(input, diagonal=operator.index(diagonal))


@primitive
def _diagonal(x, *, offset, dim1, dim2):
    out = x.diagonal(offset, dim1, dim2)
    if (
        isinstance(x, np.ndarray) and x.flags.writeable
    ):  # NumPy's diagonal is read-only; PyTorch's is an ordinary view
        out.flags.writeable = True
    return out


@primitive
def _embed(x, *, offset, dim1, dim2, shape):
    """Zeros of `shape` with x on that diagonal."""
    out = kernels.array_module(x).zeros(shape, x.dtype)
    diagonal = out.diagonal(offset, dim1, dim2)
    if isinstance(diagonal, np.ndarray):
        diagonal.flags.writeable = True
    diagonal[...] = x
    return out


_diagonal.vjp(lambda g, x_shape, **at: _embed(g, shape=x_shape, **at))
_embed.vjp(lambda g, offset, dim1, dim2: _diagonal(g, offset=offset, dim1=dim1, dim2=dim2))


def _two_dims(dim1: int, dim2: int, ndim: int, operation: str):
    dim1, dim2 = dim_of(dim1, ndim, operation), dim_of(dim2, ndim, operation)
    if dim1 == dim2:
        raise refusal(operation, RuntimeError, f"found dim1 and dim2 both {dim1}, expected two dimensions")
    return dim1, dim2


@operation
def diagonal(input, offset=0, dim1=0, dim2=1):
    """The diagonal of the matrices in dim1 and dim2, as a new last dimension, a view; offset > 0 is above it"""
    dim1, dim2 = _two_dims(dim1, dim2, input.ndim, "diagonal")
    return _diagonal(input, offset=offset, dim1=dim1, dim2=dim2)


@operation
def diag_embed(input, offset=0, dim1=-2, dim2=-1):
    """Matrices of zeros, in dim1 and dim2, with the last dimension of input as their diagonal"""
    dim1, dim2 = _two_dims(dim1, dim2, input.ndim + 1, "diag_embed")
    size = input.shape[-1] + abs(offset)
    rest = iter(input.shape[:-1])
    shape = tuple(size if d in (dim1, dim2) else next(rest) for d in range(input.ndim + 1))
    return _embed(input, offset=offset, dim1=dim1, dim2=dim2, shape=shape)


@operation
def diag(input, diagonal=0):
    """A vector as the diagonal of a matrix of zeros; for a matrix, its diagonal as a vector"""
    if input.ndim == 1:
        return diag_embed(input, diagonal)
    if input.ndim != 2:
        raise refusal("diag", ShapeError, f"found input {input.shape}, expected one or two dimensions")
    return clone(_diagonal(input, offset=diagonal, dim1=0, dim2=1))


@operation
def trace(input):
    """The sum of the diagonal of a matrix"""
    if input.dtype == np.bool_:
        raise refusal("trace", DtypeError, "found dtype bool, expected numbers")
    if input.ndim != 2:
        raise refusal("trace", ShapeError, f"found input {input.shape}, expected a matrix")
    return sum(_diagonal(input, offset=0, dim1=0, dim2=1))
