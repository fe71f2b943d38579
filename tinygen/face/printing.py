"""How a Tensor is printed: by PyTorch's rules, `set_printoptions` included."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import inf, isfinite

import numpy as np

from tinygen.engine import dtypes
from tinygen.engine.devices import on_host
from tinygen.engine.errors import refusal
from tinygen.engine.tensor import Tensor


@dataclass
class _Options:
    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_options = _Options()
_PROFILES = {"default": {}, "short": {"precision": 2, "edgeitems": 2}, "full": {"threshold": inf}}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how Tensors are printed.  None leaves an option unchanged, but sci_mode=None lets the values decide.

    precision  digits after the point        threshold  number of elements above which a Tensor is summarized
    edgeitems  elements shown at each end    linewidth  characters per line
    profile    "default", "short" or "full", applied before the other options
    """
    if profile is not None:
        if profile not in _PROFILES:
            raise refusal(
                "set_printoptions",
                ValueError,
                f"found profile {profile!r}, expected one of {', '.join(_PROFILES)}",
            )
        vars(_options).update(asdict(_Options(**_PROFILES[profile])))
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    vars(_options).update({name: value for name, value in given.items() if value is not None})
    _options.sci_mode = sci_mode


def get_printoptions() -> dict:
    """The options as `set_printoptions` takes them."""
    return asdict(_options)


def tensor_repr(tensor: Tensor) -> str:
    """`Tensor.__repr__`"""
    facts = [f"device='{tensor.device}'"] if tensor.is_cuda else []
    if tensor.grad_fn is not None:
        facts.append(f"grad_fn={tensor.grad_fn!r}")
    elif tensor.requires_grad:
        facts.append("requires_grad=True")
    return shown(on_host(tensor._data), facts)


def shown(array: np.ndarray, facts: list[str]) -> str:
    """tensor(numbers, fact, fact); facts that do not fit go on a new line."""
    text, prefix = "tensor(", "tensor("
    text += _nested(array, len(prefix), *_style(array)) if array.size else "[]"
    obvious = (
        (dtypes.get_default_dtype(), dtypes.int64, dtypes.bool_)
        if array.size
        else (dtypes.get_default_dtype(),)
    )
    if array.dtype not in obvious:
        facts = [f"dtype={array.dtype}", *facts]
    if not array.size and array.ndim != 1:
        facts = [f"size={array.shape}", *facts]
    width = len(text) - text.rfind("\n") + 1
    for fact in facts:
        if width + len(fact) + 2 > _options.linewidth:
            text, width = f"{text},\n{' ' * len(prefix)}{fact}", len(prefix) + len(fact)
        else:
            text, width = f"{text}, {fact}", width + len(fact) + 2
    return text + ")"


def _style(array):
    """(whether to summarize, the function that formats one element), from the elements that will be shown"""
    summarized = array.size > _options.threshold
    seen = _corners(array) if summarized else array
    if array.dtype.kind != "f":
        width = max((len(str(value)) for value in seen.ravel().tolist()), default=1)
        return summarized, lambda value: str(value).rjust(width)
    finite = seen[np.isfinite(seen) & (seen != 0)].astype(np.float64)
    sizes, whole = np.abs(finite), bool((finite == np.ceil(finite)).all())
    scientific, digits, width = False, _options.precision, 1
    if finite.size:
        least, most = sizes.min(), sizes.max()
        scientific = _options.sci_mode
        if scientific is None:
            scientific = bool(most > 1000 * least or most > 1e8 or least < 1e-4)

    def plain(value: float) -> str:
        if scientific:
            return f"{value:.{digits}e}"
        if whole:
            return f"{value:.0f}." if isfinite(value) else f"{value:.0f}"
        return f"{value:.{digits}f}"

    width = max((len(plain(value)) for value in finite.tolist()), default=1)
    return summarized, lambda value: plain(value).rjust(width)


def _corners(array):
    """The elements shown in a summary: both ends of every dimension."""
    n = _options.edgeitems
    for dim, size in enumerate(array.shape):
        if size > 2 * n:
            array = np.take(array, [*range(n), *range(size - n, size)], axis=dim)
    return array


def _nested(array, indent: int, summarized: bool, write) -> str:
    if not array.ndim:
        return write(array.item())
    n, size = _options.edgeitems, len(array)
    cut = summarized and size > 2 * n
    ends = [*range(n), *range(size - n, size)] if cut else range(size)
    if array.ndim == 1:
        parts = [write(value) for value in array[list(ends)].tolist()]
        if cut:
            parts.insert(n, " ..." if n else "...")
        return _vector(parts, indent, len(write(0)) + 2)
    parts = [_nested(array[i], indent + 1, summarized, write) for i in ends]
    if cut:
        parts.insert(n, "...")
    return f"[{(',' + chr(10) * (array.ndim - 1) + ' ' * (indent + 1)).join(parts)}]"


def _vector(parts: list[str], indent: int, width: int) -> str:
    """The elements, as many per line as fit."""
    count = max(1, (_options.linewidth - indent) // width)
    lines = [", ".join(parts[i : i + count]) for i in range(0, len(parts), count)]
    return f"[{(',' + chr(10) + ' ' * (indent + 1)).join(lines)}]"
