"""float16 operations that add many numbers: computed in float32 and rounded once, at their end.

Their gradients, of every order, are then float32 too between the two casts.
"""

from __future__ import annotations

from tinygen.engine.dtypes import float16, float32
from tinygen.engine.own import cast
from tinygen.engine.tensor import Tensor


def widened(x):
    """A float16 Tensor in float32; anything else, None too, as it is."""
    return cast(x, dtype=float32) if isinstance(x, Tensor) and x._data.dtype == float16 else x


def narrowed(y, dtype):
    """y in `dtype`, that of the input it was computed from"""
    return y if y._data.dtype == dtype else cast(y, dtype=dtype)


def by_float32(operation, input, *rest, **attributes):
    """operation(input, *rest, **attributes); if input is float16, with every float16 Tensor of them in float32."""
    if input._data.dtype != float16:
        return operation(input, *rest, **attributes)
    return narrowed(operation(widened(input), *map(widened, rest), **attributes), float16)
