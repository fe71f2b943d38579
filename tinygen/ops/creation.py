"""New Tensors: constants, ranges, random numbers from `tinygen.random`'s default generator."""

from __future__ import annotations

import builtins
import math

import numpy as np

from tinygen import kernels, random
from tinygen.engine import devices, dtypes
from tinygen.engine.dtypes import DtypeError, ShapeError
from tinygen.engine.errors import refusal
from tinygen.engine.tensor import Tensor
from tinygen.ops.arguments import NUMBER
from tinygen.ops.checks import out_of_range
from tinygen.ops.declaration import example, named, operation, real, whole
from tinygen.ops.shape.reshape import sizes_of
from tinygen.ops.tensor.conversion import as_tensor


def finish(array, requires_grad: bool) -> Tensor:
    dtypes.category(array.dtype)
    result = Tensor._wrap(np.asarray(array) if isinstance(array, np.generic) else array)
    return result.requires_grad_() if requires_grad else result


def _shape(given: tuple, size, operation: str) -> tuple[int, ...]:
    if not given and size is None:
        raise refusal(operation, TypeError, "found no size, expected whole numbers")
    shape = sizes_of(given, size, operation)
    if builtins.any(n < 0 for n in shape):
        raise refusal(operation, ShapeError, f"found size {shape}, expected no negative numbers")
    return shape


@operation(example("tinygen.zeros(2, 3)"), homes="tinygen")
def zeros(*sizes, size=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Zeros of shape `size`"""
    xp = devices.module(device)
    return finish(xp.zeros(_shape(sizes, size, "zeros"), dtype or dtypes.get_default_dtype()), requires_grad)


@operation(example("tinygen.ones(2, 3)"), homes="tinygen")
def ones(*sizes, size=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Ones of shape `size`"""
    xp = devices.module(device)
    return finish(xp.ones(_shape(sizes, size, "ones"), dtype or dtypes.get_default_dtype()), requires_grad)


@operation(example("tinygen.empty(2, 3)"), homes="tinygen")
def empty(*sizes, size=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Zeros of shape `size`: uninitialized in PyTorch, but here every run has to repeat"""
    return zeros(_shape(sizes, size, "empty"), dtype=dtype, device=device, requires_grad=requires_grad)


@operation(example("tinygen.full((2, 3), 7.0)"), homes="tinygen")
def full(size, fill_value, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A Tensor of shape `size` filled with `fill_value`, by default in the dtype of the value's category"""
    xp = devices.module(device)
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    return finish(
        xp.full(_shape((size,), None, "full"), value, dtype or dtypes.scalar_dtype(value)), requires_grad
    )


@operation(example("tinygen.eye(3)"), homes="tinygen")
def eye(n, m=None, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """The identity matrix"""
    xp = devices.module(device)
    return finish(xp.eye(n, m, dtype=dtype or dtypes.get_default_dtype()), requires_grad)


@operation(example("tinygen.arange(2, 7)"), homes="tinygen", start=NUMBER, end=NUMBER)
def arange(start=0, end=None, step=1, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """start, start + step, … below `end`; int64 if all three are whole numbers"""
    xp = devices.module(device)
    if end is None:
        start, end = 0, start
    if start is None or end is None:
        raise refusal("arange", TypeError, f"found start {start} and end {end}, expected numbers")
    start, end, step = (x.item() if isinstance(x, (Tensor, np.generic)) else x for x in (start, end, step))
    if step == 0 or (end - start) * step < 0:
        raise refusal(
            "arange",
            RuntimeError,
            f"found steps of {step} from {start} to {end}, expected steps in that direction",
        )
    whole = builtins.all(isinstance(x, int) for x in (start, end, step))
    dtype = np.dtype(dtype) if dtype else (dtypes.int64 if whole else dtypes.get_default_dtype())
    count = -((start - end) // step) if whole else math.ceil((end - start) / step)
    return finish((start + step * xp.arange(count)).astype(dtype), requires_grad)


@operation(example("tinygen.linspace(0, 1, 5)"), homes="tinygen", start=NUMBER, end=NUMBER)
def linspace(start, end, steps, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """`steps` evenly spaced numbers from start to end, both included.  Computed from both ends, as in PyTorch"""
    xp = devices.module(device)
    dtype = np.dtype(dtype or dtypes.get_default_dtype())
    if steps < 2:
        return finish(xp.full(steps, start, dtype), requires_grad)
    first, last = dtype.type(start), dtype.type(end)
    step = (last - first) / dtype.type(steps - 1)
    index = xp.arange(steps)
    below = first + step * index.astype(dtype)
    above = last - step * (steps - 1 - index).astype(dtype)
    return finish(xp.where(index < steps // 2, below, above).astype(dtype), requires_grad)


def stream(device=None):
    return random.default_stream(device)


def _random_dtype(dtype, operation: str) -> np.dtype:
    dtype = np.dtype(dtype or dtypes.get_default_dtype())
    if not dtypes.is_floating(dtype):
        raise refusal(operation, DtypeError, f"found dtype {dtype}, expected a floating dtype")
    return dtype


def draw(kind: str, shape: tuple, dtype: np.dtype, device=None):
    """Random numbers, drawn on the device where they are needed"""
    if dtype != dtypes.float16:
        return getattr(stream(device), kind)(shape, dtype=dtype)
    wide = getattr(stream(device), kind)(shape, dtype=dtypes.float32)
    return random.inside(0, 1, wide, dtype) if kind == "uniform" else wide.astype(dtype)


@operation(example("tinygen.rand(2, 3)"), homes="tinygen")
def rand(*sizes, size=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Uniform on [0, 1)"""
    array = draw("uniform", _shape(sizes, size, "rand"), _random_dtype(dtype, "rand"), device)
    return finish(array, requires_grad)


@operation(example("tinygen.randn(2, 3)"), homes="tinygen")
def randn(*sizes, size=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Standard normal"""
    array = draw("normal", _shape(sizes, size, "randn"), _random_dtype(dtype, "randn"), device)
    return finish(array, requires_grad)


@operation(example("tinygen.randint(10, (2, 3))"), homes="tinygen")
def randint(low=0, high=None, size=None, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Whole numbers low..high-1, uniform: randint(high, size) or randint(low, high, size)"""
    if size is None:
        low, high, size = 0, low, high
    if size is None or low is None:
        raise refusal(
            "randint",
            TypeError,
            f"found low {low}, high {high}, size {size}, expected randint(high, size) or all three",
        )
    elif high is None:
        low, high = 0, low
    if not builtins.all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in (low, high)):
        raise refusal("randint", TypeError, f"found the range {low}..{high}, expected whole numbers")
    if high <= low:
        raise refusal("randint", RuntimeError, f"found the range {low}..{high}, expected low < high")
    dtype = np.dtype(dtype or dtypes.int64)
    if not _holds(dtype, low, high - 1):
        raise refusal("randint", RuntimeError, f"the range {low}..{high - 1} does not fit into {dtype}")
    values = stream(device).integers(low, high, _shape((size,), None, "randint"))
    values = (
        random.inside(low, high, values, dtype) if dtype.kind == "f" else values.astype(dtype, copy=False)
    )
    return finish(values, requires_grad)


def _holds(dtype: np.dtype, low: int, high: int) -> bool:
    if dtype.kind == "b":
        return 0 <= low and high <= 1
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return int(limits.min) <= low and high <= int(limits.max)


@operation(example("tinygen.randperm(5)"), homes="tinygen")
def randperm(n, *, dtype=dtypes.int64, device=None, requires_grad=False) -> Tensor:
    """The numbers 0..n-1 in random order"""
    if n < 0:
        raise refusal("randperm", ShapeError, f"found n {n}, expected no negative numbers")
    return finish(stream(device).permutation(n).astype(dtype or dtypes.int64, copy=False), requires_grad)


def _like(make):
    """`make` with the shape and dtype of a Tensor"""

    @operation(homes="tinygen")
    @named(f"{make.__name__}_like", f"`{make.__name__}` in the shape and dtype of input")
    def like(input, *, dtype=None, device=None, requires_grad=False) -> Tensor:
        dtype, device = dtype or input.dtype, device or input.device
        return make(input.shape, dtype=dtype, device=device, requires_grad=requires_grad)

    return like


zeros_like, ones_like, empty_like, rand_like, randn_like = (
    _like(make) for make in (zeros, ones, empty, rand, randn)
)


@operation(example("tinygen.full_like(x, 7.0)", x=real(2, 3)), homes="tinygen")
def full_like(input, fill_value, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """`full` with the shape and dtype of input"""
    dtype, device = dtype or input.dtype, device or input.device
    return full(input.shape, fill_value, dtype=dtype, device=device, requires_grad=requires_grad)


@operation(example("tinygen.randint_like(x, 10)", x=real(2, 3)), homes="tinygen")
def randint_like(input, low=0, high=None, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """`randint` with the shape and dtype of input: randint_like(input, high) or randint_like(input, low, high)"""
    low, high = (0, low) if high is None else (low, high)
    dtype, device = dtype or input.dtype, device or input.device
    return randint(low, high, input.shape, dtype=dtype, device=device, requires_grad=requires_grad)


@operation(example("tinygen.one_hot(x, num_classes=3)", x=whole(4)), homes="tinygen F")
def one_hot(input, num_classes=-1) -> Tensor:
    """One-hot rows of class numbers: (...) -> (..., num_classes), int64"""
    labels = as_tensor(input)._data
    if labels.dtype != np.int64:
        raise refusal("one_hot", DtypeError, f"found dtype {labels.dtype}, expected int64; use x.long()")
    if num_classes < -1 or num_classes == 0 or (num_classes == -1 and not labels.size):
        raise refusal(
            "one_hot",
            ShapeError,
            f"found num_classes {num_classes}, expected at least 1; input {labels.shape}",
        )
    count = int(labels.max()) + 1 if num_classes == -1 else num_classes
    if out_of_range(labels, 0, count):  # on a GPU: a row of zeros
        raise refusal("one_hot", ShapeError, f"found a class outside 0..{count - 1}")
    classes = kernels.array_module(labels).arange(count)
    return Tensor._wrap((labels[..., None] == classes).astype(np.int64))
