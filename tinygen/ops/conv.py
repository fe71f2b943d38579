"""Convolution (cross-correlation, as everywhere in deep learning) and its transpose.

Three primitives, each the derivative of the other two, so gradients of every order exist:
y = conv(x, w) is linear in x and in w; the adjoints are x̄ = input_grad(ȳ, w) and w̄ = weight_grad(x, ȳ).
"""

from __future__ import annotations

from tinygen import kernels
from tinygen.dtypes import ShapeError
from tinygen.ops.pad import pad
from tinygen.ops.shape import reshape, squeeze, unsqueeze
from tinygen.primitive import primitive


@primitive
def _conv2d(x, w, *, stride, padding, dilation, groups):
    """Slide K filters over N images.  x (N, C, H, W), w (K, C/groups, R, S) -> (N, K, P, Q)"""
    return kernels.conv2d(x, w, stride=stride, padding=padding, dilation=dilation, groups=groups)


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
    lambda g, w, x_shape, **at: _conv2d_input_grad(g, w, shape=x_shape, **at),
    lambda g, x, w_shape, **at: _conv2d_weight_grad(x, g, shape=w_shape, **at),
)
_conv2d_input_grad.vjp(
    lambda g, w, shape, **at: _conv2d(g, w, **at),
    lambda g, gy, w_shape, shape, **at: _conv2d_weight_grad(g, gy, shape=w_shape, **at),
)
_conv2d_weight_grad.vjp(
    lambda g, gy, x_shape, shape, **at: _conv2d_input_grad(gy, g, shape=x_shape, **at),
    lambda g, x, shape, **at: _conv2d(x, g, **at),
)


def pair(value, name: str, operation: str, least: int = 0) -> tuple[int, int]:
    """A number for both dimensions, or one for each."""
    values = (value, value) if isinstance(value, int) else tuple(value)
    if len(values) == 1:
        values *= 2
    if len(values) != 2 or any(n < least for n in values):
        raise ShapeError(f"{operation}: found {name} {value}, expected one or two numbers, at least {least}")
    return values


def _paddings(padding, window, stride, dilation) -> tuple:
    """padding as ((top, bottom), (left, right)); "same" puts the odd one below and to the right."""
    if padding == "valid":
        padding = 0
    if padding == "same":
        if stride != (1, 1):
            raise ShapeError(f"conv2d: padding 'same' is not defined for stride {stride}, expected 1")
        totals = [d * (r - 1) for r, d in zip(window, dilation)]
        return tuple((n // 2, n - n // 2) for n in totals)
    if isinstance(padding, str):
        raise ValueError(f"conv2d: found padding {padding!r}, expected numbers, 'same' or 'valid'")
    return tuple((n, n) for n in pair(padding, "padding", "conv2d"))


def _check(operation: str, input, weight, bias, groups: int, channels: int, outputs: int) -> None:
    """`channels`: what the weight expects of the input; `outputs`: what it gives."""
    shapes = f"x {input.shape}, w {weight.shape}"
    if input.ndim not in (3, 4) or weight.ndim != 4:
        raise ShapeError(f"{operation}: expected x (N, C, H, W) or (C, H, W) and w of 4 dimensions; {shapes}")
    if groups < 1 or weight.shape[0] % groups or channels == 0:
        raise ShapeError(
            f"{operation}: {groups} groups do not divide the {weight.shape[0]} filters of w; {shapes}"
        )
    if input.shape[-3] != channels:
        found = input.shape[-3]
        plural = "" if found == 1 else "s"
        grouped = f" in {groups} groups" if groups > 1 else ""
        raise ShapeError(
            f"{operation}: x has {found} channel{plural}, w expects {channels}{grouped}; {shapes}"
        )
    if bias is not None and bias.shape != (outputs,):
        raise ShapeError(f"{operation}: found bias {bias.shape}, expected ({outputs},); {shapes}")


def _with_bias(y, bias, batched: bool):
    if bias is not None:
        y = y + reshape(bias, 1, -1, 1, 1)
    return y if batched else squeeze(y, 0)


def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Slide K filters over N images: at every position the products of filter and image, summed.

    input (N, C, H, W) or (C, H, W), weight (K, C/groups, R, S), bias (K,) -> (N, K, P, Q) or (K, P, Q), where
    P = floor((H + 2 padding - dilation (R - 1) - 1) / stride) + 1.  padding: a number, a pair, "same" or "valid".
    """
    stride = pair(stride, "stride", "conv2d", 1)
    dilation = pair(dilation, "dilation", "conv2d", 1)
    channels = groups * weight.shape[1] if weight.ndim == 4 else 0
    _check("conv2d", input, weight, bias, groups, channels, weight.shape[0])
    padding = _paddings(padding, weight.shape[2:], stride, dilation)
    size = kernels.output_size(input.shape[-2:], weight.shape[2:], stride, padding, dilation)
    if min(size) < 1 or min(weight.shape[2:]) < 1:
        raise ShapeError(
            f"conv2d: the filter does not fit the padded image; x {input.shape}, w {weight.shape}"
        )
    x = input if input.ndim == 4 else unsqueeze(input, 0)
    y = _conv2d(x, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return _with_bias(y, bias, input.ndim == 4)


def conv_transpose2d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """conv2d's transpose (its input gradient): every input element puts a copy of its filter on the output.

    input (N, K, P, Q) or (K, P, Q), weight (K, C/groups, R, S), bias (C,) -> (N, C, H, W) or (C, H, W), where
    H = (P - 1) stride - 2 padding + dilation (R - 1) + output_padding + 1.
    """
    name = "conv_transpose2d"
    stride, dilation = pair(stride, "stride", name, 1), pair(dilation, "dilation", name, 1)
    padding, extra = pair(padding, "padding", name), pair(output_padding, "output_padding", name)
    outputs = groups * weight.shape[1] if weight.ndim == 4 else 0
    _check(name, input, weight, bias, groups, weight.shape[0], outputs)
    if any(e >= s and e >= d for e, s, d in zip(extra, stride, dilation)):
        raise ShapeError(f"{name}: found output_padding {extra}, expected less than stride or dilation")
    full = [
        (n - 1) * s + d * (r - 1) + 1
        for n, r, s, d in zip(input.shape[-2:], weight.shape[2:], stride, dilation)
    ]
    size = [n - 2 * p + e for n, p, e in zip(full, padding, extra)]
    if min(size) < 1 or min(input.shape[-3:]) < 1:
        raise ShapeError(f"{name}: nothing is left of the output; x {input.shape}, w {weight.shape}")
    # output_padding crops less at the end; what exceeds the padding is a border of zeros
    border = [max(e - p, 0) for p, e in zip(padding, extra)]
    at = tuple((p, max(p - e, 0)) for p, e in zip(padding, extra))
    x = input if input.ndim == 4 else unsqueeze(input, 0)
    shape = (x.shape[0], outputs, *(n - b for n, b in zip(size, border)))
    y = _conv2d_input_grad(
        x, weight, shape=shape, stride=stride, padding=at, dilation=dilation, groups=groups
    )
    if any(border):
        y = pad(y, (0, border[1], 0, border[0]))
    return _with_bias(y, bias, input.ndim == 4)
