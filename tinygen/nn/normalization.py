"""Normalization layers."""

from __future__ import annotations

from tinygen.engine.errors import refusal
from tinygen.nn import functional as F
from tinygen.nn import init
from tinygen.nn.layers import new_parameter
from tinygen.nn.module import Module
from tinygen.ops import creation
from tinygen.ops.tensor.conversion import tensor


class _Normalization(Module):
    """What the normalizations share: a scale that starts at one and a shift that starts at zero, or neither."""

    def _set_affine(self, shape: tuple, affine: bool, bias: bool, dtype, device) -> None:
        def new(value):
            return new_parameter(*shape, value=value, dtype=dtype, device=device)

        self.register_parameter("weight", new(1.0) if affine else None)
        self.register_parameter("bias", new(0.0) if affine and bias else None)

    def reset_parameters(self) -> None:
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class _BatchNorm(_Normalization):
    """Normalize each channel over the batch; keep running statistics for evaluation  (arXiv 1502.03167)."""

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

    def _check_dimensions(self, x) -> None:
        if x.ndim not in self.dimensions:
            wanted = " or ".join(map(str, self.dimensions))
            raise refusal(
                type(self).__name__, ValueError, f"found {x.ndim} dimensions, expected {wanted}; x {x.shape}"
            )

    def forward(self, x):
        self._check_dimensions(x)
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


class _InstanceNorm(_BatchNorm):
    """Normalize each channel of each image or sequence  (Ulyanov et al. 2016, arXiv 1607.08022)."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device=None,
        dtype=None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, x):
        self._check_dimensions(x)
        single = x.ndim == min(self.dimensions)
        channels = x.shape[0 if single else 1]
        if channels != self.num_features and self.affine:
            raise refusal(
                type(self).__name__,
                ValueError,
                f"found {channels} channels, expected {self.num_features}; x {x.shape}",
            )
        by_input = self.training or not self.track_running_stats
        given = self.running_mean, self.running_var, self.weight, self.bias, by_input
        y = F.instance_norm(x.unsqueeze(0) if single else x, *given, self.momentum or 0.0, self.eps)
        return y.squeeze(0) if single else y


class InstanceNorm1d(_InstanceNorm):
    """(N, C, L) or (C, L)"""

    dimensions = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """(N, C, H, W) or (C, H, W)"""

    dimensions = (3, 4)


class LayerNorm(_Normalization):
    """Normalize over the last dimensions  (arXiv 1607.06450)."""

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


class RMSNorm(_Normalization):
    """Divide by the root mean square over the last dimensions  (arXiv 1910.07467)."""

    def __init__(
        self,
        normalized_shape,
        eps: float | None = None,
        elementwise_affine: bool = True,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape, self.eps, self.elementwise_affine = shape, eps, elementwise_affine
        self.register_parameter(
            "weight",
            new_parameter(*shape, value=1.0, dtype=dtype, device=device) if elementwise_affine else None,
        )

    def reset_parameters(self) -> None:
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, x):
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(_Normalization):
    """Normalize groups of channels of each image  (arXiv 1803.08494)."""

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
            raise refusal(
                "GroupNorm",
                ValueError,
                f"found {num_channels} channels, expected a multiple of {num_groups} groups",
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
