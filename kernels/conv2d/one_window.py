"""Convolution whose window is the whole image, as in the first and last layers of a GAN: one matrix product."""

from __future__ import annotations

from tinygen.kernels.conv2d.reference import conv2d, conv2d_input_grad, conv2d_weight_grad
from tinygen.kernels.matmul.reference import matmul


def _one_window(a, b, x_shape, w_shape, padding, dilation, groups) -> bool:
    return (
        tuple(x_shape[2:]) == tuple(w_shape[2:])
        and not any(map(any, padding))
        and groups == 1
        and a.dtype == b.dtype
        and a.size > 0
        and b.size > 0
        and dilation == (1, 1)
    )


def _usable(x, w, *, stride, padding, dilation, groups):
    return _one_window(x, w, x.shape, w.shape, padding, dilation, groups)


@conv2d.variant("one_window", usable=_usable)
def conv2d_one_window(x, w, *, stride, padding, dilation, groups):
    """y (N, K) = x (N, C·R·S) wᵀ: one BLAS product."""
    return matmul(x.reshape(len(x), -1), w.reshape(len(w), -1).T)[..., None, None]


def _usable_input(gy, w, *, shape, stride, padding, dilation, groups):
    return _one_window(gy, w, shape, w.shape, padding, dilation, groups)


@conv2d_input_grad.variant("one_window", usable=_usable_input)
def conv2d_input_grad_one_window(gy, w, *, shape, stride, padding, dilation, groups):
    """gx (N, C·R·S) = gy (N, K) w: one BLAS product.  With a single filter, each image is a multiple of it."""
    if len(w) == 1:
        return gy * w
    return matmul(gy.reshape(len(gy), -1), w.reshape(len(w), -1)).reshape(shape)


def _usable_weight(x, gy, *, shape, stride, padding, dilation, groups):
    return _one_window(x, gy, x.shape, shape, padding, dilation, groups)


@conv2d_weight_grad.variant("one_window", usable=_usable_weight)
def conv2d_weight_grad_one_window(x, gy, *, shape, stride, padding, dilation, groups):
    """gw (K, C·R·S) = gyᵀ x: one BLAS product."""
    return matmul(gy.reshape(len(gy), -1).T, x.reshape(len(x), -1)).reshape(shape)
