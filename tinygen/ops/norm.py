"""Normalization over the batch, the features, groups of channels or single images.

All of them use one primitive: (x - mean) / sqrt(var + eps) over some dimensions, then scaled and shifted per channel.
"""

from __future__ import annotations

import math

import numpy as np

from tinygen import kernels
from tinygen.engine.dtypes import DtypeError, ShapeError
from tinygen.engine.errors import refusal
from tinygen.engine.primitive import primitive
from tinygen.engine.sweep_ops import sum_to
from tinygen.ops.checks import expect_one_dtype
from tinygen.ops.creation import zeros_like
from tinygen.ops.declaration import example, operation, real
from tinygen.ops.elementwise.activation import silu_row
from tinygen.ops.elementwise.arithmetic import rsqrt, square
from tinygen.ops.reduce import mean
from tinygen.ops.shape.reshape import reshape, sizes_of
from tinygen.ops.wide import by_float32


@primitive(keeps=("average", "var"))
def _normalize(x, weight=None, bias=None, *, dims, eps, observe=None):
    """(x - mean) / sqrt(var + eps) · weight + bias over dims, var biased; weight and bias broadcast against x.

    observe(mean, var) is called with both, for running statistics
    """
    y, average, var = kernels.normalize(x, weight, bias, dims, eps)
    if observe is not None:
        observe(average, var)
    return y, average, var


def _normalized(x, dims, eps):
    """n = (x - mean) / σ and 1/σ with σ = sqrt(var + eps), recomputed from x so that they have derivatives, too"""
    centred = x - mean(x, dims, keepdim=True)
    scale = rsqrt(mean(square(centred), dims, keepdim=True) + eps)
    return centred * scale, scale


def _normalize_row(g, x, weight, dims, eps):
    """gx = (h - mean(h) - n mean(h n)) / σ with h = g · weight, from y = n · weight + bias and n = (x - mean) / σ.

    ∂mean/∂x_j = 1/n and ∂σ/∂x_j = n_j/n give n the Jacobian (I - 1 1ᵀ/n - n nᵀ/n) / σ, which is symmetric.
    """
    n, scale = _normalized(x, dims, eps)
    h = g if weight is None else g * weight
    return (h - mean(h, dims, keepdim=True) - n * mean(h * n, dims, keepdim=True)) * scale


# ∂y/∂weight = n and ∂y/∂bias = 1, summed over what they were broadcast along
_normalize.vjp(
    _normalize_row,
    lambda g, x, weight_shape, dims, eps: sum_to(g * _normalized(x, dims, eps)[0], shape=weight_shape),
    lambda g, bias_shape: sum_to(g, shape=bias_shape),
)


@_normalize.fused
def _normalize_fused(g, x, weight, average, var, weight_shape, bias_shape, dims, eps):
    return kernels.normalize_grad(g, x, weight, average, var, dims, eps, weight_shape or bias_shape)


@primitive(keeps=("average", "var"))
def _normalize_silu(x, weight=None, bias=None, *, dims, eps):
    """silu(y), where y is the result of _normalize"""
    return kernels.normalize_silu(x, weight, bias, dims, eps)


def _before_silu(g, x, weight, bias, dims, eps):
    """The gradient of SiLU's input, which is recomputed from x; and n as in _normalized"""
    n, _ = _normalized(x, dims, eps)
    y = n if weight is None else n * weight
    return silu_row(g, y if bias is None else y + bias), n


def _silu_weight_row(g, x, weight, bias, weight_shape, dims, eps):
    h, n = _before_silu(g, x, weight, bias, dims, eps)
    return sum_to(h * n, shape=weight_shape)


# SiLU's row, followed by those of _normalize
_normalize_silu.vjp(
    lambda g, x, weight, bias, dims, eps: _normalize_row(
        _before_silu(g, x, weight, bias, dims, eps)[0], x, weight, dims, eps
    ),
    _silu_weight_row,
    lambda g, x, weight, bias, bias_shape, dims, eps: sum_to(
        _before_silu(g, x, weight, bias, dims, eps)[0], shape=bias_shape
    ),
)


@_normalize_silu.fused
def _normalize_silu_fused(g, x, weight, bias, average, var, weight_shape, bias_shape, dims, eps):
    shape = weight_shape or bias_shape
    return kernels.normalize_silu_grad(g, x, weight, bias, average, var, dims, eps, shape)


def _in_shape(vector, shape: tuple):
    return None if vector is None else reshape(vector, shape)


def _check_floating(operation: str, input) -> None:
    if not input.is_floating_point():
        raise refusal(operation, DtypeError, f"found dtype {input.dtype}, expected a floating dtype")


def _check_sizes(operation: str, input, expected: tuple, **vectors) -> None:
    expect_one_dtype(operation, input=input, **vectors)
    for name, vector in vectors.items():
        if vector is not None and vector._data.shape != expected:
            raise refusal(
                operation,
                ShapeError,
                f"found {name} {vector.shape}, expected {expected}; input {input.shape}",
            )


def _check_enough(operation: str, input, count: int) -> None:
    if count == 1:
        raise refusal(
            operation,
            ShapeError,
            f"found one value per channel, expected more to normalize over; input {input.shape}",
        )


@operation(
    example("tinygen.layer_norm(input, (3,), weight, bias)", input=real(2, 3), weight=real(3), bias=real(3)),
    homes="tinygen F",
)
def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    """Normalize over the last dimensions, those of normalized_shape  (Ba et al. 2016, arXiv 1607.06450).

    y = (x - mean) / sqrt(var + eps) · weight + bias, mean and var (biased) of each sample over these dimensions.
    input (…, *normalized_shape), weight and bias (*normalized_shape) -> the shape of input
    """
    dims = _last_dims("layer_norm", input, normalized_shape, weight=weight, bias=bias)
    return by_float32(_normalize, input, weight, bias, dims=dims, eps=eps)


def _last_dims(operation: str, input, normalized_shape, **vectors) -> tuple:
    """The dimensions of input that normalized_shape describes; checks all shapes."""
    shape = sizes_of((normalized_shape,), None, operation)
    _check_floating(operation, input)
    if not shape or input.shape[-len(shape) :] != shape:
        raise refusal(operation, ShapeError, f"input {input.shape} does not end in normalized_shape {shape}")
    _check_sizes(operation, input, shape, **vectors)
    return tuple(range(input.ndim - len(shape), input.ndim))


@operation(
    example("tinygen.rms_norm(input, (3,), weight)", input=real(2, 3), weight=real(3)), homes="tinygen F"
)
def rms_norm(input, normalized_shape, weight=None, eps=None):
    """y = x / sqrt(mean(x²) + eps) · weight over the last dimensions  (Zhang & Sennrich 2019, arXiv 1910.07467, eq. 4).

    input (…, *normalized_shape), weight (*normalized_shape) -> the shape of input.  eps defaults to that of the
    dtype it is computed in.
    """
    dims = _last_dims("rms_norm", input, normalized_shape, weight=weight)
    eps = float(np.finfo(kernels.wide(input.dtype)).eps) if eps is None else eps
    return by_float32(_rms_norm, input, weight, dims, eps)


def _rms_norm(x, weight, dims, eps):
    y = x * rsqrt(mean(square(x), dims, keepdim=True) + eps)
    return y if weight is None else y * weight


@operation(
    example("tinygen.group_norm(input, 2, weight, bias)", input=real(2, 4, 2), weight=real(4), bias=real(4)),
    homes="tinygen F",
)
def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    """Normalize groups of neighboring channels of each image  (Wu & He 2018, arXiv 1803.08494).

    y = (x - mean) / sqrt(var + eps) · weight + bias, mean and var (biased) over the channels and places of a group.
    input (N, C, …), weight and bias (C,) -> the shape of input
    """
    grouped = _grouped("group_norm", input, num_groups, weight, bias)
    return reshape(by_float32(_normalize, *grouped, dims=(2, 3), eps=eps), input.shape)


def _grouped(operation: str, input, num_groups: int, weight, bias) -> tuple:
    """input (N, groups, C, places), weight and bias (groups, C, 1) with C the channels of a group; all checked."""
    _check_floating(operation, input)
    if input.ndim < 2 or num_groups < 1 or input.shape[1] % num_groups:
        raise refusal(
            operation,
            ShapeError,
            f"{num_groups} groups do not divide the channels, dimension 1 of input {input.shape}",
        )
    N, C, *rest = input.shape
    _check_enough(operation, input, N * C // num_groups * math.prod(rest))
    _check_sizes(operation, input, (C,), weight=weight, bias=bias)
    shape = (num_groups, C // num_groups, 1)
    return reshape(input, N, *shape[:2], math.prod(rest)), _in_shape(weight, shape), _in_shape(bias, shape)


@operation(
    example("F.group_norm_silu(input, 2, weight, bias)", input=real(2, 4, 2), weight=real(4), bias=real(4)),
    homes="F",
)
def group_norm_silu(input, num_groups, weight=None, bias=None, eps=1e-5):
    """silu(group_norm(input, …)) without an intermediate array.  PyTorch has no function for it.

    input (N, C, …), weight and bias (C,) -> the shape of input
    """
    grouped = _grouped("group_norm_silu", input, num_groups, weight, bias)
    return reshape(by_float32(_normalize_silu, *grouped, dims=(2, 3), eps=eps), input.shape)


def _per_channel(input) -> tuple:
    """(1, C, 1, …): the shape in which one number per channel broadcasts against the input."""
    return (1, input.shape[1]) + (1,) * (input.ndim - 2)


@operation(
    example(
        "tinygen.batch_norm(input, None, None, weight, bias, training=True)",
        input=real(4, 2),
        weight=real(2),
        bias=real(2),
    ),
    homes="tinygen F",
)
def batch_norm(
    input,
    running_mean,
    running_var,
    weight=None,
    bias=None,
    training=False,
    momentum=0.1,
    eps=1e-5,
):
    """Normalize each channel over the batch  (Ioffe & Szegedy 2015, arXiv 1502.03167).

    y = (x - mean) / sqrt(var + eps) · weight + bias, mean and var (biased) of each channel over batch and places.

    input (N, C, …), the others (C,) or None -> the shape of input.  Training uses the batch's own statistics, and
    moves the running ones towards them in place: r ← (1 - momentum) r + momentum s, with the unbiased variance.
    Otherwise the running statistics are used.
    """
    _check_floating("batch_norm", input)
    if input.ndim < 2:
        raise refusal("batch_norm", ShapeError, f"found input {input.shape}, expected (N, C, …)")
    channels = (input.shape[1],)
    shape = _per_channel(input)
    _check_sizes("batch_norm", input, channels, running_mean=running_mean, running_var=running_var)
    _check_sizes("batch_norm", input, channels, weight=weight, bias=bias)
    if (running_mean is None) != (running_var is None):
        raise refusal(
            "batch_norm", ShapeError, "found one of running_mean and running_var, expected both or none"
        )
    if not training:
        if running_mean is None or running_var is None:
            raise refusal(
                "batch_norm",
                ShapeError,
                "found no running_mean and running_var, expected both unless training",
            )
        return by_float32(_by_running, input, running_mean, running_var, weight, bias, eps, shape)
    if eps <= 0:
        raise refusal("batch_norm", ValueError, f"found eps {eps}, expected a positive number in training")
    dims = (0, *range(2, input.ndim))
    count = math.prod(input.shape[d] for d in dims)
    _check_enough("batch_norm", input, count)

    def observe(average, var):
        _move(running_mean, average.reshape(-1), momentum)
        _move(running_var, var.reshape(-1) * (count / max(count - 1, 1)), momentum)

    weight, bias = _in_shape(weight, shape), _in_shape(bias, shape)
    observe = observe if count else None
    return by_float32(_normalize, input, weight, bias, dims=dims, eps=eps, observe=observe)


@primitive
def _rescale(x, centre, scale, shift):
    """(x - centre) · scale + shift, with one number of each per channel"""
    return kernels.rescale(x, centre, scale, shift)


_rescale.vjp(
    lambda g, scale: g * scale,
    lambda g, scale: -g * scale,
    lambda g, x, centre: g * (x - centre),
    lambda g: g,
)


def _by_running(input, running_mean, running_var, weight, bias, eps, shape):
    """input normalized with the running statistics"""
    scale = rsqrt(running_var + eps)
    scale = scale if weight is None else scale * weight
    bias = zeros_like(running_mean) if bias is None else bias
    return _rescale(input, *(reshape(v, shape) for v in (running_mean, scale, bias)))


def _move(running, statistic, momentum: float) -> None:
    """Move a running statistic towards the batch's, in place."""
    if running is not None:
        old = kernels.widened(running._data)
        moved = old + (statistic.astype(old.dtype) - old) * old.dtype.type(momentum)
        running._write(moved)


@operation(
    example(
        "tinygen.instance_norm(input, None, None, weight, bias)",
        input=real(2, 2, 3),
        weight=real(2),
        bias=real(2),
    ),
    homes="tinygen F",
)
def instance_norm(
    input,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    use_input_stats=True,
    momentum=0.1,
    eps=1e-5,
):
    """Normalize each channel of each image  (Ulyanov et al. 2016, arXiv 1607.08022).  (N, C, …) -> (N, C, …)

    y = (x - mean) / sqrt(var + eps) · weight + bias, mean and var (biased) over the places of one channel.
    """
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    _check_floating("instance_norm", input)
    if input.ndim < 3:
        raise refusal(
            "instance_norm", ShapeError, f"found input {input.shape}, expected (N, C, …) with places"
        )
    dims, channels = tuple(range(2, input.ndim)), (input.shape[1],)
    count = math.prod(input.shape[2:])
    _check_enough("instance_norm", input, count)
    _check_sizes("instance_norm", input, channels, running_mean=running_mean, running_var=running_var)
    _check_sizes("instance_norm", input, channels, weight=weight, bias=bias)

    def observe(average, var):
        _move(running_mean, kernels.mean(average, (0,)).reshape(-1), momentum)
        _move(running_var, kernels.mean(var, (0,)).reshape(-1) * (count / max(count - 1, 1)), momentum)

    weight, bias = _in_shape(weight, _per_channel(input)), _in_shape(bias, _per_channel(input))
    observe = observe if input.numel() else None
    return by_float32(_normalize, input, weight, bias, dims=dims, eps=eps, observe=observe)
