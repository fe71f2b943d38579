"""Calls of a Primitive with PyTorch's conventions, and error messages for bad calls.

Nothing here runs for a good call with one Tensor for each input (`tinygen/engine/primitive.py`).
"""

from __future__ import annotations

import itertools

import numpy as np

from tinygen.engine import devices, primitive
from tinygen.engine.calls import Calls
from tinygen.engine.devices import CUDA, DeviceError
from tinygen.engine.dtypes import DtypeError, ShapeError
from tinygen.engine.errors import refusal
from tinygen.engine.primitive import Primitive
from tinygen.engine.tensor import Tensor
from tinygen.face.keywords import ELSEWHERE, refuse_elsewhere

# errors of a forward that get a better message, and the type to raise: NumPy's own cannot be constructed from a message
KINDS = {
    ValueError: ShapeError,
    DtypeError: DtypeError,
    IndexError: IndexError,
    TypeError: TypeError,
    OverflowError: OverflowError,
    ZeroDivisionError: ZeroDivisionError,
}


def install() -> None:
    """Let Primitives explain their errors and accept PyTorch's keywords."""
    primitive.calls = ExplainedCalls()


class ExplainedCalls(Calls):
    def bind(self, op: Primitive, inputs: tuple, attrs: dict):
        """Bind arguments as Python does: surplus positional ones are attributes, then keywords and defaults."""
        count = len(op.input_names)
        if len(inputs) > count:
            surplus = inputs[count:]
            if len(surplus) > len(op.attr_names):
                raise refusal(op.name, TypeError, f"found {len(inputs)} arguments, expected {_expected(op)}")
            for name, value in zip(op.attr_names, surplus):
                if name in attrs:
                    raise refusal(op.name, TypeError, f"found {name} twice, expected {_expected(op)}")
                attrs[name] = value
            inputs = inputs[:count]
        elif len(inputs) < count:
            inputs = list(inputs)
            for name in op.input_names[len(inputs) :]:
                shown = _shown(name)
                if name not in attrs and shown not in attrs and name not in op.optional:
                    raise refusal(op.name, TypeError, f"missing argument {shown!r}; expected {_expected(op)}")
                inputs.append(attrs.pop(shown if shown in attrs else name, None))
        for name in [name for name in attrs if name in ELSEWHERE and name not in op.attr_names]:
            refuse_elsewhere(op.name, name, attrs.pop(name))
        attrs = {**op.attr_defaults, **attrs}
        if len(attrs) != len(op.attr_names):
            unknown = [name for name in attrs if name not in op.attr_names]
            missing = [name for name in op.attr_names if name not in attrs]
            what = f"unknown argument {unknown[0]!r}" if unknown else f"missing argument {missing[0]!r}"
            raise refusal(op.name, TypeError, f"{what}; expected {_expected(op)}")
        return inputs, attrs

    def operand(self, op: Primitive, i: int, x):
        name = op.variadic or op.input_names[i]
        if x is None and name in op.optional:
            return None
        shown = f"{name}[{i}]" if op.variadic else _shown(name)
        if name in op.tensors:
            raise refusal(op.name, TypeError, f"{shown} is a {type(x).__name__}, expected a Tensor")
        if isinstance(x, np.generic):
            return x.item()
        if isinstance(x, (bool, int, float)):
            return x
        raise refusal(op.name, TypeError, f"{shown} is a {type(x).__name__}, expected a Tensor or a number")

    def dtypes_differ(self, op: Primitive, inputs) -> Exception:
        found = ", ".join(
            f"{name} {x._data.dtype if isinstance(x, Tensor) else type(x).__name__}"
            for name, x in zip(_names(op), inputs)
            if x is not None
        )
        return refusal(op.name, DtypeError, f"expected Tensors of one dtype, found {found}")

    def on_one_device(self, op: Primitive, inputs, arrays, attrs) -> list:
        """Refuse Tensors on two devices.  As in PyTorch, a 0-d Tensor on the CPU may meet Tensors on a GPU."""
        if all(a is None or isinstance(a, devices.HOST) for a in arrays) and not any(
            isinstance(v, Tensor) and v.is_cuda for v in attrs.values()
        ):
            return arrays
        told = [*zip(_names(op), inputs), *attrs.items()]
        found = [(name, x) for name, x in told if isinstance(x, Tensor)]
        if any(not x.is_cuda and (x.ndim or x._requires_grad) for _, x in found):
            described = ", ".join(f"{name} {x.shape} on {x.device}" for name, x in found)
            raise refusal(op.name, DeviceError, f"found {described}, expected one device; use x.to('{CUDA}')")
        return super().on_one_device(op, inputs, arrays, attrs)

    def explain(self, op: Primitive, error: Exception, inputs, values) -> None:
        """Raise the same error with the operation's name and every operand's shape."""
        shapes = ", ".join(
            f"{name} {x.shape if isinstance(x, Tensor) else x!r}"
            for name, x in zip(_names(op), inputs)
            if x is not None
        )
        if isinstance(error, MemoryError):
            known = devices.out_of_memory(op.name, error, shapes)
            if known is not error:
                raise known from error
        kind = next((KINDS[known] for known in KINDS if isinstance(error, known)), None)
        if kind is TypeError:
            if devices.in_use and _on_two_devices(inputs, values):
                raise refusal(
                    op.name, DeviceError, f"found arrays on cpu and {CUDA}, expected one device; {shapes}"
                ) from error
            kind = DtypeError if _is_of_dtypes(op, inputs) else TypeError
        if kind is not None:
            raise refusal(op.name, kind, f"{error}; {shapes}") from error


def _expected(op: Primitive) -> str:
    return f"{op.name}{op.__signature__}"


def _shown(name: str) -> str:
    """PyTorch's name of an input"""
    return "input" if name == "x" else name


def _names(op: Primitive):
    return op.input_names if op.variadic is None else (f"{op.variadic}[{i}]" for i in itertools.count())


def _on_two_devices(inputs, values) -> bool:
    """Whether a forward got arrays of both the CPU and a GPU."""
    found, pending = set(), [*inputs, *values.values()]
    while pending:
        x = pending.pop()
        if isinstance(x, (tuple, list)):
            pending.extend(x)
        elif isinstance(x, Tensor) or devices.is_array(x):
            array = x._data if isinstance(x, Tensor) else x
            if array.ndim:
                found.add(devices.of(array))
    return len(found) > 1


def _is_of_dtypes(op: Primitive, inputs) -> bool:
    """Whether a TypeError of the forward is about dtypes.

    Of arrays, only dtypes raise it; plain values may be the reason, too, if the operation takes any.
    """
    if not op.attr_names:
        return True
    return any(isinstance(x, Tensor) and not x.is_floating_point() for x in inputs)
