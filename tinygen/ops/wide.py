"""float16 operations that add many numbers: computed in float32 and rounded once, at the end.

Between the two casts, gradients of every order are float32, too.
"""

from __future__ import annotations

from tinygen.engine.dtypes import float16, float32
from tinygen.engine.sweep_ops import cast
from tinygen.engine.tensor import Tensor


def widened(x):
    """A float16 Tensor in float32; anything else, including None, unchanged."""
    return cast(x, dtype=float32) if isinstance(x, Tensor) and x._data.dtype == float16 else x


def narrowed(y, dtype):
    """y in `dtype`, the dtype of the input"""
    return y if y._data.dtype == dtype else cast(y, dtype=dtype)


def by_float32(operation, input, *rest, **attributes):
    """operation(input, *rest, **attributes); if input is float16, with all float16 Tensors in float32."""
    if input._data.dtype != float16:
        return operation(input, *rest, **attributes)
    return narrowed(operation(widened(input), *map(widened, rest), **attributes), float16)
