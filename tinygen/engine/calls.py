"""Calls of a Primitive that are not simply one Tensor per input, and calls that fail.

This is the minimum.  `tinygen/face/primitive_calls.py` replaces it with one that accepts PyTorch's keywords and
explains errors.
"""

from __future__ import annotations

import numpy as np

from tinygen.engine import devices
from tinygen.engine.dtypes import DtypeError
from tinygen.engine.errors import refusal
from tinygen.engine.tensor import Tensor


class Calls:
    """`op` is the Primitive that is called."""

    def bind(self, op, inputs: tuple, attrs: dict):
        """(inputs, plain values) as Python binds them; plain values may follow the inputs by position."""
        count = len(op.input_names)
        attrs = {**dict(zip(op.attr_names, inputs[count:])), **attrs}
        bound = op.__signature__.bind(*inputs[:count], **attrs)
        bound.apply_defaults()
        return bound.args, bound.kwargs

    def operand(self, op, i: int, x):
        """Input i, which is not a Tensor, as a plain number, or None if it is optional and absent."""
        if isinstance(x, np.generic):
            return x.item()
        if x is None or isinstance(x, (bool, int, float)):
            return x
        raise refusal(op.name, TypeError, f"found a {type(x).__name__}, expected a Tensor or a number")

    def dtypes_differ(self, op, inputs) -> Exception:
        return refusal(op.name, DtypeError, "expected Tensors of one dtype")

    def on_one_device(self, op, inputs, arrays, attrs) -> list:
        """The arrays; on a GPU with numbers as NumPy scalars, which cupy accepts beside its arrays."""
        known = [*arrays, *(v._data for v in attrs.values() if isinstance(v, Tensor))]
        if all(a is None or isinstance(a, devices.HOST) for a in known):
            return arrays
        return [a[()] if isinstance(a, np.ndarray) and not a.ndim else a for a in arrays]

    def explain(self, op, error: Exception, inputs, values) -> None:
        """Raise a better error than the one the forward raised, if there is one."""
