"""Initialisation of parameters, in place.  Names and meaning are those of torch.nn.init."""

from __future__ import annotations

import math

import numpy as np

from tinygen import random
from tinygen.tensor import Tensor


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor on the standard deviation that keeps the variance through a nonlinearity."""
    if nonlinearity in ("linear", "sigmoid", "conv1d", "conv2d", "conv_transpose2d"):
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    raise ValueError(
        f"calculate_gain: found nonlinearity {nonlinearity!r}, expected relu, leaky_relu, tanh or linear"
    )


def fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """Connections into and out of one unit: weight (out, in, *kernel)."""
    if tensor.ndim < 2:
        raise ValueError(f"fan in and fan out: found shape {tensor.shape}, expected at least 2 dimensions")
    receptive = math.prod(tensor.shape[2:])
    return tensor.shape[1] * receptive, tensor.shape[0] * receptive


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """U(a, b)"""
    return tensor._write(a + (b - a) * random.default_stream().uniform(tensor.shape))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """N(mean, std²)"""
    return tensor._write(mean + std * random.default_stream().normal(tensor.shape))


def constant_(tensor: Tensor, val: float) -> Tensor:
    return tensor._write(val)


def zeros_(tensor: Tensor) -> Tensor:
    return tensor._write(0)


def ones_(tensor: Tensor) -> Tensor:
    return tensor._write(1)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """U(-a, a), a = gain sqrt(6 / (fan_in + fan_out))  (Glorot & Bengio 2010)"""
    bound = gain * math.sqrt(6.0 / sum(fan_in_and_fan_out(tensor)))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """N(0, std²), std = gain sqrt(2 / (fan_in + fan_out))  (Glorot & Bengio 2010)"""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(fan_in_and_fan_out(tensor))))


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"kaiming: found mode {mode!r}, expected 'fan_in' or 'fan_out'")
    fan = fan_in_and_fan_out(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


def kaiming_uniform_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """U(-b, b), b = gain sqrt(3 / fan)  (He et al. 2015, arXiv 1502.01852)"""
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """N(0, std²), std = gain / sqrt(fan)  (He et al. 2015, arXiv 1502.01852)"""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity))


def orthogonal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """A (semi-)orthogonal matrix over the first dimension and the rest  (Saxe et al. 2013, arXiv 1312.6120)"""
    if tensor.ndim < 2:
        raise ValueError(f"orthogonal_: found shape {tensor.shape}, expected at least 2 dimensions")
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    flat = random.default_stream().normal((max(rows, columns), min(rows, columns)), dtype=np.float64)
    q, r = np.linalg.qr(flat)
    q = q * np.sign(np.diag(r))
    return tensor._write(gain * (q if rows >= columns else q.T).reshape(tensor.shape))


def default_linear_(weight: Tensor, bias: Tensor | None) -> None:
    """PyTorch's default of Linear and convolutions: weight and bias U(-b, b), b = 1 / sqrt(fan_in)."""
    kaiming_uniform_(weight, a=math.sqrt(5))
    fan_in, _ = fan_in_and_fan_out(weight)
    if bias is not None:
        bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
        uniform_(bias, -bound, bound)
