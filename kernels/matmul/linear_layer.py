"""A linear layer on rows: the product with its bias, and all of its gradients.

Shapes: x (M, K), weight (N, K), bias (N,) -> y (M, N); g has y's shape.
"""

from __future__ import annotations

from tinygen.kernels.elementwise.reference import add
from tinygen.kernels.matmul.reference import matmul
from tinygen.kernels.reduce.reference import sum
from tinygen.kernels.runtime.dispatch import Kernel

linear = Kernel("linear")
linear_grad = Kernel("linear_grad")


@linear.reference
def linear_reference(x, weight, bias=None):
    """y = x weightᵀ + bias"""
    y = matmul(x, weight.T)
    return y if bias is None else add(y, bias, out=y)


@linear_grad.reference
def linear_grad_reference(g, x, weight, needs):
    """gx = g weight, gw = gᵀ x, gb = the sum of g's rows; None where `needs` says that nobody wants it.

    x and weight may be None where the results that need them are not wanted.
    """
    return (
        matmul(g, weight) if needs[0] else None,
        matmul(g.T, x) if needs[1] else None,
        sum(g, (0,)) if needs[2] else None,
    )
