"""In-place initialization of parameters.  Names and meaning are those of torch.nn.init."""

from __future__ import annotations

import math
import warnings

import numpy as np

from tinygen import random
from tinygen.engine.devices import move
from tinygen.engine.errors import refusal
from tinygen.engine.tensor import Tensor

_LINEAR = {"linear", "sigmoid", *(f"conv{kind}{d}d" for kind in ("", "_transpose") for d in (1, 2, 3))}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor on the standard deviation that preserves the variance through a nonlinearity."""
    if nonlinearity in _LINEAR:
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "selu":
        return 3.0 / 4
    if nonlinearity == "leaky_relu":
        if param is not None and (isinstance(param, bool) or not isinstance(param, (int, float))):
            raise refusal("calculate_gain", ValueError, f"found negative slope {param!r}, expected a number")
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    known = "relu, leaky_relu, tanh, selu, sigmoid, linear or a convolution"
    raise refusal("calculate_gain", ValueError, f"found nonlinearity {nonlinearity!r}, expected {known}")


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """The number of connections into and out of one unit.  weight (out, in, *kernel)"""
    if tensor.ndim < 2:
        raise ValueError(f"fan in and fan out: found shape {tensor.shape}, expected at least 2 dimensions")
    receptive = math.prod(tensor.shape[2:])
    return tensor.shape[1] * receptive, tensor.shape[0] * receptive


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    if mode.lower() not in ("fan_in", "fan_out"):
        raise refusal("kaiming", ValueError, f"found mode {mode!r}, expected 'fan_in' or 'fan_out'")
    return _calculate_fan_in_and_fan_out(tensor)[mode.lower() == "fan_out"]


def _draw(tensor: Tensor, name: str, generator):
    """A random stream, and the dtype to draw in: float64 for a float64 Tensor, else float32."""
    if generator is not None:
        raise refusal(
            name,
            NotImplementedError,
            f"generator={type(generator).__name__} is not supported; use tinygen.manual_seed(seed), or draw "
            "from a tinygen.random.Generator",
        )
    return random.default_stream(), np.float64 if tensor.dtype == np.float64 else np.float32


def _put(tensor: Tensor, values: np.ndarray) -> Tensor:
    """Write values that were drawn on the CPU, so that a network starts with the same bits on every device."""
    return tensor._write(move(values, tensor.device))


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator=None) -> Tensor:
    """U(a, b): numbers in [a, b)"""
    if a > b:
        raise refusal("uniform_", RuntimeError, f"found bounds a={a} and b={b}, expected a <= b")
    stream, dtype = _draw(tensor, "uniform_", generator)
    return _put(tensor, random.between(a, b, stream.uniform(tensor.shape, dtype), tensor.dtype))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator=None) -> Tensor:
    """N(mean, std²)"""
    if std < 0:
        raise refusal("normal_", RuntimeError, f"found std={std}, expected at least 0")
    stream, dtype = _draw(tensor, "normal_", generator)
    return _put(tensor, mean + std * stream.normal(tensor.shape, dtype))


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator=None
) -> Tensor:
    """N(mean, std²) truncated to [a, b]

    By rejection: draws of the normal distribution outside [a, b] are drawn again.  If [a, b] holds little of its mass,
    draws are from U(a, b) instead, and rejected with probability 1 - density / largest density.
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(f"trunc_normal_: the mean {mean} is more than 2 std from [{a}, {b}]", stacklevel=2)
    stream, _ = _draw(tensor, "trunc_normal_", generator)
    below, above = (math.erf((bound - mean) / (std * math.sqrt(2))) for bound in (a, b))
    peak = (min(max(mean, a), b) - mean) / std

    def draw(n: int):
        if (above - below) / 2 > 0.3:
            x = mean + std * stream.normal((n,), np.float64)
            return x, (a <= x) & (x <= b)
        x = a + (b - a) * stream.uniform((n,), np.float64)
        log_ratio = (peak**2 - ((x - mean) / std) ** 2) / 2
        return x, stream.uniform((n,), np.float64) < np.exp(log_ratio)

    values, missing = np.empty(tensor.numel()), np.arange(tensor.numel())
    while missing.size:
        x, accepted = draw(missing.size)
        values[missing[accepted]] = x[accepted]
        missing = missing[~accepted]
    values = random.inside(a, b, values.reshape(tensor.shape), tensor.dtype, closed=True)
    return _put(tensor, values)


def constant_(tensor: Tensor, val: float) -> Tensor:
    return tensor._write(val)


def zeros_(tensor: Tensor) -> Tensor:
    return tensor._write(0)


def ones_(tensor: Tensor) -> Tensor:
    return tensor._write(1)


def eye_(tensor: Tensor) -> Tensor:
    """Ones on the diagonal, zeros elsewhere.  (n, m)"""
    if tensor.ndim != 2:
        raise refusal("eye_", ValueError, f"found shape {tensor.shape}, expected 2 dimensions")
    return _put(tensor, np.eye(*tensor.shape))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution weight that passes its input channels through, in each group.  (out, in, *kernel)"""
    if tensor.ndim not in (3, 4, 5):
        raise refusal("dirac_", ValueError, f"found shape {tensor.shape}, expected 3, 4 or 5 dimensions")
    if tensor.shape[0] % groups:
        raise refusal(
            "dirac_", ValueError, f"found {tensor.shape[0]} outputs, expected a multiple of groups {groups}"
        )
    values, outputs = np.zeros(tensor.shape), tensor.shape[0] // groups
    middle = tuple(size // 2 for size in tensor.shape[2:])
    for group in range(groups):
        for i in range(min(outputs, tensor.shape[1])):
            values[(group * outputs + i, i, *middle)] = 1
    return _put(tensor, values)


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator=None) -> Tensor:
    """N(0, std²), with a fraction `sparsity` of each column set to zero  (Martens 2010).  (n, m)"""
    if tensor.ndim != 2:
        raise refusal("sparse_", ValueError, f"found shape {tensor.shape}, expected 2 dimensions")
    stream, dtype = _draw(tensor, "sparse_", generator)
    values = std * stream.normal(tensor.shape, dtype)
    for column in range(tensor.shape[1]):
        rows = stream.permutation(tensor.shape[0])
        values[rows[: math.ceil(sparsity * tensor.shape[0])], column] = 0
    return _put(tensor, values)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator=None) -> Tensor:
    """U(-a, a), a = gain sqrt(6 / (fan_in + fan_out))  (Glorot & Bengio 2010)"""
    bound = gain * math.sqrt(6.0 / sum(_calculate_fan_in_and_fan_out(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator=None) -> Tensor:
    """N(0, std²), std = gain sqrt(2 / (fan_in + fan_out))  (Glorot & Bengio 2010)"""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_calculate_fan_in_and_fan_out(tensor))), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    fan = _calculate_correct_fan(tensor, mode)
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


def kaiming_uniform_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator=None
) -> Tensor:
    """U(-b, b), b = gain sqrt(3 / fan)  (He et al. 2015, arXiv 1502.01852)"""
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator=None
) -> Tensor:
    """N(0, std²), std = gain / sqrt(fan)  (He et al. 2015, arXiv 1502.01852)"""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator=None) -> Tensor:
    """A (semi-)orthogonal matrix, of the first dimension by the rest  (Saxe et al. 2013, arXiv 1312.6120)"""
    if tensor.ndim < 2:
        raise refusal(
            "orthogonal_", ValueError, f"found shape {tensor.shape}, expected at least 2 dimensions"
        )
    stream, _ = _draw(tensor, "orthogonal_", generator)
    if not tensor.numel():
        return tensor
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    flat = stream.normal((max(rows, columns), min(rows, columns)), dtype=np.float64)
    q, r = np.linalg.qr(flat)
    q = q * np.sign(np.diag(r))
    return _put(tensor, gain * (q if rows >= columns else q.T).reshape(tensor.shape))


def default_linear_(weight: Tensor, bias: Tensor | None) -> None:
    """PyTorch's default for Linear and convolutions: weight and bias U(-b, b), b = 1 / sqrt(fan_in)."""
    kaiming_uniform_(weight, a=math.sqrt(5))
    fan_in, _ = _calculate_fan_in_and_fan_out(weight)
    if bias is not None:
        bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
        uniform_(bias, -bound, bound)
