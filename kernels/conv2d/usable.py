"""What all the compiled convolutions ask of their arguments."""

from __future__ import annotations


def loops_apply(a, b, padding) -> bool:
    """Two non-empty arrays of one dtype, float32 or float64, and no negative padding."""
    return (
        a.dtype == b.dtype
        and a.dtype.char in "fd"
        and a.size > 0
        and b.size > 0
        and min(map(min, padding)) >= 0
    )
