"""What an argument of an operation may be: a name for error messages, and the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tinygen.engine.tensor import Tensor


class Kind(NamedTuple):
    """What an argument may be, in words, and whether a value is that."""

    words: str
    accepts: Callable


def _is_tensor(x) -> bool:
    return isinstance(x, Tensor)


def _is_int(x) -> bool:
    """A whole number or a Tensor that holds one; a bool is not one."""
    if isinstance(x, (int, np.integer)):
        return not isinstance(x, bool)
    return isinstance(x, Tensor) and x.ndim == 0 and x.dtype.kind in "iu"


def _is_number(x) -> bool:
    return isinstance(x, (int, float, np.number)) or (isinstance(x, Tensor) and x.ndim == 0)


def _is_ints(x) -> bool:
    return _is_int(x) or isinstance(x, (list, tuple)) or (isinstance(x, Tensor) and x.dtype.kind in "iu")


def _is_bool(x) -> bool:
    return isinstance(x, (bool, np.bool_))


TENSOR = Kind("a Tensor", _is_tensor)
OPTIONAL_TENSOR = Kind("a Tensor or None", lambda x: x is None or _is_tensor(x))
OPERAND = Kind("a Tensor or a number", lambda x: _is_tensor(x) or isinstance(x, (int, float, np.generic)))
TENSORS = Kind("Tensors in a list or tuple", lambda x: isinstance(x, (list, tuple)))
TENSOR_OR_TENSORS = Kind("Tensors", lambda x: _is_tensor(x) or isinstance(x, (list, tuple)))
INT = Kind("a whole number", _is_int)
INTS = Kind("whole numbers", _is_ints)
INT_OR_TENSOR = Kind("a whole number or a Tensor", lambda x: _is_int(x) or _is_tensor(x))
INTS_OR_BOOL = Kind("whole numbers", lambda x: _is_bool(x) or _is_ints(x))
INTS_OR_WORD = Kind("whole numbers, 'same' or 'valid'", lambda x: isinstance(x, str) or _is_ints(x))
INTS_OR_DTYPE = Kind("whole numbers or a dtype", lambda x: isinstance(x, (type, np.dtype)) or _is_ints(x))
NUMBER = Kind("a number", _is_number)
NUMBERS = Kind("numbers", lambda x: _is_number(x) or isinstance(x, (list, tuple)))
NUMBER_OR_WORD = Kind("a number or 'fro'", lambda x: x is None or isinstance(x, str) or _is_number(x))
BOOL = Kind("a bool", _is_bool)
WORD = Kind("a string", lambda x: isinstance(x, str))
