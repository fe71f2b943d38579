"""Methods that overwrite their Tensor: the operation out of place, whose result `overwrite.take_over` then writes."""

from __future__ import annotations

import inspect

import numpy as np

from tinygen import random
from tinygen.engine.dtypes import DtypeError
from tinygen.engine.tensor import Tensor
from tinygen.ops import activation, creation, gather, pointwise, sampling
from tinygen.ops import elementwise as e
from tinygen.ops import pointwise as p
from tinygen.ops.conversion import as_tensor
from tinygen.ops.overwrite import in_place, take_over
from tinygen.ops.shape import expand


def _of(operation):
    """The in-place form of a public operation, with the same arguments."""

    def method(input, *args, **named):
        return in_place(name, operation, input, *args, **named)

    name = f"{operation.__name__}_"
    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"`{operation.__name__}`, written into input"
    method.__signature__ = inspect.signature(operation)
    method.of = operation
    return method


add_, sub_, mul_, div_, pow_, remainder_, floor_divide_ = map(
    _of, (e.add, e.sub, e.mul, e.div, e.pow, e.remainder, e.floor_divide)
)
neg_, abs_, exp_, log_, sqrt_, rsqrt_, reciprocal_, square_, sign_, floor_, ceil_, round_ = map(
    _of,
    (e.neg, e.abs, e.exp, e.log, e.sqrt, e.rsqrt, e.reciprocal, e.square, e.sign, p.floor, p.ceil, p.round),
)
clamp_, clamp_min_, clamp_max_, masked_fill_ = map(_of, (e.clamp, e.clamp_min, e.clamp_max, e.masked_fill))
scatter_, scatter_add_, index_add_, index_copy_, index_fill_, index_put_ = map(
    _of,
    (
        gather.scatter,
        gather.scatter_add,
        gather.index_add,
        gather.index_copy,
        gather.index_fill,
        gather.index_put,
    ),
)
lerp_, addcmul_, addcdiv_ = map(_of, (pointwise.lerp, pointwise.addcmul, pointwise.addcdiv))
relu_, sigmoid_, tanh_ = map(_of, (activation.relu, activation.sigmoid, activation.tanh))


def copy_(input, src, non_blocking=False):
    """Take over the numbers of another Tensor, which broadcasts and is cast.  non_blocking has no effect."""
    return take_over(input, "copy_", expand(as_tensor(src).to(input), input.shape))


def fill_(input, value):
    """One number everywhere"""
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(
                f"fill_: found value {value.shape}, expected a number or a Tensor without dimensions"
            )
        return take_over(input, "fill_", expand(e.cast(value, dtype=input.dtype), input.shape))
    if input.dtype.kind in "iu":
        limits = np.iinfo(input.dtype)
        if not limits.min <= value <= limits.max:
            raise RuntimeError(f"fill_: the value {value} does not fit into {input.dtype}")
    return take_over(
        input, "fill_", creation.full(input.shape, value, dtype=input.dtype, device=input.device)
    )


def zero_(input):
    """0 everywhere"""
    return fill_(input, 0)


def uniform_(input, a=0.0, b=1.0):
    """Fill with U(a, b): numbers of [a, b)"""
    if not input.is_floating_point():
        raise DtypeError(f"uniform_: found dtype {input.dtype}, expected a floating dtype")
    largest = float(np.finfo(input.dtype).max)
    if not -largest <= a <= b <= largest:
        raise RuntimeError(
            f"uniform_: found bounds a={a} and b={b}, expected a <= b, both finite in {input.dtype}"
        )
    u = creation.rand_like(input)._data
    return take_over(input, "uniform_", Tensor._wrap(random.between(a, b, u, input.dtype)))


def normal_(input, mean=0.0, std=1.0):
    """Fill with N(mean, std²)"""
    return take_over(input, "normal_", mean + std * creation.randn_like(input))


def bernoulli_(input, p=0.5):
    """Fill with 1 with probability p, a number or a Tensor that broadcasts, else 0"""
    chance = p if isinstance(p, Tensor) else creation.full((), p, dtype=np.float64, device=input.device)
    drawn = sampling.bernoulli(expand(chance, input.shape))
    return take_over(input, "bernoulli_", e.cast(drawn, dtype=input.dtype))


def _refused(name: str):
    def refused(input, *args, **named):
        raise NotImplementedError(
            f"{name}_: a Tensor does not change its shape in place; use x = x.{name}(…)"
        )

    refused.__name__ = refused.__qualname__ = f"{name}_"
    refused.__doc__ = f"Refused: use `{name}`"
    return refused


REFUSED = {f"{name}_": _refused(name) for name in ("squeeze", "unsqueeze", "transpose", "t")}
