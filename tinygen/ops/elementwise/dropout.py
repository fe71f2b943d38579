"""Dropout: random zeros in training, so that no unit can rely on another  (Srivastava et al. 2014, JMLR 15)."""

from __future__ import annotations

import numpy as np

from tinygen import random
from tinygen.engine.dtypes import DtypeError, ShapeError
from tinygen.engine.errors import refusal
from tinygen.engine.tensor import Tensor
from tinygen.ops.declaration import operation
from tinygen.ops.elementwise.arithmetic import mul
from tinygen.ops.tensor.device import beside
from tinygen.ops.tensor.overwrite import in_place


@operation(homes="tinygen F")
def dropout(input, p=0.5, training=True, inplace=False):
    """In training, zero each element with probability p and scale the others by 1 / (1 - p).  shape -> shape

    The mask comes from `tinygen.random`'s default generator.  inplace writes the result into input.
    """
    return _dropout("dropout", input, p, training, inplace, input.shape)


@operation(homes="F")
def dropout2d(input, p=0.5, training=True, inplace=False):
    """`dropout` of whole channels  (Tompson et al. 2014, arXiv 1411.4280).  (N, C, …) -> (N, C, …)

    inplace writes the result into input.
    """
    if input.ndim < 2:
        raise refusal("dropout2d", ShapeError, f"found input {input.shape}, expected (N, C, …)")
    return _dropout("dropout2d", input, p, training, inplace, input.shape[:2] + (1,) * (input.ndim - 2))


def _dropout(operation: str, input, p: float, training: bool, inplace: bool, shape: tuple):
    if not 0 <= p <= 1:
        raise refusal(operation, ValueError, f"found p={p}, expected a probability")
    if not training or p == 0 or input.numel() == 0:
        return input
    if not input.is_floating_point():
        raise refusal(operation, DtypeError, f"found dtype {input.dtype}, expected a floating dtype")
    if p == 1:
        factor = beside(input, np.zeros(shape, input.dtype))
    else:
        kept = random.default_stream(input.device).uniform(shape) >= np.float32(p)
        with np.errstate(over="ignore"):
            scale = input.dtype.type(1 / (1 - p))
        factor = kept * scale if np.isfinite(scale) else np.where(kept, scale, scale.dtype.type(0))
        factor = Tensor._wrap(factor)
    return in_place(operation, mul, input, factor) if inplace else input * factor
