"""Layers without parameters: functions of `nn.functional` as Modules.  Constructor arguments are PyTorch's."""

from __future__ import annotations

import inspect

from tinygen.engine.tensor import Tensor
from tinygen.nn import functional as F
from tinygen.nn.module import Module
from tinygen.ops.conv import sizes


class Identity(Module):
    """x -> x"""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__()

    def forward(self, x):
        return x


class Flatten(Module):
    """(N, ...) -> (N, product of the rest)"""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x):
        return x.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """One dimension as several: (N, 784), 1, (1, 28, 28) -> (N, 1, 28, 28)"""

    def __init__(self, dim: int, unflattened_size) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, x):
        return x.unflatten(self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Dropout(Module):
    """In training, zero each element with probability p and scale the rest by 1/(1-p)."""

    function = staticmethod(F.dropout)

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: found p={p}, expected a probability")
        self.p, self.inplace = p, inplace

    def forward(self, x):
        return self.function(x, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout2d(Dropout):
    """The same for whole channels."""

    function = staticmethod(F.dropout2d)


class _Function(Module):
    """A function of `nn.functional` as a layer; the constructor takes the function's options, by name or position."""

    function = None
    shown: tuple = ()
    refused = ("size_average", "reduce")  # deprecated options of PyTorch's losses hold their positions

    def __init__(self, *args, **kwargs) -> None:
        super().__init__()
        try:
            options = type(self).__signature__.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {error}") from None
        options.apply_defaults()
        for name, value in options.arguments.items():
            if name in self.refused and value is not None:
                raise NotImplementedError(f"{type(self).__name__}: {name} is not supported; use reduction")
            if isinstance(value, Tensor):
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)
        self.options = [name for name in options.arguments if name not in self.refused]
        if "kernel_size" in self.options and self.stride is None:
            self.stride = self.kernel_size

    def forward(self, *inputs):
        return type(self).function(*inputs, **{name: getattr(self, name) for name in self.options})

    def extra_repr(self) -> str:
        values = [(name, getattr(self, name)) for name in self.shown]
        return ", ".join(f"{n}={v!r}" for n, v in values if (n, v) != ("inplace", False))


def _layer(name: str, function, shown: str = "", **options):
    """A class for a function without parameters.  `shown`: the options in its repr; ... marks one without default."""
    kind, empty = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.empty
    parameters = [
        inspect.Parameter(option, kind, default=empty if default is ... else default)
        for option, default in options.items()
    ]
    body = {
        "function": staticmethod(function),
        "shown": tuple(shown.split()),
        "__signature__": inspect.Signature(parameters),
        "__doc__": function.__doc__,
        "__module__": __name__,
    }
    return type(name, (_Function,), body)


ReLU = _layer("ReLU", F.relu, "inplace", inplace=False)
LeakyReLU = _layer("LeakyReLU", F.leaky_relu, "negative_slope inplace", negative_slope=0.01, inplace=False)
ELU = _layer("ELU", F.elu, "alpha inplace", alpha=1.0, inplace=False)
SiLU = _layer("SiLU", F.silu, "inplace", inplace=False)
GELU = _layer("GELU", F.gelu, "approximate", approximate="none")
Sigmoid = _layer("Sigmoid", F.sigmoid)
Tanh = _layer("Tanh", F.tanh)
Softplus = _layer("Softplus", F.softplus, "beta threshold", beta=1.0, threshold=20.0)
LogSigmoid = _layer("LogSigmoid", F.logsigmoid)
Softmax = _layer("Softmax", F.softmax, "dim", dim=None)
LogSoftmax = _layer("LogSoftmax", F.log_softmax, "dim", dim=None)
Softmin = _layer("Softmin", F.softmin, "dim", dim=None)
ReLU6 = _layer("ReLU6", F.relu6, "inplace", inplace=False)
Mish = _layer("Mish", F.mish, "inplace", inplace=False)
SELU = _layer("SELU", F.selu, "inplace", inplace=False)
Softsign = _layer("Softsign", F.softsign)
GLU = _layer("GLU", F.glu, "dim", dim=-1)
_max_pool = dict(kernel_size=..., stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False)
_max_pool_shown = "kernel_size stride padding dilation ceil_mode"
MaxPool1d = _layer("MaxPool1d", F.max_pool1d, _max_pool_shown, **_max_pool)
MaxPool2d = _layer("MaxPool2d", F.max_pool2d, _max_pool_shown, **_max_pool)
AvgPool2d = _layer(
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
AdaptiveAvgPool1d = _layer("AdaptiveAvgPool1d", F.adaptive_avg_pool1d, "output_size", output_size=...)
AdaptiveAvgPool2d = _layer("AdaptiveAvgPool2d", F.adaptive_avg_pool2d, "output_size", output_size=...)


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


class Hardtanh(Module):
    """x limited to [min_val, max_val].  min_value and max_value are their older names."""

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        super().__init__()
        if min_value is not None or max_value is not None:
            raise NotImplementedError(
                "Hardtanh: min_value and max_value are not supported; use min_val and max_val"
            )
        if max_val <= min_val:
            raise AssertionError(f"Hardtanh: found max_val {max_val}, expected more than min_val {min_val}")
        self.min_val, self.max_val, self.inplace = min_val, max_val, inplace

    def forward(self, x):
        return F.hardtanh(x, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}" + ", inplace=True" * self.inplace


class _Pad2d(Module):
    """`F.pad` of images: one width for all sides, or (left, right, top, bottom)."""

    mode = ""

    def __init__(self, padding) -> None:
        super().__init__()
        self.padding = (padding,) * 4 if isinstance(padding, int) else tuple(padding)
        if len(self.padding) != 4:
            name = type(self).__name__
            raise ValueError(
                f"{name}: found padding {padding}, expected a number or (left, right, top, bottom)"
            )

    def forward(self, x):
        return F.pad(x, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ReflectionPad2d(_Pad2d):
    """Images mirrored at their borders, which are not repeated."""

    mode = "reflect"


class ReplicationPad2d(_Pad2d):
    """Images whose borders are repeated."""

    mode = "replicate"


class ZeroPad2d(_Pad2d):
    """Images with zeros around them."""

    mode = "constant"


class ConstantPad2d(ZeroPad2d):
    """Images with `value` around them."""

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
    """`Upsample` by mixing pixels, the corners kept where they are."""

    def __init__(self, size=None, scale_factor=None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)


PixelShuffle = _layer("PixelShuffle", F.pixel_shuffle, "upscale_factor", upscale_factor=...)
PixelUnshuffle = _layer("PixelUnshuffle", F.pixel_unshuffle, "downscale_factor", downscale_factor=...)

_mean = dict(size_average=None, reduce=None, reduction="mean")
MSELoss = _layer("MSELoss", F.mse_loss, **_mean)
L1Loss = _layer("L1Loss", F.l1_loss, **_mean)
SmoothL1Loss = _layer("SmoothL1Loss", F.smooth_l1_loss, **_mean, beta=1.0)
BCELoss = _layer("BCELoss", F.binary_cross_entropy, weight=None, **_mean)
BCEWithLogitsLoss = _layer(
    "BCEWithLogitsLoss", F.binary_cross_entropy_with_logits, weight=None, **_mean, pos_weight=None
)
_by_class = dict(weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean")
NLLLoss = _layer("NLLLoss", F.nll_loss, **_by_class)
CrossEntropyLoss = _layer("CrossEntropyLoss", F.cross_entropy, **_by_class, label_smoothing=0.0)
KLDivLoss = _layer("KLDivLoss", F.kl_div, **_mean, log_target=False)
HuberLoss = _layer("HuberLoss", F.huber_loss, reduction="mean", delta=1.0)
CosineSimilarity = _layer("CosineSimilarity", F.cosine_similarity, dim=1, eps=1e-8)
PairwiseDistance = _layer("PairwiseDistance", F.pairwise_distance, p=2.0, eps=1e-6, keepdim=False)
GaussianNLLLoss = _layer("GaussianNLLLoss", F.gaussian_nll_loss, full=False, eps=1e-6, reduction="mean")
