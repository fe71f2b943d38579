"""Elements added at the borders."""

from __future__ import annotations

from tinygen import kernels
from tinygen.dtypes import ShapeError
from tinygen.primitive import primitive


@primitive
def _pad(x, *, widths, value):
    return kernels.array_module(x).pad(x, widths, constant_values=value)


@primitive
def _unpad(x, *, widths):
    return x[tuple(slice(before, x.shape[i] - after) for i, (before, after) in enumerate(widths))]


_pad.vjp(lambda g, widths: _unpad(g, widths=widths))
_unpad.vjp(lambda g, widths: _pad(g, widths=widths, value=0))


def pad(input, pad, mode="constant", value=None):
    """Add elements at the borders: pad = (left, right, top, bottom, …), the last dimension first; negative crops"""
    if mode != "constant":
        raise NotImplementedError(f"pad: mode {mode!r} is not supported so far; use 'constant'")
    if len(pad) % 2 or len(pad) > 2 * input.ndim:
        raise ShapeError(
            f"pad: found {len(pad)} widths, expected an even number of at most {2 * input.ndim} for x {input.shape}"
        )
    widths = [(0, 0)] * (input.ndim - len(pad) // 2) + [
        (pad[i], pad[i + 1]) for i in range(len(pad) - 2, -1, -2)
    ]
    if any(w < 0 for pair in widths for w in pair):
        input = _unpad(input, widths=tuple((max(-a, 0), max(-b, 0)) for a, b in widths))
        widths = [(max(a, 0), max(b, 0)) for a, b in widths]
    return _pad(input, widths=tuple(widths), value=0 if value is None else value)
