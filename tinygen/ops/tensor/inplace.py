"""In-place methods: the operation is computed out of place, then `overwrite.take_over` writes its result."""

from __future__ import annotations

import inspect

import numpy as np

from tinygen import random
from tinygen.engine.dtypes import DtypeError
from tinygen.engine.errors import refusal
from tinygen.engine.sweep_ops import cast
from tinygen.engine.tensor import Tensor
from tinygen.ops import creation, sampling
from tinygen.ops.arguments import OPERAND
from tinygen.ops.declaration import example, named, operation, real
from tinygen.ops.elementwise import activation, arithmetic, functions
from tinygen.ops.elementwise.choice import clamp, clamp_max, clamp_min, masked_fill
from tinygen.ops.index import gather
from tinygen.ops.shape.reshape import expand
from tinygen.ops.tensor.conversion import as_tensor
from tinygen.ops.tensor.overwrite import in_place, take_over


def _of(out_of_place, aliases: str = ""):
    """The in-place form of an operation, with the same arguments."""
    name = f"{out_of_place.__name__}_"

    @operation(homes="Tensor", aliases=aliases, **out_of_place.takes)
    @named(name, f"`{out_of_place.__name__}`, written into input")
    def method(input, *args, **options):
        return in_place(name, out_of_place, input, *args, **options)

    method.__signature__ = inspect.signature(out_of_place)
    method.of = out_of_place
    return method


add_, pow_ = _of(arithmetic.add), _of(arithmetic.pow)
sub_, mul_, div_ = (
    _of(arithmetic.sub, "subtract_"),
    _of(arithmetic.mul, "multiply_"),
    _of(arithmetic.div, "divide_"),
)
remainder_, floor_divide_ = _of(arithmetic.remainder), _of(arithmetic.floor_divide)
neg_, abs_, sign_ = _of(arithmetic.neg, "negative_"), _of(arithmetic.abs, "absolute_"), _of(arithmetic.sign)
exp_, log_, sqrt_, rsqrt_ = map(_of, (arithmetic.exp, arithmetic.log, arithmetic.sqrt, arithmetic.rsqrt))
reciprocal_, square_ = _of(arithmetic.reciprocal), _of(arithmetic.square)
floor_, ceil_, round_ = map(_of, (functions.floor, functions.ceil, functions.round))
lerp_, addcmul_, addcdiv_ = map(_of, (functions.lerp, functions.addcmul, functions.addcdiv))
clamp_, clamp_min_, clamp_max_ = _of(clamp, "clip_"), _of(clamp_min), _of(clamp_max)
masked_fill_ = _of(masked_fill)
relu_, sigmoid_, tanh_ = map(_of, (activation.relu, activation.sigmoid, activation.tanh))
scatter_, scatter_add_ = _of(gather.scatter), _of(gather.scatter_add)
index_add_, index_copy_ = _of(gather.index_add), _of(gather.index_copy)
index_fill_, index_put_ = _of(gather.index_fill), _of(gather.index_put)


@operation(example("x.clone().copy_(src)", x=real(2, 3), src=real(3)), homes="Tensor")
def copy_(input, src, non_blocking=False):
    """Copy the values of another Tensor, which is broadcast and cast.  non_blocking has no effect."""
    return take_over(input, "copy_", expand(as_tensor(src).to(input), input.shape))


@operation(example("x.clone().fill_(value)", x=real(2, 3), value=real()), homes="Tensor")
def fill_(input, value):
    """Fill with one number"""
    if isinstance(value, Tensor):
        if value.ndim:
            raise refusal(
                "fill_",
                RuntimeError,
                f"found value {value.shape}, expected a number or a Tensor without dimensions",
            )
        return take_over(input, "fill_", expand(cast(value, dtype=input.dtype), input.shape))
    if input.dtype.kind in "iu":
        limits = np.iinfo(input.dtype)
        if not limits.min <= value <= limits.max:
            raise refusal("fill_", RuntimeError, f"the value {value} does not fit into {input.dtype}")
    return take_over(
        input, "fill_", creation.full(input.shape, value, dtype=input.dtype, device=input.device)
    )


@operation(example("x.clone().zero_()", x=real(2, 3)), homes="Tensor")
def zero_(input):
    """Fill with 0"""
    return fill_(input, 0)


@operation(example("x.clone().uniform_()", x=real(2, 3)), homes="Tensor")
def uniform_(input, a=0.0, b=1.0):
    """Fill with numbers uniform on [a, b)"""
    if not input.is_floating_point():
        raise refusal("uniform_", DtypeError, f"found dtype {input.dtype}, expected a floating dtype")
    largest = float(np.finfo(input.dtype).max)
    if not -largest <= a <= b <= largest:
        raise refusal(
            "uniform_",
            RuntimeError,
            f"found bounds a={a} and b={b}, expected a <= b, both finite in {input.dtype}",
        )
    u = creation.rand_like(input)._data
    return take_over(input, "uniform_", Tensor._wrap(random.between(a, b, u, input.dtype)))


@operation(example("x.clone().normal_()", x=real(2, 3)), homes="Tensor")
def normal_(input, mean=0.0, std=1.0):
    """Fill with N(mean, std²)"""
    return take_over(input, "normal_", mean + std * creation.randn_like(input))


@operation(example("x.clone().bernoulli_()", x=real(2, 3)), homes="Tensor", p=OPERAND)
def bernoulli_(input, p=0.5):
    """Fill with 1 with probability p, else 0; p is a number or a Tensor that broadcasts"""
    chance = p if isinstance(p, Tensor) else creation.full((), p, dtype=np.float64, device=input.device)
    drawn = sampling.bernoulli(expand(chance, input.shape))
    return take_over(input, "bernoulli_", cast(drawn, dtype=input.dtype))


def _refused(name: str):
    @named(f"{name}_", f"Refused: use `{name}`")
    def refused(input, *args, **named):
        raise refusal(
            f"{name}_",
            NotImplementedError,
            f"a Tensor does not change its shape in place; use x = x.{name}(…)",
        )

    return refused


REFUSED = {f"{name}_": _refused(name) for name in ("squeeze", "unsqueeze", "transpose", "t")}
