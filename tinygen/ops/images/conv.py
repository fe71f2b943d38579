"""Convolution (cross-correlation, as everywhere in deep learning) and its transpose.

Three primitives, each the derivative of the other two, so gradients of every order exist:
y = conv(x, w) is linear in x and in w; the adjoints are x̄ = input_grad(ȳ, w) and w̄ = weight_grad(x, ȳ).
"""

from __future__ import annotations

import numbers

from tinygen import kernels
from tinygen.engine.dtypes import ShapeError
from tinygen.engine.errors import refusal
from tinygen.engine.primitive import primitive
from tinygen.ops.arguments import INTS_OR_WORD
from tinygen.ops.checks import expect_floating, expect_one_dtype
from tinygen.ops.declaration import example, operation, real
from tinygen.ops.shape.pad import pad
from tinygen.ops.shape.reshape import expand, reshape, squeeze, unsqueeze


@primitive
def _conv2d(x, w, bias=None, *, stride, padding, dilation, groups):
    """Slide K filters over N images.  x (N, C, H, W), w (K, C/groups, R, S), bias (K,) -> (N, K, P, Q)"""
    at = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)
    return kernels.conv2d(x, w, **at) if bias is None else kernels.conv2d_layer(x, w, bias, **at)


@primitive
def _channel_sums(x):
    """(N, K, P, Q) -> (K,)"""
    return kernels.bias_grad(x)


_channel_sums.vjp(lambda g, x_shape: expand(reshape(g, 1, -1, 1, 1), x_shape))


@primitive
def _conv2d_input_grad(gy, w, *, shape, stride, padding, dilation, groups):
    """The transpose of conv2d in x.  gy (N, K, P, Q), w (K, C/groups, R, S) -> shape (N, C, H, W)"""
    return kernels.conv2d_input_grad(
        gy, w, shape=shape, stride=stride, padding=padding, dilation=dilation, groups=groups
    )


@primitive
def _conv2d_weight_grad(x, gy, *, shape, stride, padding, dilation, groups):
    """The transpose of conv2d in w.  x (N, C, H, W), gy (N, K, P, Q) -> shape (K, C/groups, R, S)"""
    return kernels.conv2d_weight_grad(
        x, gy, shape=shape, stride=stride, padding=padding, dilation=dilation, groups=groups
    )


_conv2d.vjp(
    # x at (i, j) contributes to y at every (p, q) whose window covers it, with the weight there.  gx sums g times these
    # weights: every g adds a copy of its filter to the image, a transposed convolution
    lambda g, w, x_shape, **at: _conv2d_input_grad(g, w, shape=x_shape, **at),
    # w at (r, s) contributes to y at every (p, q), with the x there.  gw sums g times these x: x correlated with g
    lambda g, x, w_shape, **at: _conv2d_weight_grad(x, g, shape=w_shape, **at),
    # a bias is added to every y of its channel
    lambda g: _channel_sums(g),
)


@_conv2d.fused
def _conv2d_backward(g, needs, x_shape, w_shape, stride, padding, dilation, groups, x=None, w=None):
    """The three results above, from one call."""
    at = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)
    return kernels.conv2d_layer_grad(g, x, w, needs=needs, x_shape=x_shape, w_shape=w_shape, **at)


# both are linear in g and in w or x, and the transpose of a transpose is the map itself
_conv2d_input_grad.vjp(
    lambda g, w, shape, **at: _conv2d(g, w, None, **at),
    lambda g, gy, w_shape, shape, **at: _conv2d_weight_grad(g, gy, shape=w_shape, **at),
)
_conv2d_weight_grad.vjp(
    lambda g, gy, x_shape, shape, **at: _conv2d_input_grad(gy, g, shape=x_shape, **at),
    lambda g, x, shape, **at: _conv2d(x, g, None, **at),
)


def sizes(value, count: int, name: str, operation: str, least: int = 0) -> tuple[int, ...]:
    """`count` numbers, given as one for all dimensions or one for each."""
    values = (value,) if isinstance(value, numbers.Integral) else tuple(value)
    if not all(isinstance(n, numbers.Integral) for n in values):
        raise refusal(operation, TypeError, f"found {name} {value}, expected whole numbers")
    if len(values) == 1:
        values *= count
    if len(values) != count or any(n < least for n in values):
        expected = "a number" if count == 1 else "one or two numbers"
        raise refusal(operation, ShapeError, f"found {name} {value}, expected {expected}, at least {least}")
    return tuple(int(n) for n in values)


def pair(value, name: str, operation: str, least: int = 0) -> tuple[int, int]:
    """A pair of numbers, given as one for both dimensions or one for each."""
    return sizes(value, 2, name, operation, least)


def _paddings(operation: str, padding, window, stride, dilation) -> tuple:
    """padding as ((top, bottom), (left, right)); of an odd total, "same" puts one more at the bottom and the right."""
    if padding == "valid":
        padding = 0
    if padding == "same":
        if any(n != 1 for n in stride):
            raise refusal(
                operation, ShapeError, f"padding 'same' is not defined for stride {stride}, expected 1"
            )
        totals = [d * (r - 1) for r, d in zip(window, dilation)]
        return tuple((n // 2, n - n // 2) for n in totals)
    if isinstance(padding, str):
        raise refusal(
            operation, ShapeError, f"found padding {padding!r}, expected numbers, 'same' or 'valid'"
        )
    return tuple((n, n) for n in sizes(padding, len(window), "padding", operation))


def _check(operation: str, count: int, input, weight, bias, groups: int, channels: int, outputs: int) -> None:
    """`channels`: the input channels that the weight expects; `outputs`: the channels of the result."""
    shapes = f"x {input._data.shape}, w {weight._data.shape}"
    if input.ndim not in (count + 1, count + 2) or weight.ndim != count + 2:
        places = "L" if count == 1 else "H, W"
        raise refusal(
            operation,
            ShapeError,
            f"expected x (N, C, {places}) or (C, {places}) and w of {count + 2} dimensions; {shapes}",
        )
    expect_floating(operation, input=input)
    expect_one_dtype(operation, input=input, weight=weight, bias=bias)
    if groups < 1 or weight._data.shape[0] % groups or channels == 0:
        raise refusal(
            operation,
            ShapeError,
            f"{groups} groups do not divide the {weight._data.shape[0]} filters of w; {shapes}",
        )
    if outputs == 0 or 0 in weight._data.shape[2:]:
        raise refusal(
            operation,
            ShapeError,
            f"found w without filters or with empty ones, expected at least one element; {shapes}",
        )
    found = input._data.shape[-count - 1]
    if found != channels:
        plural = "" if found == 1 else "s"
        grouped = f" in {groups} groups" if groups > 1 else ""
        raise refusal(
            operation, ShapeError, f"x has {found} channel{plural}, w expects {channels}{grouped}; {shapes}"
        )
    if bias is not None and bias._data.shape != (outputs,):
        raise refusal(
            operation, ShapeError, f"found bias {bias._data.shape}, expected ({outputs},); {shapes}"
        )


def _lift(count: int, input, weight):
    """Input and weight as a batch of images and filters for them; a sequence becomes an image of height one."""
    x = input if input.ndim == count + 2 else unsqueeze(input, 0)
    return (x, weight) if count == 2 else (unsqueeze(x, 2), unsqueeze(weight, 2))


def _lower(count: int, y, bias, batched: bool):
    """Undo `_lift` on the result, after adding the bias."""
    if bias is not None:
        y = y + reshape(bias, 1, -1, 1, 1)
    if count == 1:
        y = squeeze(y, 2)
    return y if batched else squeeze(y, 0)


def _images(count: int, flat, *values) -> list:
    """Sizes of a sequence as those of an image of height one; `flat` is the value along the height."""
    return [values if count == 2 else (flat, *values) for values in values]


def _convolve(operation: str, count: int, input, weight, bias, stride, padding, dilation, groups):
    """conv1d (count 1) and conv2d (count 2)"""
    stride = sizes(stride, count, "stride", operation, 1)
    dilation = sizes(dilation, count, "dilation", operation, 1)
    channels = groups * weight._data.shape[1] if weight.ndim == count + 2 else 0
    _check(operation, count, input, weight, bias, groups, channels, weight._data.shape[0])
    window = weight._data.shape[2:]
    padding = _paddings(operation, padding, window, stride, dilation)
    size = kernels.output_size(input._data.shape[-count:], window, stride, padding, dilation)
    if min(size) < 1 or min(window) < 1:
        shapes = f"x {input._data.shape}, w {weight._data.shape}"
        raise refusal(operation, ShapeError, f"the filter does not fit the padded input; {shapes}")
    x, w = _lift(count, input, weight)
    stride, dilation = _images(count, 1, stride, dilation)
    (padding,) = _images(count, (0, 0), padding)
    y = _conv2d(x, w, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return _lower(count, y, None, input.ndim == count + 2)


@operation(
    example("tinygen.conv1d(input, weight, bias)", input=real(1, 2, 4), weight=real(1, 2, 2), bias=real(1)),
    homes="tinygen F",
    padding=INTS_OR_WORD,
)
def conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Slide K filters over N sequences: y[n, k, p] = bias[k] + Σ_{c,r} weight[k, c, r] · input[n, c, p stride + r].

    input (N, C, L) or (C, L), weight (K, C/groups, R), bias (K,) -> (N, K, P) or (K, P), where
    P = floor((L + 2 padding - dilation (R - 1) - 1) / stride) + 1.  padding: a number, "same" or "valid".
    """
    return _convolve("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


@operation(
    example(
        "tinygen.conv2d(input, weight, bias)", input=real(1, 2, 3, 3), weight=real(1, 2, 2, 2), bias=real(1)
    ),
    homes="tinygen F",
    padding=INTS_OR_WORD,
)
def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Slide K filters over N images: at every position, sum the products of filter and image (a cross-correlation).

    y[n, k, p, q] = bias[k] + Σ weight[k, c, r, s] x[n, c, i, j] over c, r, s, with x = 0 outside the image and
    i = p · stride + r · dilation - padding, j = q · stride + s · dilation - padding.

    input (N, C, H, W) or (C, H, W), weight (K, C/groups, R, S), bias (K,) -> (N, K, P, Q) or (K, P, Q), where
    P = floor((H + 2 padding - dilation (R - 1) - 1) / stride) + 1.  padding: a number, a pair, "same" or "valid".
    """
    return _convolve("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def _transpose(
    operation: str, count: int, input, weight, bias, stride, padding, output_padding, groups, dilation
):
    """conv_transpose1d (count 1) and conv_transpose2d (count 2)"""
    stride = sizes(stride, count, "stride", operation, 1)
    dilation = sizes(dilation, count, "dilation", operation, 1)
    padding = sizes(padding, count, "padding", operation)
    extra = sizes(output_padding, count, "output_padding", operation)
    outputs = groups * weight.shape[1] if weight.ndim == count + 2 else 0
    _check(operation, count, input, weight, bias, groups, weight.shape[0], outputs)
    if any(e >= s and e >= d for e, s, d in zip(extra, stride, dilation)):
        raise refusal(
            operation, ShapeError, f"found output_padding {extra}, expected less than stride or dilation"
        )
    full = [
        (n - 1) * s + d * (r - 1) + 1
        for n, r, s, d in zip(input.shape[-count:], weight.shape[2:], stride, dilation)
    ]
    size = [n - 2 * p + e for n, p, e in zip(full, padding, extra)]
    if min(size) < 1 or min(input.shape[-count - 1 :]) < 1:
        raise refusal(
            operation, ShapeError, f"nothing is left of the output; x {input.shape}, w {weight.shape}"
        )
    # output_padding crops less at the end; where it exceeds the padding, a border of zeros is added
    border = [max(e - p, 0) for p, e in zip(padding, extra)]
    cropped = tuple((p, max(p - e, 0)) for p, e in zip(padding, extra))
    x, w = _lift(count, input, weight)
    stride, dilation = _images(count, 1, stride, dilation)
    (cropped,) = _images(count, (0, 0), cropped)
    (shape,) = _images(count, 1, tuple(n - b for n, b in zip(size, border)))
    y = _conv2d_input_grad(
        x,
        w,
        shape=(x.shape[0], outputs, *shape),
        stride=stride,
        padding=cropped,
        dilation=dilation,
        groups=groups,
    )
    if any(border):
        y = pad(y, (0, border[-1], 0, border[0] if count == 2 else 0))
    return _lower(count, y, bias, input.ndim == count + 2)


@operation(
    example(
        "tinygen.conv_transpose1d(input, weight, bias)",
        input=real(1, 1, 3),
        weight=real(1, 2, 2),
        bias=real(2),
    ),
    homes="tinygen F",
)
def conv_transpose1d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """The transpose of conv1d (its input gradient): every input element adds a copy of its filter to the output.

    input (N, K, P) or (K, P), weight (K, C/groups, R), bias (C,) -> (N, C, L) or (C, L), where
    L = (P - 1) stride - 2 padding + dilation (R - 1) + output_padding + 1.
    """
    at = stride, padding, output_padding, groups, dilation
    return _transpose("conv_transpose1d", 1, input, weight, bias, *at)


@operation(
    example(
        "tinygen.conv_transpose2d(input, weight, bias)",
        input=real(1, 1, 2, 2),
        weight=real(1, 2, 2, 2),
        bias=real(2),
    ),
    homes="tinygen F",
)
def conv_transpose2d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """The transpose of conv2d (its input gradient): every input element adds a copy of its filter to the output.

    input (N, K, P, Q) or (K, P, Q), weight (K, C/groups, R, S), bias (C,) -> (N, C, H, W) or (C, H, W), where
    H = (P - 1) stride - 2 padding + dilation (R - 1) + output_padding + 1.
    """
    at = stride, padding, output_padding, groups, dilation
    return _transpose("conv_transpose2d", 2, input, weight, bias, *at)
