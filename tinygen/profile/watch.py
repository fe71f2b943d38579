"""Watch calls while a block runs: a method is replaced when the block begins and put back when it ends.

Only this costs nothing outside of such a block.  Backward needs no replaced method: it has `observer`.
"""

from __future__ import annotations

import contextlib
import functools

from tinygen.engine import primitive
from tinygen.engine.primitive import Primitive


@contextlib.contextmanager
def replaced(place, name: str, make):
    """Put make(method) in place of the method `name` of a class; afterwards the same object as before is back."""
    method = vars(place)[name]
    setattr(place, name, functools.wraps(method)(make(method)))
    try:
        yield
    finally:
        setattr(place, name, method)


def inputs_of(op: Primitive, inputs: tuple, attrs: dict) -> tuple:
    """The array inputs of a call, in order, however they were passed.  Raises TypeError for a bad call."""
    if op.variadic is None and len(inputs) != len(op.input_names):
        inputs, _ = primitive.calls.bind(op, inputs, dict(attrs))
    return inputs
