"""Padding."""

from __future__ import annotations

import numpy as np

from tinygen import kernels
from tinygen.engine.dtypes import DtypeError, ShapeError
from tinygen.engine.errors import refusal
from tinygen.engine.primitive import primitive
from tinygen.ops.arguments import NUMBER, WORD
from tinygen.ops.declaration import example, operation, real
from tinygen.ops.shape.join import cat, narrow
from tinygen.ops.shape.reshape import copied, expand, flip


@primitive
def _pad(x, *, widths, value):
    return kernels.array_module(x).pad(x, widths, constant_values=value)


@primitive
def _unpad(x, *, widths):
    return x[tuple(slice(before, x.shape[i] - after) for i, (before, after) in enumerate(widths))]


_pad.vjp(lambda g, widths: _unpad(g, widths=widths))
_unpad.vjp(lambda g, widths: _pad(g, widths=widths, value=0))


@operation(example("F.pad(x, (1, 2))", x=real(2, 2)), homes="F", mode=WORD, value=NUMBER)
def pad(input, pad, mode="constant", value=None):
    """Add elements at the borders: pad = (left, right, top, bottom, …), last dimension first; negative widths crop

    mode   "constant": `value`, by default 0; "reflect": mirrored at the border element; "replicate": the border
           element; "circular": from the other end
    """
    pad = tuple(pad)
    if mode != "constant" and input.dtype == np.bool_:
        raise refusal("pad", DtypeError, f"found dtype bool in mode {mode!r}, expected numbers")
    if len(pad) % 2 or len(pad) > 2 * input.ndim:
        raise refusal(
            "pad",
            ShapeError,
            f"found {len(pad)} widths, expected an even number of at most {2 * input.ndim} for x {input.shape}",
        )
    unpadded = input.ndim - len(pad) // 2
    widths = [(0, 0)] * unpadded + [(pad[i], pad[i + 1]) for i in range(len(pad) - 2, -1, -2)]
    added = tuple((max(a, 0), max(b, 0)) for a, b in widths)
    taken = tuple((max(-a, 0), max(-b, 0)) for a, b in widths)
    if any(a + b > n for (a, b), n in zip(taken, input.shape)):
        raise refusal("pad", RuntimeError, f"widths {pad} crop more than there is; x {input.shape}")
    if mode != "constant" and value not in (None, 0):
        raise refusal(
            "pad", ValueError, f"found value {value} with mode {mode!r}, expected it with 'constant' only"
        )
    crops, whole = any(map(any, taken)), input
    if crops and mode in (
        "constant",
        "circular",
    ):  # PyTorch crops before padding in these modes, and afterwards in the others
        input = _unpad(input, widths=taken)
    if mode != "constant":
        input = _continued(input, added, mode)
    elif any(map(any, added)) or not crops:
        input = _pad(input, widths=added, value=0 if value is None else value)
    if crops and mode in ("reflect", "replicate"):
        input = _unpad(input, widths=taken)
    return copied(input, whole)


def _continued(x, widths, mode: str):
    """x padded with its own elements, one dimension after the other."""
    if mode not in _SIDES:
        raise refusal(
            "pad", NotImplementedError, f"found mode {mode!r}, expected 'constant', {str(list(_SIDES))[1:-1]}"
        )
    padded = sum(1 for pair in widths if any(pair))
    if x.ndim not in (2, 3, 4, 5) or padded > min(3, x.ndim - 1):
        raise refusal(
            "pad",
            NotImplementedError,
            f"found x {x.shape} and widths {widths} with mode {mode!r}, expected 2 to 5 dimensions and widths for "
            "the last 1 to 3 but not for all; use 'constant'",
        )
    side, short = _SIDES[mode]
    for dim, (before, after) in enumerate(widths):
        n = x.shape[dim]
        if not (before or after):
            continue
        if max(before, after) > n - short or not n:
            raise refusal(
                "pad",
                RuntimeError,
                f"mode {mode!r} with widths {(before, after)}, more than dimension {dim} has; x {x.shape}",
            )
        pieces = (
            [side(x, dim, before, True)] * (before > 0) + [x] + [side(x, dim, after, False)] * (after > 0)
        )
        x = cat(pieces, dim) if len(pieces) > 1 else x
    return x


def _mirrored(x, dim: int, width: int, before: bool):
    return flip(narrow(x, dim, 1 if before else x.shape[dim] - 1 - width, width), (dim,))


def _repeated(x, dim: int, width: int, before: bool):
    edge = narrow(x, dim, 0 if before else x.shape[dim] - 1, 1)
    return expand(edge, [width if d == dim else -1 for d in range(x.ndim)])


def _from_the_other_end(x, dim: int, width: int, before: bool):
    return narrow(x, dim, x.shape[dim] - width if before else 0, width)


# mode: the elements on one side, and by how much their width must stay below the size
_SIDES = {
    "reflect": (_mirrored, 1),
    "replicate": (_repeated, float("-inf")),
    "circular": (_from_the_other_end, 0),
}
