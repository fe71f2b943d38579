"""Convolution whose one window is the whole image, a GAN's first and last layer: a matrix product."""

from __future__ import annotations

from tinygen.kernels.conv2d.reference import conv2d, conv2d_input_grad, conv2d_weight_grad


def _whole(a, b, image, window, padding, groups):
    one = tuple(image[2:]) == tuple(window[2:]) and not any(map(any, padding)) and groups == 1
    return one and a.dtype == b.dtype and a.size > 0 and b.size > 0


def _usable(x, w, *, stride, padding, dilation, groups):
    return _whole(x, w, x.shape, w.shape, padding, groups) and dilation == (1, 1)


@conv2d.variant("one_window", usable=_usable)
def conv2d_one_window(x, w, *, stride, padding, dilation, groups):
    """y (N, K) = x (N, C·R·S) wᵀ, one product by BLAS."""
    return (x.reshape(len(x), -1) @ w.reshape(len(w), -1).T)[..., None, None]


def _usable_input(gy, w, *, shape, stride, padding, dilation, groups):
    return _whole(gy, w, shape, w.shape, padding, groups) and dilation == (1, 1)


@conv2d_input_grad.variant("one_window", usable=_usable_input)
def conv2d_input_grad_one_window(gy, w, *, shape, stride, padding, dilation, groups):
    """gx (N, C·R·S) = gy (N, K) w, one product by BLAS; of one filter a multiple for each image."""
    if len(w) == 1:
        return gy * w
    return (gy.reshape(len(gy), -1) @ w.reshape(len(w), -1)).reshape(shape)


def _usable_weight(x, gy, *, shape, stride, padding, dilation, groups):
    return _whole(x, gy, x.shape, shape, padding, groups) and dilation == (1, 1)


@conv2d_weight_grad.variant("one_window", usable=_usable_weight)
def conv2d_weight_grad_one_window(x, gy, *, shape, stride, padding, dilation, groups):
    """gw (K, C·R·S) = gyᵀ x, one product by BLAS."""
    return (gy.reshape(len(gy), -1).T @ x.reshape(len(x), -1)).reshape(shape)
