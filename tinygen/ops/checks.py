"""Checks of operands' dtypes: the same ones that PyTorch makes."""

from __future__ import annotations

import numpy as np

from tinygen.engine.dtypes import DtypeError
from tinygen.engine.errors import refusal


def floating(x):
    """x, an array in a forward, if it is floating.  Errors of a forward get the operation's name there."""
    if x.dtype.kind != "f":
        raise DtypeError(f"found dtype {x.dtype}, expected a floating dtype")
    return x


def no_bools(x):
    """x, an array in a forward, unless it holds bools"""
    if x.dtype.kind == "b":
        raise DtypeError("found dtype bool, expected numbers")
    return x


def expect_floating(operation: str, **tensors) -> None:
    for name, x in tensors.items():
        if x.dtype.kind != "f":
            raise refusal(
                operation, DtypeError, f"found {name} of dtype {x.dtype}, expected a floating dtype"
            )


def expect_one_dtype(operation: str, **tensors) -> None:
    """Refuse Tensors whose dtypes differ; None is allowed."""
    dtypes = {name: x.dtype for name, x in tensors.items() if x is not None}
    if len(set(dtypes.values())) > 1:
        found = ", ".join(f"{name} {dtype}" for name, dtype in dtypes.items())
        raise refusal(operation, DtypeError, f"expected one dtype, found {found}")


def out_of_range(places, low: int, high: int) -> bool:
    """Whether an index in an array is not one of low ... high - 1.

    False for a GPU's array: to read it, the host would wait for the GPU, in every step.  PyTorch reads none either.
    """
    if not isinstance(places, np.ndarray) or not places.size:
        return False
    return not (low <= places.min() and places.max() < high)
