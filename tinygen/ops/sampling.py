"""Random Tensors from given distributions, drawn from `tinygen.random`'s default generator."""

from __future__ import annotations

import numpy as np

from tinygen import kernels
from tinygen.engine import dtypes
from tinygen.engine.dtypes import DtypeError, ShapeError
from tinygen.engine.errors import refusal
from tinygen.engine.grad_mode import is_grad_enabled
from tinygen.engine.tensor import Tensor
from tinygen.ops.creation import draw, finish, randn, stream
from tinygen.ops.declaration import example, operation, probability


@operation(example("tinygen.normal(5.0, 0.1, (2, 3))"), homes="tinygen")
def normal(mean=0.0, std=1.0, size=None, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Normal numbers of the given mean and standard deviation: two numbers and a `size`, or Tensors, which broadcast"""
    tensors = [x for x in (mean, std) if isinstance(x, Tensor)]
    if is_grad_enabled() and any(x.requires_grad for x in tensors):
        raise refusal(
            "normal", NotImplementedError, "no gradient flows to mean or std; use mean + std * randn(size)"
        )
    if not tensors and size is None:
        raise refusal("normal", TypeError, "found numbers without a size, expected a size or a Tensor")
    if tensors and size is not None:
        raise refusal("normal", TypeError, "found a size beside Tensors, expected it with numbers alone")
    if any((x._data < 0).any() if isinstance(x, Tensor) else not x >= 0 for x in [std]):
        raise refusal("normal", RuntimeError, f"found std {std}, expected no negative numbers")
    shape = np.broadcast_shapes(*[x.shape for x in tensors]) if tensors else size
    dtype = dtype or (tensors[0].dtype if tensors else None)
    place = tensors[0].device if tensors and device is None else device
    result = (randn(shape, dtype=dtype, device=place) * std + mean)._data
    return finish(result if dtype is None else result.astype(dtype, copy=False), requires_grad)


@operation(example("tinygen.bernoulli(x)", x=probability(2, 3)))
def bernoulli(input, p=None) -> Tensor:
    """1 with the probability that input (or the number p) gives, else 0; in input's dtype"""
    xp = kernels.array_module(input._data)
    chance = input._data if p is None else xp.full(input.shape, p, dtypes.float64)
    if chance.dtype.kind != "f":
        raise refusal("bernoulli", DtypeError, f"found dtype {chance.dtype}, expected a floating dtype")
    if chance.size and not (0 <= chance.min() and chance.max() <= 1):
        raise refusal(
            "bernoulli", RuntimeError, "found an element that is not a probability, expected 0 to 1"
        )
    wide = np.result_type(
        chance.dtype, np.float32
    )  # the uniform numbers of float16 are too coarse for small probabilities
    return finish((draw("uniform", input.shape, wide, input.device) < chance).astype(input.dtype), False)


@operation(example("tinygen.multinomial(x, 2)", x=probability(2, 3)))
def multinomial(input, num_samples, replacement=False) -> Tensor:
    """Indices drawn in proportion to weights, which need not sum to one.  (C,) or (N, C) -> (num_samples,) or (N, …)

    Without replacement: the indices with the smallest E / weight, each E drawn from the exponential distribution.
    """
    _check_weights(input, num_samples, replacement)
    xp = kernels.array_module(input._data)
    weights = xp.atleast_2d(input._data).astype(np.float64)
    if replacement:
        uniform = stream(input.device).uniform((len(weights), num_samples), np.float64)
        drawn = kernels.multinomial(weights, uniform)
    else:
        with np.errstate(all="ignore"):
            waiting = -xp.log1p(-stream(input.device).uniform(weights.shape, np.float64)) / weights
        waiting[weights == 0] = (
            np.nan
        )  # sorted after all others, even after the infinite wait of a tiny weight
        drawn = kernels.argsort(waiting, 1)[:, :num_samples]
    return Tensor._wrap(xp.asarray(drawn.reshape(*input.shape[:-1], num_samples), np.int64))


def _check_weights(input, num_samples: int, replacement: bool) -> None:
    weights = input._data
    if weights.dtype.kind != "f":
        raise refusal("multinomial", DtypeError, f"found dtype {weights.dtype}, expected a floating dtype")
    if weights.ndim not in (1, 2) or not weights.shape[-1]:
        raise refusal(
            "multinomial", ShapeError, f"found input {weights.shape}, expected (C,) or (N, C) with C > 0"
        )
    if num_samples < 1 or (not replacement and num_samples > weights.shape[-1]):
        most = "" if replacement else f" and at most {weights.shape[-1]} without replacement"
        raise refusal(
            "multinomial", RuntimeError, f"found num_samples {num_samples}, expected at least 1{most}"
        )
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise refusal("multinomial", RuntimeError, "found a weight that is inf, nan or below 0")
    counts = (weights > 0).sum(-1)
    fewest = int(counts.min()) if counts.size else weights.shape[-1]
    needed = 1 if replacement else num_samples
    if fewest < needed:
        raise refusal(
            "multinomial",
            RuntimeError,
            f"found {fewest} weights above 0 in a row, expected at least {needed}",
        )
