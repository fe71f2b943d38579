"""Both gradients of a product in one pass over memory."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.elementwise.layouts import layout
from tinygen.kernels.elementwise.reference import multiply_grad
from tinygen.kernels.elementwise.threads import one_dtype
from tinygen.kernels.runtime.rounding import ceil_div

SMALL = 4096  # elements; up to here NumPy is done before numba could be imported
ROWS = 128  # rows whose products are added one after another
PART = 1 << 14  # elements that one thread multiplies and adds up at a time


def _usable(g, x, other, x_shape, other_shape, needs) -> bool:
    """The smaller operand's gradient is wanted, which is a sum: two products are as fast one after the other."""
    if g.size <= SMALL or x_shape == other_shape or x_shape is None or other_shape is None:
        return False  # nothing to sum; a number has no shape
    form = layout(x_shape, other_shape)
    if form is None or form.kind == "flat" or not needs[0 if form.swapped else 1]:
        return False
    large, small, shape = (other, x, other_shape) if form.swapped else (x, other, x_shape)
    return g.shape == shape and one_dtype(g, large) and (small is None or small.dtype == g.dtype)


@multiply_grad.variant("one_pass", usable=_usable)
def multiply_grad_one_pass(g, x, other, x_shape, other_shape, needs):
    """One pass where the reference makes two and a third that sums: reads g and x, writes gx, adds up Σ g x.

    Sums are cut into fixed pieces, so that the result does not depend on the number of threads.
    """
    form = layout(x_shape, other_shape)
    large, small = (other, x) if form.swapped else (x, other)
    both = all(needs)
    glarge = np.empty(g.shape, g.dtype) if both else None
    gsmall = np.empty(x_shape if form.swapped else other_shape, g.dtype)
    flat = [a if a is None else a.reshape(form.large) for a in (g, large, glarge)]
    small = None if small is None else np.ascontiguousarray(small).reshape(form.small)
    _SUMS[form.kind](*flat, small, gsmall.reshape(form.small))
    return (gsmall, glarge) if form.swapped else (glarge, gsmall)


def _rows(g, x, gx, other, gother) -> None:
    from tinygen.kernels.elementwise import gradient_loops as loops

    blocks = ceil_div(len(g) // len(gother), ROWS)
    parts = gother[:, None] if blocks == 1 else np.empty((len(gother), blocks, g.shape[1]), g.dtype)
    if gx is None:
        loops.products_of_rows(g, x, ROWS, parts)
    else:
        loops.multiply_grad_rows(g, x, other, ROWS, gx, parts)
    if blocks > 1:
        gother[:] = parts.sum(axis=1, dtype=np.float64)


def _numbers(g, x, gx, other, gother) -> None:
    from tinygen.kernels.elementwise import gradient_loops as loops

    totals = np.empty(len(g))
    if gx is None:
        loops.products_of_numbers(g, x, totals)
    else:
        loops.multiply_grad_numbers(g, x, other, gx, totals)
    gother[:] = totals.reshape(-1, len(gother)).sum(axis=0)


def _number(g, x, gx, other, gother) -> None:
    """In pieces of PART elements, of which each is a row"""
    whole = len(g) // PART * PART
    total = np.zeros(1)
    for own, shape in ((slice(whole), (-1, PART)), (slice(whole, None), (1, -1))):
        if g[own].size:
            part = np.empty(1)
            arrays = [a if a is None else a[own].reshape(shape) for a in (g, x, gx)]
            _numbers(*arrays, other, part)
            total += part
    gother[:] = total


_SUMS = {"rows": _rows, "numbers": _numbers, "number": _number}
