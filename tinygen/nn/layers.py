"""Layers with parameters: PyTorch's shapes and default initialisation, computing with `nn.functional`."""

from __future__ import annotations

from tinygen.nn import functional as F
from tinygen.nn import init
from tinygen.nn.module import Module, Parameter
from tinygen.ops import creation
from tinygen.ops.conv import pair
from tinygen.tensor import tensor


def _new(*shape, value: float = 0.0, dtype=None, device=None) -> Parameter:
    return Parameter(creation.full(shape, value, dtype=dtype, device=device))


class Linear(Module):
    """y = x weightᵀ + bias.  (..., in) -> (..., out)"""

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device=None, dtype=None
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = _new(out_features, in_features, dtype=dtype, device=device)
        self.register_parameter("bias", _new(out_features, dtype=dtype, device=device) if bias else None)
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

    output_padding = (0, 0)

    def __init__(self, in_channels, out_channels, groups, bias, padding_mode, device, dtype, **sizes) -> None:
        super().__init__()
        name = type(self).__name__
        if padding_mode != "zeros":
            raise NotImplementedError(
                f"{name}: padding_mode {padding_mode!r} is not supported; use F.pad before"
            )
        for which, count in (("in_channels", in_channels), ("out_channels", out_channels)):
            if groups < 1 or count % groups:
                raise ValueError(f"{name}: found {which} {count}, expected a multiple of groups {groups}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        for which, size in sizes.items():
            least = 0 if "padding" in which else 1
            setattr(self, which, size if isinstance(size, str) else pair(size, which, name, least))
        self.weight = _new(*self._channels(), *self.kernel_size, dtype=dtype, device=device)
        self.register_parameter("bias", _new(out_channels, dtype=dtype, device=device) if bias else None)
        self.reset_parameters()

    def _channels(self) -> tuple[int, int]:
        """The first two sizes of the weight."""
        return self.out_channels, self.in_channels // self.groups

    def reset_parameters(self) -> None:
        init.default_linear_(self.weight, self.bias)

    def extra_repr(self) -> str:
        usual = {"padding": (0, 0), "dilation": (1, 1), "output_padding": (0, 0), "groups": 1}
        shown = [f"{self.in_channels}, {self.out_channels}"]
        shown += [f"kernel_size={self.kernel_size}, stride={self.stride}"]
        shown += [f"{name}={getattr(self, name)}" for name in usual if getattr(self, name) != usual[name]]
        return ", ".join(shown + ["bias=False"] * (self.bias is None))


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
        sizes = dict(kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
        super().__init__(in_channels, out_channels, groups, bias, padding_mode, device, dtype, **sizes)

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
        sizes = dict(kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
        sizes["output_padding"] = output_padding
        super().__init__(in_channels, out_channels, groups, bias, padding_mode, device, dtype, **sizes)

    def _channels(self) -> tuple[int, int]:
        return self.in_channels, self.out_channels // self.groups

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
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        if max_norm is not None or scale_grad_by_freq or sparse:
            raise NotImplementedError("Embedding: max_norm, scale_grad_by_freq and sparse are not supported")
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(
                f"Embedding: found padding_idx {padding_idx}, expected one of {num_embeddings} rows"
            )
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.weight = _new(num_embeddings, embedding_dim, dtype=dtype, device=device)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight.detach()[self.padding_idx] = 0

    def forward(self, x):
        return F.embedding(x, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        return text + (f", padding_idx={self.padding_idx}" if self.padding_idx is not None else "")


class _Normalization(Module):
    """What the normalisations share: a scale that starts at one and a shift that starts at zero, or neither."""

    def _set_affine(self, shape: tuple, affine: bool, bias: bool, dtype, device) -> None:
        def new(value):
            return _new(*shape, value=value, dtype=dtype, device=device)

        self.register_parameter("weight", new(1.0) if affine else None)
        self.register_parameter("bias", new(0.0) if affine and bias else None)

    def reset_parameters(self) -> None:
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class _BatchNorm(_Normalization):
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
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self._set_affine((num_features,), affine, bias, dtype, device)
        track, where = track_running_stats, dict(dtype=dtype, device=device)
        self.register_buffer("running_mean", creation.zeros(num_features, **where) if track else None)
        self.register_buffer("running_var", creation.ones(num_features, **where) if track else None)
        self.register_buffer("num_batches_tracked", tensor(0) if track else None)

    def reset_running_stats(self) -> None:
        if self.running_mean is not None:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        self.reset_running_stats()
        super().reset_parameters()

    def forward(self, x):
        if x.ndim not in self.dimensions:
            wanted = " or ".join(map(str, self.dimensions))
            raise ValueError(
                f"{type(self).__name__}: found {x.ndim} dimensions, expected {wanted}; x {x.shape}"
            )
        momentum = self.momentum
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked._write(self.num_batches_tracked._data + 1)
            if momentum is None:  # the plain average over all batches
                momentum = 1.0 / self.num_batches_tracked.item()
        mean, var = self.running_mean, self.running_var
        by_batch = self.training or (mean is None and var is None)
        if self.training and not self.track_running_stats:
            mean = var = None
        return F.batch_norm(x, mean, var, self.weight, self.bias, by_batch, momentum or 0.0, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """(N, C) or (N, C, L)"""

    dimensions = (2, 3)


class BatchNorm2d(_BatchNorm):
    """(N, C, H, W)"""

    dimensions = (4,)


class LayerNorm(_Normalization):
    """Normalise over the last dimensions  (arXiv 1607.06450)."""

    def __init__(
        self,
        normalized_shape,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape, self.eps, self.elementwise_affine = shape, eps, elementwise_affine
        self._set_affine(shape, elementwise_affine, bias, dtype, device)

    def forward(self, x):
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class GroupNorm(_Normalization):
    """Normalise groups of channels of each image  (arXiv 1803.08494)."""

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device=None,
        dtype=None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: found {num_channels} channels, expected a multiple of {num_groups} groups"
            )
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self._set_affine((num_channels,), affine, bias, dtype, device)

    def forward(self, x):
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class PReLU(Module):
    """max(x, 0) + weight min(x, 0), the weight learned  (arXiv 1502.01852)."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device=None, dtype=None) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = _new(num_parameters, value=float(init), dtype=dtype, device=device)

    def reset_parameters(self) -> None:
        init.constant_(self.weight, self.init)

    def forward(self, x):
        return F.prelu(x, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"
