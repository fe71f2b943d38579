"""Arguments and calls in a few words, for error messages."""

from __future__ import annotations

import inspect

import numpy as np

from tinygen.engine.tensor import Tensor


def described(value) -> str:
    """An argument in a few words: a Tensor by dtype and shape, a number by its value."""
    if isinstance(value, (Tensor, np.ndarray)):
        place = f" on {value.device}" if isinstance(value, Tensor) and value.is_cuda else ""
        return f"{type(value).__name__} {value.dtype} {tuple(value.shape)}{place}"
    if isinstance(value, (list, tuple)) and any(isinstance(v, Tensor) for v in value):
        return f"{type(value).__name__} of {', '.join(described(v) for v in value)}"
    if value is None or isinstance(value, (bool, int, float, str, list, tuple, np.generic, np.dtype)):
        text = repr(value)
        return text if len(text) < 60 else f"{type(value).__name__} {text[:50]}…"
    return type(value).__name__


def with_article(value) -> str:
    """None, or "a" and the type's name."""
    return "None" if value is None else f"a {type(value).__name__}"


def found_and_expected(name: str, signature: inspect.Signature, args: tuple, kwargs: dict) -> str:
    """The call that was made, and how the function is called."""
    args = args[1:] if "self" in signature.parameters else args
    found = [described(a) for a in args] + [f"{key}={described(a)}" for key, a in kwargs.items()]
    parameters = [
        p.replace(annotation=inspect.Parameter.empty)
        for n, p in signature.parameters.items()
        if n != "self" and not n.startswith("_")
    ]
    expected = signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty)
    return f"found {name}({', '.join(found)}), expected {name}{expected}"
