"""Products of matrices and vectors of any rank."""

from __future__ import annotations

import math

import numpy as np

from tinygen import kernels
from tinygen.engine.dtypes import ShapeError
from tinygen.engine.errors import refusal
from tinygen.engine.primitive import primitive
from tinygen.engine.sweep_ops import sum_to
from tinygen.ops.arguments import TENSOR
from tinygen.ops.checks import expect_one_dtype
from tinygen.ops.declaration import example, operation, real
from tinygen.ops.shape.reshape import reshape, transpose


@primitive
def _matmul(x, w):
    """out = x w.  (..., M, K), (..., K, N) -> (..., M, N)"""
    return kernels.matmul(x, w)


def _summed_product(a, b, shape):
    """a b, summed over the batch dimensions that `shape` lacks: as one large product where possible."""
    if len(shape) == 2 and a.ndim > 2 and b.ndim == a.ndim and a.shape[:-2] == b.shape[:-2]:
        # (..., M, K), (..., K, N) as (M, batch K), (batch K, N)
        flat_a = reshape(transpose(a, -1, -2), _rows(a.shape[:-2]) * a.shape[-1], a.shape[-2])
        return _matmul(transpose(flat_a, 0, 1), reshape(b, _rows(b.shape[:-1]), b.shape[-1]))
    return sum_to(_matmul(a, b), shape=shape)


# y_ij = Σ_k x_ik w_kj, so ∂L/∂x_ik = Σ_j g_ij w_kj and ∂L/∂w_kj = Σ_i g_ij x_ik: gx = g wᵀ, gw = xᵀ g
_matmul.vjp(
    lambda g, w, x_shape: _summed_product(g, transpose(w, -1, -2), x_shape),
    lambda g, x, w_shape: _summed_product(transpose(x, -1, -2), g, w_shape),
)


@operation(example("tinygen.matmul(x, other)", x=real(2, 3), other=real(3, 2)), other=TENSOR)
def matmul(input, other):
    """Matrix product; a vector is a row on the left and a column on the right; leading dimensions broadcast"""
    if input.ndim == 0 or other.ndim == 0:
        raise refusal(
            "matmul",
            ShapeError,
            f"found x {input.shape}, other {other.shape}, expected at least one dimension each",
        )
    inner = other.shape[-2] if other.ndim > 1 else other.shape[0]
    if input.shape[-1] != inner:
        raise refusal(
            "matmul",
            ShapeError,
            f"x has {input.shape[-1]} columns, other has {inner} rows; x {input.shape}, other {other.shape}",
        )
    left, right = input.ndim == 1, other.ndim == 1
    a = reshape(input, 1, input.shape[0]) if left else input
    b = reshape(other, other.shape[0], 1) if right else other
    if a.ndim > 2 and b.ndim == 2:  # one product of a tall matrix instead of a batch of small ones
        out = reshape(_matmul(reshape(a, _rows(a.shape[:-1]), a.shape[-1]), b), *a.shape[:-1], b.shape[-1])
    else:
        out = _matmul(a, b)
    if not (left or right):
        return out
    lead = out.shape[:-2]
    return reshape(out, (*lead, *([] if left else [out.shape[-2]]), *([] if right else [out.shape[-1]])))


@operation(example("tinygen.mm(x, mat2)", x=real(2, 3), mat2=real(3, 2)))
def mm(input, mat2):
    """Product of two matrices"""
    if input.ndim != 2 or mat2.ndim != 2:
        raise refusal("mm", ShapeError, f"found x {input.shape}, mat2 {mat2.shape}, expected two matrices")
    return matmul(input, mat2)


@operation(example("tinygen.bmm(x, mat2)", x=real(2, 2, 3), mat2=real(2, 3, 1)))
def bmm(input, mat2):
    """Products of two batches of matrices: (B, M, K), (B, K, N) -> (B, M, N)"""
    if input.ndim != 3 or mat2.ndim != 3 or input.shape[0] != mat2.shape[0]:
        raise refusal(
            "bmm",
            ShapeError,
            f"found x {input.shape}, mat2 {mat2.shape}, expected two batches of the same number of matrices",
        )
    return matmul(input, mat2)


@operation(example("tinygen.dot(x, other)", x=real(3), other=real(3)))
def dot(input, tensor):
    """Inner product of two vectors"""
    if input.ndim != 1 or tensor.ndim != 1:
        raise refusal(
            "dot", ShapeError, f"found x {input.shape}, tensor {tensor.shape}, expected two vectors"
        )
    return matmul(input, tensor)


@operation(example("tinygen.outer(x, vec2)", x=real(2), vec2=real(3)), aliases="ger")
def outer(input, vec2):
    """All products of the elements of two vectors: (M,), (N,) -> (M, N)"""
    if input.ndim != 1 or vec2.ndim != 1:
        raise refusal(
            "outer", ShapeError, f"found input {input.shape}, vec2 {vec2.shape}, expected two vectors"
        )
    return reshape(input, -1, 1) * reshape(vec2, 1, -1)


@operation(example("tinygen.mv(x, vec)", x=real(2, 3), vec=real(3)))
def mv(input, vec):
    """Product of a matrix and a vector: (M, K), (K,) -> (M,)"""
    if input.ndim != 2 or vec.ndim != 1:
        raise refusal(
            "mv", ShapeError, f"found input {input.shape}, vec {vec.shape}, expected a matrix and a vector"
        )
    return matmul(input, vec)


def _plus(operation: str, input, product, beta, alpha):
    """beta input + alpha product; with beta = 0, input is ignored even if it is nan."""
    expect_one_dtype(operation, input=input, product=product)
    try:
        fits = np.broadcast_shapes(input.shape, product.shape) == product.shape
    except ValueError:
        fits = False
    if not fits:
        raise refusal(operation, ShapeError, f"input {input.shape} does not broadcast to {product.shape}")
    product = product if alpha == 1 else product * alpha
    if beta == 0:
        return product
    return (input if beta == 1 else input * beta) + product


@operation(example("tinygen.addmm(x, mat1, mat2)", x=real(2), mat1=real(2, 3), mat2=real(3, 2)))
def addmm(input, mat1, mat2, *, beta=1, alpha=1):
    """beta input + alpha mat1 mat2.  input broadcasts to (M, N), mat1 (M, K), mat2 (K, N) -> (M, N)"""
    return _plus("addmm", input, mm(mat1, mat2), beta, alpha)


@operation(example("tinygen.baddbmm(x, a, b)", x=real(2), a=real(2, 2, 3), b=real(2, 3, 2)))
def baddbmm(input, batch1, batch2, *, beta=1, alpha=1):
    """beta input + alpha batch1 batch2.  batch1 (B, M, K), batch2 (B, K, N) -> (B, M, N)"""
    return _plus("baddbmm", input, bmm(batch1, batch2), beta, alpha)


@primitive
def _linear(x, weight, bias=None):
    """y = x weightᵀ + bias for rows x: (M, K), (N, K), (N,) -> (M, N)"""
    return kernels.linear(x, weight, bias)


# y_mn = Σ_k x_mk w_nk + b_n: gx = g w, gw = gᵀ x, and b is added to every row, so gb sums g over the rows
_linear.vjp(
    lambda g, weight: _matmul(g, weight),
    lambda g, x: _matmul(transpose(g, 0, 1), x),
    lambda g, weight_shape: sum_to(g, shape=weight_shape[:1]),
)


@_linear.fused
def _linear_backward(g, needs, x=None, weight=None):
    """The three results above in one kernel, without an operation for each transpose, product and sum."""
    return kernels.linear_grad(g, x, weight, needs)


@operation(
    example("F.linear(input, weight, bias)", input=real(2, 3), weight=real(2, 3), bias=real(2)), homes="F"
)
def linear(input, weight, bias=None):
    """x weightᵀ + bias.  input (..., K), weight (N, K), bias (N,) -> (..., N)"""
    shape, weights = input._data.shape, weight._data.shape
    if len(weights) != 2 or not shape or shape[-1] != weights[1]:
        found = f"input {input.shape}, weight {weight.shape}"
        raise refusal("linear", ShapeError, f"the last dimension of input must be weight's second; {found}")
    if bias is not None and bias._data.shape != weights[:1]:
        raise refusal(
            "linear",
            ShapeError,
            f"found bias {bias.shape}, expected {weight.shape[:1]} for weight {weight.shape}",
        )
    if len(shape) == 2:
        return _linear(input, weight, bias)
    lead = shape[:-1]
    rows = reshape(input, _rows(lead), shape[-1])
    return reshape(_linear(rows, weight, bias), *lead, weights[0])


def _rows(lead: tuple) -> int:
    """The number of rows in a stack of matrices; reshape's -1 would not work where there are none."""
    return math.prod(lead)
