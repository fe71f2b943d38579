"""All parameters as one vector, and back."""

from __future__ import annotations

from tinygen import ops
from tinygen.engine.dtypes import ShapeError
from tinygen.engine.errors import refusal
from tinygen.engine.tensor import Tensor


def parameters_to_vector(parameters) -> Tensor:
    """The elements of all parameters, concatenated.  (…), (…), … -> (n,)"""
    return ops.cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters) -> None:
    """Point each parameter at its slice of the vector; they share memory, as in PyTorch.  (n,) -> (…), (…), …"""
    if not isinstance(vec, Tensor):
        raise refusal("vector_to_parameters", TypeError, f"found a {type(vec).__name__}, expected a Tensor")
    parameters, start = list(parameters), 0
    expected = sum(p.numel() for p in parameters)
    if vec.numel() < expected:
        raise refusal(
            "vector_to_parameters", ShapeError, f"found {vec.numel()} elements, expected {expected}"
        )
    for p in parameters:
        p.data = vec.detach()[start : start + p.numel()].reshape(p.shape)
        start += p.numel()
