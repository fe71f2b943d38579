"""Convolution and transposed convolution layers."""

from __future__ import annotations

from tinygen.engine.errors import refusal
from tinygen.nn import functional as F
from tinygen.nn import init
from tinygen.nn.layers import new_parameter
from tinygen.nn.module import Module
from tinygen.ops.images.conv import sizes

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Conv(Module):
    """What all convolutions share: sizes, parameters, initialization."""

    places = 2  # spatial dimensions
    function = None

    def __init__(self, in_channels, out_channels, groups, bias, padding_mode, device, dtype, **given) -> None:
        super().__init__()
        name = type(self).__name__
        if padding_mode not in PADDING_MODES:
            raise refusal(
                name, ValueError, f"found padding_mode {padding_mode!r}, expected one of {PADDING_MODES}"
            )
        for which, count in (("in_channels", in_channels), ("out_channels", out_channels)):
            if groups < 1 or count % groups:
                raise refusal(
                    name, ValueError, f"found {which} {count}, expected a multiple of groups {groups}"
                )
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.padding_mode, self.output_padding = padding_mode, (0,) * self.places
        for which, size in given.items():
            setattr(self, which, self._size(which, size))
        if self.padding == "same" and any(step != 1 for step in self.stride):
            raise refusal(
                name, ValueError, f"padding 'same' is not defined for stride {self.stride}, expected 1"
            )
        shape = (*self._channels(), *self.kernel_size)
        self.weight = new_parameter(*shape, dtype=dtype, device=device)
        self.register_parameter(
            "bias", new_parameter(out_channels, dtype=dtype, device=device) if bias else None
        )
        self.reset_parameters()

    def _size(self, which: str, size):
        name = type(self).__name__
        if not isinstance(size, str):
            return sizes(size, self.places, which, name, 0 if "padding" in which else 1)
        if which != "padding" or size not in ("same", "valid"):
            raise refusal(
                name, ValueError, f"found {which} {size!r}, expected numbers, or 'same' or 'valid' as padding"
            )
        return size

    def _channels(self) -> tuple[int, int]:
        """The first two sizes of the weight."""
        return self.out_channels, self.in_channels // self.groups

    def reset_parameters(self) -> None:
        init.default_linear_(self.weight, self.bias)

    def _borders(self) -> list:
        """The padding in the form of F.pad: (left, right, top, bottom)."""
        if self.padding == "valid":
            return [0, 0] * self.places
        totals = (
            [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size)]
            if self.padding == "same"
            else [2 * n for n in self.padding]
        )
        return [n for total in reversed(totals) for n in (total // 2, total - total // 2)]

    def forward(self, x):
        padding = self.padding
        if self.padding_mode != "zeros":
            x, padding = F.pad(x, self._borders(), mode=self.padding_mode), 0
        at = self.stride, padding, self.dilation, self.groups
        return type(self).function(x, self.weight, self.bias, *at)

    def extra_repr(self) -> str:
        zeros, ones = (0,) * self.places, (1,) * self.places
        usual = {"padding": zeros, "dilation": ones, "output_padding": zeros, "groups": 1}
        shown = [f"{self.in_channels}, {self.out_channels}"]
        shown += [f"kernel_size={self.kernel_size}, stride={self.stride}"]
        shown += [f"{name}={getattr(self, name)}" for name in usual if getattr(self, name) != usual[name]]
        shown += ["bias=False"] * (self.bias is None)
        shown += [f"padding_mode={self.padding_mode}"] * (self.padding_mode != "zeros")
        return ", ".join(shown)


class Conv2d(_Conv):
    """Slide K filters over N images.  (N, C, H, W) -> (N, K, P, Q)"""

    function = F.conv2d

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device=None,
        dtype=None,
    ) -> None:
        given = dict(kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
        super().__init__(in_channels, out_channels, groups, bias, padding_mode, device, dtype, **given)


class Conv1d(Conv2d):
    """Slide K filters over N sequences.  (N, C, L) -> (N, K, P)"""

    places, function = 1, F.conv1d


class ConvTranspose2d(_Conv):
    """Transposed convolution of images: upsampling.  (N, C, H, W) -> (N, K, P, Q)"""

    function = F.conv_transpose2d

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size,
        stride=1,
        padding=0,
        output_padding=0,
        groups: int = 1,
        bias: bool = True,
        dilation=1,
        padding_mode: str = "zeros",
        device=None,
        dtype=None,
    ) -> None:
        name = type(self).__name__
        if padding_mode != "zeros":
            raise refusal(name, ValueError, f"found padding_mode {padding_mode!r}, expected 'zeros'")
        if isinstance(padding, str):
            raise refusal(name, ValueError, f"found padding {padding!r}, expected numbers")
        given = dict(kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
        given["output_padding"] = output_padding
        super().__init__(in_channels, out_channels, groups, bias, padding_mode, device, dtype, **given)

    def _channels(self) -> tuple[int, int]:
        return self.in_channels, self.out_channels // self.groups

    def forward(self, input, output_size=None):
        extra = self.output_padding if output_size is None else self._reach(input, tuple(output_size))
        at = self.stride, self.padding, extra, self.groups, self.dilation
        return type(self).function(input, self.weight, self.bias, *at)

    def _reach(self, input, output_size: tuple) -> tuple:
        """The output_padding that gives `output_size`; with a stride, an input has several possible output sizes."""
        name = type(self).__name__
        wanted = output_size[-self.places :]
        if len(output_size) not in (self.places, input.ndim):
            raise refusal(name, ValueError, f"found output_size {output_size}, expected {self.places} sizes")
        along = zip(input.shape[-self.places :], self.stride, self.padding, self.dilation, self.kernel_size)
        least = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, s, p, d, k in along]
        extra = tuple(n - m for n, m in zip(wanted, least))
        if any(not 0 <= e < s for e, s in zip(extra, self.stride)):
            most = [m + s - 1 for m, s in zip(least, self.stride)]
            raise refusal(name, ValueError, f"found output_size {wanted}, expected from {least} to {most}")
        return extra


class ConvTranspose1d(ConvTranspose2d):
    """Transposed convolution of sequences: upsampling.  (N, C, L) -> (N, K, P)"""

    places, function = 1, F.conv_transpose1d
