"""Names that programs written for older PyTorch use: FloatTensor and the like for a dtype, Variable for a Tensor."""

from __future__ import annotations

import numpy as np

from tinygen.engine import dtypes
from tinygen.engine.errors import refusal
from tinygen.engine.tensor import Tensor
from tinygen.ops.tensor.conversion import to_array


class _TensorType(type):
    """The class of FloatTensor and the like: all Tensors of one dtype.  NumPy and `x.type(...)` read its `dtype`."""

    def __call__(cls, *data) -> Tensor:
        if len(data) == 1 and isinstance(data[0], Tensor):
            if data[0].dtype != cls.dtype:
                raise refusal(
                    cls.__name__,
                    TypeError,
                    f"found a Tensor of {data[0].dtype}, expected {cls.dtype}; use x.to(dtype)",
                )
            return data[0].detach()
        return Tensor._wrap(constructed(cls.__name__, data, cls.dtype))

    def __instancecheck__(cls, x) -> bool:
        return isinstance(x, Tensor) and x.dtype == cls.dtype


def _tensor_type(name: str, dtype) -> type:
    doc = f"{name}(2, 3) is zeros of that shape in {dtype}, {name}(list or array) a copy"
    return _TensorType(name, (), {"dtype": dtype, "__doc__": doc, "__module__": __name__})


HalfTensor = _tensor_type("HalfTensor", dtypes.float16)
FloatTensor = _tensor_type("FloatTensor", dtypes.float32)
DoubleTensor = _tensor_type("DoubleTensor", dtypes.float64)
ByteTensor = _tensor_type("ByteTensor", dtypes.uint8)
CharTensor = _tensor_type("CharTensor", dtypes.int8)
ShortTensor = _tensor_type("ShortTensor", dtypes.int16)
IntTensor = _tensor_type("IntTensor", dtypes.int32)
LongTensor = _tensor_type("LongTensor", dtypes.int64)
BoolTensor = _tensor_type("BoolTensor", dtypes.bool_)

TENSOR_TYPES = (
    HalfTensor,
    FloatTensor,
    DoubleTensor,
    ByteTensor,
    CharTensor,
    ShortTensor,
    IntTensor,
    LongTensor,
    BoolTensor,
)


class _VariableType(type):
    def __instancecheck__(cls, x) -> bool:
        return isinstance(x, Tensor)


class Variable(metaclass=_VariableType):
    """A new leaf Tensor over the memory of `data`: `data.detach().requires_grad_(requires_grad)`."""

    def __new__(cls, data: Tensor, requires_grad: bool = False, volatile: bool = False) -> Tensor:
        if not isinstance(data, Tensor):
            raise refusal("Variable", TypeError, f"found a {type(data).__name__}, expected a Tensor")
        if volatile:
            raise refusal("Variable", NotImplementedError, "volatile is not supported; use no_grad()")
        return data.detach().requires_grad_(requires_grad)


def constructed(name: str, data: tuple, dtype) -> np.ndarray:
    """The array for `name(*data)`: zeros of the given sizes, or a copy of one list or array"""
    if all(_is_whole(n) for n in data):
        if any(n < 0 for n in data):
            raise refusal(name, dtypes.ShapeError, f"found the sizes {data}, expected no negative numbers")
        return np.zeros(data or 0, dtype)
    if len(data) == 1 and isinstance(data[0], tuple) and all(_is_whole(n) for n in data[0]):
        raise refusal(
            name,
            NotImplementedError,
            f"sizes in a tuple cannot be told from values; use {name}(*size), or tensor(values)",
        )
    if len(data) != 1 or not isinstance(data[0], (list, tuple, np.ndarray, Tensor)):
        raise refusal(
            name, TypeError, "expected whole numbers as sizes, or one list or array; see tensor(data, dtype)"
        )
    return to_array(data[0], dtype)


def _is_whole(n) -> bool:
    return isinstance(n, (int, np.integer)) and not isinstance(n, bool)
