"""How two arrays that broadcast against each other are viewed as rows, for compiled loops."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

RUN = 16  # the least number of neighbors in memory that a loop takes at once


class Layout(NamedTuple):
    """kind     "flat": both (n,); "rows": (R, C) and (Q, C), each row of Q meets R/Q consecutive rows of R;
    "numbers": (R, C) and (B,), row r of R meets the number r % B; "number": (n,) and (1,)
    swapped     whether `large`, the view of the result's shape, is the second operand
    """

    kind: str
    swapped: bool
    large: tuple
    small: tuple


@functools.lru_cache(maxsize=4096)
def layout(shape: tuple, other: tuple) -> Layout | None:
    """The views of two C-contiguous arrays with these shapes; None if there are none, as where both are repeated.

    "rows" is a bias (C,), or a condition per sample, (N, 1, C) beside (N, T, C); "numbers" one per channel, (C, 1, 1)
    beside (N, C, H, W), or one per sample.
    """
    swapped = math.prod(shape) < math.prod(other)
    if swapped:
        shape, other = other, shape
    if shape == other:
        return Layout("flat", False, (-1,), (-1,))
    if len(other) > len(shape):
        return None
    if math.prod(other) == 1:
        return Layout("number", swapped, (-1,), (-1,))
    wide = (1,) * (len(shape) - len(other)) + other
    alike = [n == m for n, m in zip(shape, wide)]
    if all(alike):  # they differ by leading ones
        return Layout("flat", swapped, (-1,), (-1,))
    if any(m != 1 and not same for m, same in zip(wide, alike)):
        return None
    start, stop = alike.index(False), len(alike) - alike[::-1].index(False)
    if all(m == 1 for m in wide[start:stop]) and math.prod(shape[stop:]) >= RUN:
        run = math.prod(shape[stop:])
        return Layout("rows", swapped, (-1, run), (-1, run))
    first = next(i for i, m in enumerate(wide) if m != 1)
    last = max(i for i, m in enumerate(wide) if m != 1) + 1
    if wide[first:last] == shape[first:last] and (run := math.prod(shape[last:])) >= RUN:
        return Layout("numbers", swapped, (-1, run), (-1,))
    return None
