"""The dtype rule: which dtype an operation computes in.  PyTorch's promotion categories, default float32.

NumPy 1.26 and NumPy 2 promote differently from each other and both differ from PyTorch (int64 + float32 is float64
there), so tinygen never lets NumPy choose: `result_type` decides, operands are cast, then the kernel runs.
"""

from __future__ import annotations

import numbers

import numpy as np

from tinygen.engine.errors import refusal

float16 = np.dtype(np.float16)
float32 = np.dtype(np.float32)
float64 = np.dtype(np.float64)
uint8 = np.dtype(np.uint8)
int8 = np.dtype(np.int8)
int16 = np.dtype(np.int16)
int32 = np.dtype(np.int32)
int64 = np.dtype(np.int64)
bool_ = np.dtype(np.bool_)

BOOL, INTEGER, FLOATING = 0, 1, 2
_CATEGORY = {
    bool_: BOOL,
    **dict.fromkeys((uint8, int8, int16, int32, int64), INTEGER),
    **dict.fromkeys((float16, float32, float64), FLOATING),
}
_default = float32


class ShapeError(ValueError, RuntimeError):
    """Shapes or sizes that do not fit.  It is both the type NumPy raises and the one PyTorch raises."""


class DtypeError(TypeError, NotImplementedError):
    """A dtype that the operation does not accept, or operands whose dtypes differ where they must agree.

    PyTorch raises TypeError, RuntimeError or NotImplementedError (which is a RuntimeError); this is all three.
    """


def set_default_dtype(d) -> None:
    """Set the dtype of new floating tensors: float32 (at import) or float64."""
    global _default
    dtype = np.dtype(d)
    if category(dtype) != FLOATING:
        raise refusal("set_default_dtype", DtypeError, f"found {dtype}, expected a floating dtype")
    _default = dtype


def get_default_dtype() -> np.dtype:
    return _default


def category(dtype: np.dtype) -> int:
    """BOOL, INTEGER or FLOATING.  Other dtypes (complex, object, strings) are refused."""
    try:
        return _CATEGORY[dtype]
    except KeyError:
        known = ", ".join(str(d) for d in _CATEGORY)
        raise DtypeError(f"dtype {dtype} is not supported; expected one of {known}") from None


def is_floating(dtype: np.dtype) -> bool:
    return dtype.kind == "f"


def scalar_dtype(value) -> np.dtype:
    """The dtype of a Python or NumPy scalar: only its category counts, not its width."""
    if isinstance(value, (bool, np.bool_)):
        return bool_
    if isinstance(value, numbers.Integral):
        return int64
    return _default


def _promote(a: np.dtype, b: np.dtype) -> np.dtype:
    """Within a category the wider dtype, across categories the higher category's dtype."""
    ca, cb = category(a), category(b)
    if ca != cb:
        return a if ca > cb else b
    return np.promote_types(a, b)


def result_type(dimensioned: list, zero_dim: list, scalars: list) -> np.dtype:
    """Result dtype of operands in PyTorch's three classes: tensors with dimensions, 0-d tensors, plain numbers.

    A lower class changes the result only when its category is higher: an int64 tensor plus 2.5 is float32, a
    float32 tensor plus a 0-d float64 tensor stays float32.
    """
    result = None
    for dtypes in (dimensioned, zero_dim, scalars):
        if not dtypes:
            continue
        common = dtypes[0]
        for dtype in dtypes[1:]:
            common = _promote(common, dtype)
        if result is None or category(common) > category(result):
            result = common
    return result
