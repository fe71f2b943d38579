"""Layers: parameters in PyTorch's shapes and default initialisation, computing with `nn.functional`."""

from __future__ import annotations

from tinygen.nn import functional as F
from tinygen.nn import init
from tinygen.nn.module import Module, Parameter
from tinygen.ops import FUNCTIONS, creation
from tinygen.tensor import Tensor


def _new(*shape, dtype=None) -> Parameter:
    return Parameter(creation.zeros(*shape, dtype=dtype))


def pair(value) -> tuple[int, int]:
    """A number for both dimensions, or one for each."""
    return (value, value) if isinstance(value, int) else tuple(value)


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


class Unflatten(Module):
    """One dimension as several: (N, 784), 1, (1, 28, 28) -> (N, 1, 28, 28)"""

    def __init__(self, dim: int, unflattened_size) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, x):
        return x.unflatten(self.dim, self.unflattened_size)


class Linear(Module):
    """y = x weightᵀ + bias.  (..., in) -> (..., out)"""

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device=None, dtype=None
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = _new(out_features, in_features, dtype=dtype)
        self.bias = _new(out_features, dtype=dtype) if bias else None
        if not bias:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.default_linear_(self.weight, self.bias)

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        )


class _Conv(Module):
    """What the two convolutions share: sizes, parameters, initialisation."""

    def __init__(self, weight_shape, bias, in_channels, out_channels, groups, dtype) -> None:
        super().__init__()
        for name, count in (("in_channels", in_channels), ("out_channels", out_channels)):
            if count % groups:
                raise ValueError(
                    f"{type(self).__name__}: found {name} {count}, expected a multiple of groups {groups}"
                )
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.weight = _new(*weight_shape, dtype=dtype)
        self.register_parameter("bias", _new(out_channels, dtype=dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.default_linear_(self.weight, self.bias)

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        )
        return text + (f", padding={self.padding}" if self.padding not in (0, (0, 0)) else "")


class Conv2d(_Conv):
    """Slide K filters over N images.  (N, C, H, W) -> (N, K, P, Q)"""

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
        if padding_mode != "zeros":
            raise NotImplementedError(
                f"Conv2d: padding_mode {padding_mode!r} is not supported; pad before with F.pad"
            )
        self.kernel_size = pair(kernel_size)
        self.stride, self.dilation = pair(stride), pair(dilation)
        self.padding = padding if isinstance(padding, str) else pair(padding)
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        super().__init__(shape, bias, in_channels, out_channels, groups, dtype)

    def forward(self, x):
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class ConvTranspose2d(_Conv):
    """The transpose of a convolution: upsampling.  (N, C, H, W) -> (N, K, P, Q)"""

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
        if padding_mode != "zeros":
            raise NotImplementedError(f"ConvTranspose2d: padding_mode {padding_mode!r} is not supported")
        self.kernel_size, self.stride, self.padding = pair(kernel_size), pair(stride), pair(padding)
        self.output_padding, self.dilation = pair(output_padding), pair(dilation)
        shape = (in_channels, out_channels // groups, *self.kernel_size)
        super().__init__(shape, bias, in_channels, out_channels, groups, dtype)

    def forward(self, x):
        return F.conv_transpose2d(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
        )


class Embedding(Module):
    """Row weight[i] for every integer i.  (...) -> (..., D)"""

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, dtype=None
    ) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim, self.padding_idx = num_embeddings, embedding_dim, padding_idx
        self.weight = _new(num_embeddings, embedding_dim, dtype=dtype)
        init.normal_(self.weight)
        if padding_idx is not None:
            self.weight._data[padding_idx] = 0

    def forward(self, x):
        return F.embedding(x, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"


class _BatchNorm(Module):
    """Normalise each channel over the batch; keep running statistics for evaluation  (arXiv 1502.03167)."""

    dimensions: tuple = ()

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.register_parameter(
            "weight", Parameter(creation.ones(num_features, dtype=dtype)) if affine else None
        )
        self.register_parameter("bias", _new(num_features, dtype=dtype) if affine else None)
        track = track_running_stats
        self.register_buffer("running_mean", creation.zeros(num_features, dtype=dtype) if track else None)
        self.register_buffer("running_var", creation.ones(num_features, dtype=dtype) if track else None)
        self.register_buffer("num_batches_tracked", Tensor(0) if track else None)

    def forward(self, x):
        if x.ndim not in self.dimensions:
            wanted = " or ".join(map(str, self.dimensions))
            raise ValueError(
                f"{type(self).__name__}: found {x.ndim} dimensions, expected {wanted}; x {x.shape}"
            )
        momentum = self.momentum
        if self.training and self.track_running_stats:
            self.num_batches_tracked._write(self.num_batches_tracked._data + 1)
            if momentum is None:
                momentum = 1.0 / self.num_batches_tracked.item()
        by_batch = self.training or self.running_mean is None
        return F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            by_batch,
            momentum or 0.0,
            self.eps,
        )

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


class BatchNorm1d(_BatchNorm):
    """(N, C) or (N, C, L)"""

    dimensions = (2, 3)


class BatchNorm2d(_BatchNorm):
    """(N, C, H, W)"""

    dimensions = (4,)


class LayerNorm(Module):
    """Normalise over the last dimensions  (arXiv 1607.06450)."""

    def __init__(
        self,
        normalized_shape,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype=None,
    ) -> None:
        super().__init__()
        self.normalized_shape = (
            (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        )
        self.eps, shape = eps, self.normalized_shape
        affine = elementwise_affine
        self.register_parameter("weight", Parameter(creation.ones(*shape, dtype=dtype)) if affine else None)
        self.register_parameter("bias", _new(*shape, dtype=dtype) if affine and bias else None)

    def forward(self, x):
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"


class GroupNorm(Module):
    """Normalise groups of channels of each image  (arXiv 1803.08494)."""

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: found {num_channels} channels, expected a multiple of {num_groups} groups"
            )
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.register_parameter(
            "weight", Parameter(creation.ones(num_channels, dtype=dtype)) if affine else None
        )
        self.register_parameter("bias", _new(num_channels, dtype=dtype) if affine else None)

    def forward(self, x):
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}"


class PReLU(Module):
    """max(x, 0) + weight min(x, 0), the weight learned  (arXiv 1502.01852)."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device=None, dtype=None) -> None:
        super().__init__()
        self.weight = Parameter(creation.full((num_parameters,), float(init), dtype=dtype))

    def forward(self, x):
        return F.prelu(x, self.weight)


class Dropout(Module):
    """In training, zero each element with probability p and scale the rest by 1/(1-p)."""

    function = staticmethod(F.dropout)

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: found p={p}, expected a probability")
        self.p = p

    def forward(self, x):
        return self.function(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout2d(Dropout):
    """The same for whole channels."""

    function = staticmethod(F.dropout2d)


class _Function(Module):
    """A function of `nn.functional` as a layer; the constructor takes the function's options, by name or position."""

    function = None
    options: tuple = ()  # (name, default) in PyTorch's order

    def __init__(self, *args, **kwargs) -> None:
        super().__init__()
        names = [name for name, _ in self.options]
        if len(args) > len(names) or not set(kwargs) <= set(names):
            known = ", ".join(names) or "none"
            raise TypeError(
                f"{type(self).__name__}: found {args} {kwargs}, expected at most the options: {known}"
            )
        values = {**dict(self.options), **dict(zip(names, args)), **kwargs}
        missing = [name for name, value in values.items() if value is ...]
        if missing:
            raise TypeError(f"{type(self).__name__}: missing option {missing[0]!r}")
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def forward(self, *inputs):
        return type(self).function(*inputs, **{name: getattr(self, name) for name, _ in self.options})

    def extra_repr(self) -> str:
        changed = [(n, getattr(self, n)) for n, default in self.options if getattr(self, n) != default]
        return ", ".join(f"{name}={value}" for name, value in changed)


def _layer(name: str, function, **options):
    """A class for a function without parameters; an option with the value ... must be given."""
    doc = (function.__doc__ or "").strip() or f"`nn.functional.{function.__name__}` as a layer"
    body = {
        "function": staticmethod(function),
        "options": tuple(options.items()),
        "__doc__": doc,
        "__module__": __name__,
    }
    return type(name, (_Function,), body)


ReLU = _layer("ReLU", F.relu, inplace=False)
LeakyReLU = _layer("LeakyReLU", F.leaky_relu, negative_slope=0.01, inplace=False)
ELU = _layer("ELU", F.elu, alpha=1.0, inplace=False)
SiLU = _layer("SiLU", F.silu, inplace=False)
GELU = _layer("GELU", F.gelu, approximate="none")
Sigmoid = _layer("Sigmoid", FUNCTIONS["sigmoid"])
Tanh = _layer("Tanh", FUNCTIONS["tanh"])
Softplus = _layer("Softplus", F.softplus, beta=1.0, threshold=20.0)
LogSigmoid = _layer("LogSigmoid", F.logsigmoid)
Softmax = _layer("Softmax", F.softmax, dim=...)
LogSoftmax = _layer("LogSoftmax", F.log_softmax, dim=...)
MaxPool2d = _layer(
    "MaxPool2d", F.max_pool2d, kernel_size=..., stride=None, padding=0, dilation=1, ceil_mode=False
)
AvgPool2d = _layer(
    "AvgPool2d",
    F.avg_pool2d,
    kernel_size=...,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
)
AdaptiveAvgPool2d = _layer("AdaptiveAvgPool2d", F.adaptive_avg_pool2d, output_size=...)
Upsample = _layer("Upsample", F.interpolate, size=None, scale_factor=None, mode="nearest")
PixelShuffle = _layer("PixelShuffle", F.pixel_shuffle, upscale_factor=...)
PixelUnshuffle = _layer("PixelUnshuffle", F.pixel_unshuffle, downscale_factor=...)
MSELoss = _layer("MSELoss", F.mse_loss, reduction="mean")
L1Loss = _layer("L1Loss", F.l1_loss, reduction="mean")
SmoothL1Loss = _layer("SmoothL1Loss", F.smooth_l1_loss, reduction="mean", beta=1.0)
BCELoss = _layer("BCELoss", F.binary_cross_entropy, weight=None, reduction="mean")
BCEWithLogitsLoss = _layer(
    "BCEWithLogitsLoss", F.binary_cross_entropy_with_logits, weight=None, reduction="mean", pos_weight=None
)
NLLLoss = _layer("NLLLoss", F.nll_loss, weight=None, ignore_index=-100, reduction="mean")
CrossEntropyLoss = _layer(
    "CrossEntropyLoss", F.cross_entropy, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0
)
KLDivLoss = _layer("KLDivLoss", F.kl_div, reduction="mean", log_target=False)
GaussianNLLLoss = _layer("GaussianNLLLoss", F.gaussian_nll_loss, full=False, eps=1e-6, reduction="mean")
