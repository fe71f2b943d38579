"""Error messages for bad calls: PyTorch's type, the operation's name, what was found and what was expected."""

from __future__ import annotations

import inspect

from tinygen.engine import devices
from tinygen.engine.dtypes import DtypeError, ShapeError
from tinygen.engine.errors import refusal
from tinygen.engine.tensor import Tensor
from tinygen.face.argument_types import mismatch
from tinygen.face.describe import found_and_expected, with_article
from tinygen.face.keywords import known_keywords

_REWRITTEN = (AttributeError, TypeError, ValueError, IndexError, KeyError, RuntimeError, ArithmeticError)
_KINDS = (
    ShapeError,
    DtypeError,
    NotImplementedError,
    OverflowError,
    ZeroDivisionError,
    IndexError,
    TypeError,
    RuntimeError,
)


def check_types(function, name: str, args: tuple, kwargs: dict) -> None:
    """Refuse arguments of a wrong type, as PyTorch does; `argument_types` knows what each may be."""
    signature = inspect.signature(function)
    arguments = signature.bind(*args, **kwargs).arguments
    _check_several(name, signature, arguments, args, kwargs)
    for key, value in arguments.items():
        parameter = signature.parameters[key]
        if value is parameter.default or parameter.kind is parameter.VAR_KEYWORD:
            continue
        values = value[:1] if parameter.kind is parameter.VAR_POSITIONAL else (value,)  # as PyTorch does
        for item in values:
            expected = mismatch(function, key, item)
            if expected:
                raise refusal(
                    name,
                    TypeError,
                    f"{key} is {with_article(item)}, expected {expected}; "
                    + found_and_expected(name, signature, args, kwargs),
                )


def _check_several(
    name: str, signature: inspect.Signature, arguments: dict, args: tuple, kwargs: dict
) -> None:
    """Refuse a call without any values for `*sizes` or the like."""
    several = next((p.name for p in signature.parameters.values() if p.kind is p.VAR_POSITIONAL), None)
    if several in (None, "args") or several in arguments:  # *args takes anything
        return
    if {k for k, v in arguments.items() if v is not None} <= {"input"}:
        raise refusal(
            name, TypeError, f"found no {several}; {found_and_expected(name, signature, args, kwargs)}"
        )


def explain(function, name: str, error: Exception, args: tuple, kwargs: dict):
    """Raise the error that the caller should see.

    Returns None if `error` already is that one.  If a keyword was at fault that PyTorch has and tinygen does not need,
    returns the keywords to call again with.
    """
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as mismatch:
        known = known_keywords(name, signature, kwargs)
        if known.keys() != kwargs.keys():
            return known
        raise refusal(
            name, TypeError, f"{mismatch}; {found_and_expected(name, signature, args, kwargs)}"
        ) from None
    if devices.in_use and isinstance(error, (TypeError, ValueError, MemoryError, devices.DeviceError)):
        _explain_devices(name, error, signature.bind(*args, **kwargs).arguments)
    known = type(error).__module__.startswith(("builtins", "numpy", DtypeError.__module__))
    if not isinstance(error, _REWRITTEN) or not known:
        return None  # an error of its own type speaks for itself
    told = getattr(error, "operation", None) in (name, "backward")
    if told and not isinstance(error, (AttributeError, KeyError)):
        return None
    raise refusal(
        name,
        _kind(error),
        f"{_what(error, signature, args, kwargs)}; {found_and_expected(name, signature, args, kwargs)}",
    ) from error


def _explain_devices(name: str, error: Exception, arguments: dict) -> None:
    """Raise the right error where Tensors of two devices met, or a GPU ran out of memory."""
    if isinstance(error, MemoryError):
        raise devices.out_of_memory(name, error) from error
    found = {}
    for key, value in arguments.items():
        several = value if isinstance(value, (list, tuple)) else [value]
        for i, x in enumerate(several):
            if isinstance(x, Tensor):
                found[key if several is not value else f"{key}[{i}]"] = x
    if len({x.device for x in found.values()}) > 1:
        places = ", ".join(f"{key} {x.shape} on {x.device}" for key, x in found.items())
        raise refusal(
            name, devices.DeviceError, f"found {places}, expected one device; use x.to(device)"
        ) from error


def _kind(error: Exception) -> type:
    """The type that PyTorch would raise; some of NumPy's types cannot be constructed from a message."""
    if isinstance(error, (AttributeError, KeyError)):
        return TypeError
    return next((kind for kind in _KINDS if isinstance(error, kind)), ShapeError)


def _what(error: Exception, signature: inspect.Signature, args: tuple, kwargs: dict) -> str:
    """What went wrong.  A missing attribute usually means an argument that is not a Tensor."""
    if isinstance(error, AttributeError) and hasattr(error, "obj"):
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            if value is error.obj and name != "self" and not isinstance(value, Tensor):
                return f"{name} is a {type(value).__name__}, expected a Tensor"
    return str(error)
