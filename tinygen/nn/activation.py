"""Activations as layers."""

from __future__ import annotations

from tinygen.engine.errors import refusal
from tinygen.nn import functional as F
from tinygen.nn.module import Module
from tinygen.nn.stateless import layer

ReLU = layer("ReLU", F.relu, "inplace", inplace=False)
LeakyReLU = layer("LeakyReLU", F.leaky_relu, "negative_slope inplace", negative_slope=0.01, inplace=False)
ELU = layer("ELU", F.elu, "alpha inplace", alpha=1.0, inplace=False)
SiLU = layer("SiLU", F.silu, "inplace", inplace=False)
GELU = layer("GELU", F.gelu, "approximate", approximate="none")
Sigmoid = layer("Sigmoid", F.sigmoid)
Tanh = layer("Tanh", F.tanh)
Softplus = layer("Softplus", F.softplus, "beta threshold", beta=1.0, threshold=20.0)
LogSigmoid = layer("LogSigmoid", F.logsigmoid)
Softmax = layer("Softmax", F.softmax, "dim", dim=None)
LogSoftmax = layer("LogSoftmax", F.log_softmax, "dim", dim=None)
Softmin = layer("Softmin", F.softmin, "dim", dim=None)
ReLU6 = layer("ReLU6", F.relu6, "inplace", inplace=False)
Mish = layer("Mish", F.mish, "inplace", inplace=False)
SELU = layer("SELU", F.selu, "inplace", inplace=False)
Softsign = layer("Softsign", F.softsign)
GLU = layer("GLU", F.glu, "dim", dim=-1)


class Hardtanh(Module):
    """x clipped to [min_val, max_val].  min_value and max_value are their older names."""

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
            raise refusal(
                "Hardtanh",
                NotImplementedError,
                "min_value and max_value are not supported; use min_val and max_val",
            )
        if max_val <= min_val:
            raise refusal(
                "Hardtanh", AssertionError, f"found max_val {max_val}, expected more than min_val {min_val}"
            )
        self.min_val, self.max_val, self.inplace = min_val, max_val, inplace

    def forward(self, x):
        return F.hardtanh(x, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}" + ", inplace=True" * self.inplace
