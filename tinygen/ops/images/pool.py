"""Pooling.  Images (N, C, H, W) or (C, H, W), sequences (N, C, L) or (C, L)."""

from __future__ import annotations

import numpy as np

from tinygen import kernels
from tinygen.engine import dtypes
from tinygen.engine.dtypes import DtypeError, ShapeError
from tinygen.engine.errors import refusal
from tinygen.engine.primitive import primitive
from tinygen.engine.tensor import Tensor
from tinygen.ops.declaration import distinct, example, operation, real
from tinygen.ops.images.conv import pair, sizes
from tinygen.ops.products.matmul import matmul
from tinygen.ops.shape.reshape import squeeze, unsqueeze
from tinygen.ops.tensor.device import beside
from tinygen.ops.wide import by_float32


def _batched(input, operation: str, places: int = 2):
    """input with a batch dimension; refuses integers and other ranks."""
    if input.ndim not in (places + 1, places + 2) or 0 in input.shape[-places - 1 :]:
        one = "L" if places == 1 else "H, W"
        raise refusal(
            operation,
            ShapeError,
            f"found input {input.shape}, expected (N, C, {one}) or (C, {one}), not empty",
        )
    if not input.is_floating_point():
        raise refusal(operation, DtypeError, f"found dtype {input.dtype}, expected a floating dtype")
    return input if input.ndim == places + 2 else unsqueeze(input, 0)


def _like(y, input):
    return y if input.ndim == 4 else squeeze(y, 0)


def _as_rows(operation: str, input):
    """Sequences as images of height one.  (N, C, L) or (C, L) -> (N, C, 1, L)"""
    return unsqueeze(_batched(input, operation, 1), 2)


def _as_sequences(y, input):
    """Undo `_as_rows`."""
    return squeeze(y, 2) if input.ndim == 3 else squeeze(y, (0, 2))


def _row_sizes(operation: str, **values) -> dict:
    """Sizes of a sequence as pairs for images of height one."""
    flat = dict(kernel_size=1, stride=1, padding=0, dilation=1)
    return {
        name: (flat[name], *sizes(value, 1, name, operation, 0 if name == "padding" else 1))
        for name, value in values.items()
    }


def _windows(operation: str, input, kernel_size, stride, padding, dilation, ceil_mode: bool) -> dict:
    """The arguments of a pooling as pairs, and the output's size."""
    kernel = pair(kernel_size, "kernel_size", operation, 1)
    stride = kernel if stride is None or stride in ([], ()) else pair(stride, "stride", operation, 1)
    padding, dilation = pair(padding, "padding", operation), pair(dilation, "dilation", operation, 1)
    size = []
    for n, k, s, p, d in zip(input.shape[-2:], kernel, stride, padding, dilation):
        if p > (d * (k - 1) + 1) // 2:
            raise refusal(
                operation, ShapeError, f"found padding {padding}, expected at most half of kernel {kernel}"
            )
        free = n + 2 * p - d * (k - 1) - 1
        count = (-(-free // s) if ceil_mode else free // s) + 1
        if ceil_mode and (count - 1) * s >= n + p:  # a window must start inside the image or its left padding
            count -= 1
        size.append(count)
    if min(size) < 1:
        raise refusal(
            operation, ShapeError, f"kernel {kernel} does not fit the padded image; input {input.shape}"
        )
    return dict(kernel=kernel, stride=stride, padding=padding, dilation=dilation, size=tuple(size))


@primitive(keeps=("index",))
def _max_pool2d(x, *, kernel, stride, padding, dilation, size):
    """The largest of each window.  (N, C, H, W) -> (N, C, P, Q)"""
    return kernels.max_pool2d(x, kernel=kernel, stride=stride, padding=padding, dilation=dilation, size=size)


@primitive
def _max_pool2d_grad(g, *, index, shape, apart):
    """Every g placed at its window's maximum; `apart` if no windows overlap.  (N, C, P, Q) -> shape (N, C, H, W)"""
    return kernels.max_pool2d_grad(g, index=index, shape=shape, apart=apart)


@primitive
def _pick_pixels(x, *, index, apart):
    """x at the positions of another image's maxima.  (N, C, H, W) -> (N, C, P, Q)"""
    return kernels.pick_pixels(x, index)


# a maximum is one of the elements, which gets all of g; a small change of x moves no index, so the rest is linear
_max_pool2d.vjp(
    lambda g, x_shape, index, kernel, stride, dilation: _max_pool2d_grad(
        g, index=index, shape=x_shape, apart=_apart(kernel, stride, dilation)
    )
)
_max_pool2d_grad.vjp(lambda g, index, apart: _pick_pixels(g, index=index, apart=apart))
_pick_pixels.vjp(
    lambda g, x_shape, index, apart: _max_pool2d_grad(g, index=index, shape=x_shape, apart=apart)
)


def _apart(kernel, stride, dilation) -> bool:
    """Whether no two windows have a pixel in common"""
    return all(d * (k - 1) < s for k, s, d in zip(kernel, stride, dilation))


@operation(example("tinygen.max_pool2d(input, 2)", input=distinct(1, 1, 4, 4)), homes="tinygen F")
def max_pool2d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """The largest of each window, the first of equal ones.  (N, C, H, W) -> (N, C, P, Q)

    P = floor((H + 2 padding - dilation (kernel - 1) - 1) / stride) + 1, ceil with ceil_mode; stride is the kernel size
    by default, padding counts as -inf.  return_indices: also row · W + column of each maximum.
    """
    x = _batched(input, "max_pool2d")
    at = _windows("max_pool2d", input, kernel_size, stride, padding, dilation, ceil_mode)
    if not return_indices:
        return _like(_max_pool2d(x, **at), input)
    index = Tensor._wrap(
        kernels.max_pool2d(x._data, **at)[1]
    )  # the caller may write to it: guarded as a Tensor
    apart = _apart(at["kernel"], at["stride"], at["dilation"])
    return _like(_pick_pixels(x, index=index, apart=apart), input), _like(index, input)


@operation(example("tinygen.max_pool1d(input, 2)", input=distinct(1, 2, 4)), homes="tinygen F")
def max_pool1d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """The largest of each window, the first of equal ones.  (N, C, L) or (C, L) -> the same rank; as max_pool2d"""
    x = _as_rows("max_pool1d", input)
    stride = kernel_size if stride is None or stride == [] else stride
    at = _row_sizes("max_pool1d", kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
    y = max_pool2d(x, **at, ceil_mode=ceil_mode, return_indices=return_indices)
    if return_indices:
        return tuple(_as_sequences(part, input) for part in y)
    return _as_sequences(y, input)


@primitive
def _sum_pool2d(x, *, kernel, stride, padding, size):
    """The sum of each window.  (N, C, H, W) -> (N, C, P, Q)"""
    return kernels.sum_pool2d(x, kernel=kernel, stride=stride, padding=padding, size=size)


@primitive
def _sum_pool2d_grad(g, *, kernel, stride, padding, shape):
    """Every g added to all elements of its window.  (N, C, P, Q) -> shape (N, C, H, W)"""
    return kernels.sum_pool2d_grad(g, kernel=kernel, stride=stride, padding=padding, shape=shape)


_sum_pool2d.vjp(lambda g, x_shape, size, **at: _sum_pool2d_grad(g, shape=x_shape, **at))
_sum_pool2d_grad.vjp(lambda g, g_shape, shape, **at: _sum_pool2d(g, size=g_shape[2:], **at))


def _window_counts(n: int, count: int, kernel: int, stride: int, padding: int, with_padding: bool):
    """The number of elements in each window along one dimension; elements beyond the padding never count."""
    start = np.arange(count) * stride - padding
    end = np.minimum(start + kernel, n + padding)
    return end - start if with_padding else np.minimum(end, n) - np.maximum(start, 0)


@operation(example("F.avg_pool2d(input, 2)", input=real(1, 1, 4, 4)), homes="F")
def avg_pool2d(
    input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
):
    """The mean of each window; padding counts as zeros if count_include_pad.  (N, C, H, W) -> (N, C, P, Q)"""
    x = _batched(input, "avg_pool2d")
    if x.dtype == dtypes.float16:  # the sum of a window may overflow float16
        at = kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        return by_float32(avg_pool2d, input, *at)
    at = _windows("avg_pool2d", input, kernel_size, stride, padding, 1, ceil_mode)
    del at["dilation"]
    if divisor_override is None:
        sizes = zip(x.shape[2:], at["size"], at["kernel"], at["stride"], at["padding"])
        rows, columns = (_window_counts(*along, count_include_pad) for along in sizes)
        divisor = beside(x, np.outer(rows, columns).astype(x.dtype))
    elif divisor_override == 0:
        raise refusal("avg_pool2d", ValueError, "found divisor_override 0, expected another number")
    else:
        divisor = divisor_override
    return _like(_sum_pool2d(x, **at) / divisor, input)


@operation(example("tinygen.avg_pool1d(input, 2)", input=real(1, 2, 4)), homes="tinygen F")
def avg_pool1d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """The mean of each window; padding counts as zeros if count_include_pad.  (N, C, L) or (C, L) -> the same rank"""
    x = _as_rows("avg_pool1d", input)
    stride = kernel_size if stride is None or stride == [] else stride
    at = _row_sizes("avg_pool1d", kernel_size=kernel_size, stride=stride, padding=padding)
    y = avg_pool2d(x, **at, ceil_mode=ceil_mode, count_include_pad=count_include_pad)
    return _as_sequences(y, input)


@operation(example("tinygen.adaptive_avg_pool1d(input, 2)", input=real(1, 2, 3)), homes="tinygen F")
def adaptive_avg_pool1d(input, output_size):
    """Means over P nearly equal parts: adaptive_avg_pool2d along one dimension.  (N, C, L) -> (N, C, P)"""
    (size,) = sizes(output_size, 1, "output_size", "adaptive_avg_pool1d")
    return _as_sequences(adaptive_avg_pool2d(_as_rows("adaptive_avg_pool1d", input), (1, size)), input)


@operation(example("F.adaptive_avg_pool2d(input, 2)", input=real(1, 1, 3, 3)), homes="F")
def adaptive_avg_pool2d(input, output_size):
    """Means over P x Q nearly equal parts: part p has the rows floor(p H / P) to ceil((p + 1) H / P) - 1.

    (N, C, H, W) -> (N, C, P, Q); None keeps a size.  Computed as two products with matrices of ones and zeros, divided
    by the number of pixels in each part.
    """
    x = _batched(input, "adaptive_avg_pool2d")
    if x.dtype == dtypes.float16:
        return by_float32(adaptive_avg_pool2d, input, output_size)
    sizes = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    if len(sizes) != 2:
        raise refusal(
            "adaptive_avg_pool2d", ShapeError, f"found output_size {output_size}, expected one or two numbers"
        )
    sizes = [n if size is None else size for n, size in zip(x.shape[2:], sizes)]
    down, across = (_parts(n, size, x.dtype) for n, size in zip(x.shape[2:], sizes))
    pixels = beside(x, np.outer(down.sum(1), across.sum(1)))
    return _like(matmul(matmul(beside(x, down), x), beside(x, across).T) / pixels, input)


def _parts(n: int, parts: int, dtype):
    """The matrix whose row p is 1 in part p of n elements.  -> (parts, n)"""
    matrix = np.zeros((parts, n), dtype)
    for p in range(parts):
        matrix[p, p * n // parts : -(-(p + 1) * n // parts)] = 1
    return matrix
