"""A convolution with its bias, and all of its gradients."""

from __future__ import annotations

from tinygen.kernels.conv2d.reference import (
    add_bias,
    bias_grad,
    conv2d,
    conv2d_input_grad,
    conv2d_weight_grad,
)
from tinygen.kernels.runtime.dispatch import Kernel

conv2d_layer = Kernel("conv2d_layer")
conv2d_layer_grad = Kernel("conv2d_layer_grad")


@conv2d_layer.reference
def conv2d_layer_reference(x, w, bias, **at):
    """conv2d(x, w) plus the bias (K,) of each filter"""
    return add_bias(conv2d(x, w, **at), bias)


@conv2d_layer_grad.reference
def conv2d_layer_grad_reference(g, x, w, *, needs, x_shape, w_shape, **at):
    """gx, gw and gb from g, the gradient of y; None where `needs` says that nobody wants it.

    x and w may be None where the results that need them are not wanted.
    """
    return (
        conv2d_input_grad(g, w, shape=x_shape, **at) if needs[0] else None,
        conv2d_weight_grad(x, g, shape=w_shape, **at) if needs[1] else None,
        bias_grad(g) if needs[2] else None,
    )
