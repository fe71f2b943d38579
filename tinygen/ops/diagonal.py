"""Triangles and diagonals of matrices."""

from __future__ import annotations

from tinygen import kernels
from tinygen.primitive import primitive


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
