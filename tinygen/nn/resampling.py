"""Layers that resize or pad images: pooling, padding, upsampling, pixel shuffling."""

from __future__ import annotations

from tinygen.engine.errors import refusal
from tinygen.nn import functional as F
from tinygen.nn.module import Module
from tinygen.nn.stateless import layer
from tinygen.ops.images.conv import sizes

_max_pool = dict(kernel_size=..., stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False)
_max_pool_shown = "kernel_size stride padding dilation ceil_mode"
MaxPool1d = layer("MaxPool1d", F.max_pool1d, _max_pool_shown, **_max_pool)
MaxPool2d = layer("MaxPool2d", F.max_pool2d, _max_pool_shown, **_max_pool)
AvgPool2d = layer(
    "AvgPool2d",
    F.avg_pool2d,
    "kernel_size stride padding",
    kernel_size=...,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
)
AdaptiveAvgPool1d = layer("AdaptiveAvgPool1d", F.adaptive_avg_pool1d, "output_size", output_size=...)
AdaptiveAvgPool2d = layer("AdaptiveAvgPool2d", F.adaptive_avg_pool2d, "output_size", output_size=...)


class AvgPool1d(Module):
    """`F.avg_pool1d` as a layer."""

    def __init__(
        self, kernel_size, stride=None, padding=0, ceil_mode: bool = False, count_include_pad: bool = True
    ) -> None:
        super().__init__()
        self.kernel_size = sizes(kernel_size, 1, "kernel_size", "AvgPool1d", 1)
        self.stride = self.kernel_size if stride is None else sizes(stride, 1, "stride", "AvgPool1d", 1)
        self.padding = sizes(padding, 1, "padding", "AvgPool1d")
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x):
        at = self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        return F.avg_pool1d(x, *at)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _Pad2d(Module):
    """`F.pad` for images: one width for all sides, or (left, right, top, bottom)."""

    mode = ""

    def __init__(self, padding) -> None:
        super().__init__()
        self.padding = (padding,) * 4 if isinstance(padding, int) else tuple(padding)
        if len(self.padding) != 4:
            name = type(self).__name__
            raise refusal(
                name, ValueError, f"found padding {padding}, expected a number or (left, right, top, bottom)"
            )

    def forward(self, x):
        return F.pad(x, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ReflectionPad2d(_Pad2d):
    """Pads images with their reflection; border pixels are not repeated."""

    mode = "reflect"


class ReplicationPad2d(_Pad2d):
    """Pads images by repeating their border pixels."""

    mode = "replicate"


class ZeroPad2d(_Pad2d):
    """Pads images with zeros."""

    mode = "constant"


class ConstantPad2d(ZeroPad2d):
    """Pads images with `value`."""

    def __init__(self, padding, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, x):
        return F.pad(x, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class Upsample(Module):
    """`F.interpolate` as a layer."""

    def __init__(
        self, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None
    ) -> None:
        super().__init__()
        if isinstance(scale_factor, tuple):
            scale_factor = tuple(map(float, scale_factor))
        elif scale_factor is not None:
            scale_factor = float(scale_factor)
        self.size, self.scale_factor, self.mode = size, scale_factor, mode
        self.align_corners, self.recompute_scale_factor = align_corners, recompute_scale_factor

    def forward(self, x):
        return F.interpolate(
            x, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )

    def extra_repr(self) -> str:
        name = "size" if self.scale_factor is None else "scale_factor"
        return f"{name}={getattr(self, name)!r}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """`Upsample` by repeating pixels."""

    def __init__(self, size=None, scale_factor=None) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """`Upsample` by bilinear interpolation, with the corners aligned."""

    def __init__(self, size=None, scale_factor=None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)


PixelShuffle = layer("PixelShuffle", F.pixel_shuffle, "upscale_factor", upscale_factor=...)
PixelUnshuffle = layer("PixelUnshuffle", F.pixel_unshuffle, "downscale_factor", downscale_factor=...)
