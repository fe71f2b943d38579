"""Linear, Embedding and PReLU, with PyTorch's shapes and default initialization."""

from __future__ import annotations

from tinygen.engine.errors import refusal
from tinygen.nn import functional as F
from tinygen.nn import init
from tinygen.nn.module import Module
from tinygen.nn.parameter import Parameter
from tinygen.ops import creation


def new_parameter(*shape, value: float = 0.0, dtype=None, device=None) -> Parameter:
    """A Parameter filled with `value`."""
    return Parameter(creation.full(shape, value, dtype=dtype, device=device))


class Linear(Module):
    """y = x weightᵀ + bias.  (..., in) -> (..., out)"""

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device=None, dtype=None
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = new_parameter(out_features, in_features, dtype=dtype, device=device)
        self.register_parameter(
            "bias", new_parameter(out_features, dtype=dtype, device=device) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.default_linear_(self.weight, self.bias)

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        )


class Embedding(Module):
    """Row i of the weight for every index i.  (...) -> (..., D)"""

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
            raise refusal(
                "Embedding", NotImplementedError, "max_norm, scale_grad_by_freq and sparse are not supported"
            )
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise refusal(
                "Embedding",
                ValueError,
                f"found padding_idx {padding_idx}, expected the index of one of {num_embeddings} rows",
            )
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.weight = new_parameter(num_embeddings, embedding_dim, dtype=dtype, device=device)
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


class PReLU(Module):
    """max(x, 0) + weight min(x, 0), with a learned weight  (arXiv 1502.01852)."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device=None, dtype=None) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = new_parameter(num_parameters, value=float(init), dtype=dtype, device=device)

    def reset_parameters(self) -> None:
        init.constant_(self.weight, self.init)

    def forward(self, x):
        return F.prelu(x, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"
