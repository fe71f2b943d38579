"""Every call of an operation of the stand-in, told to a capture (_graphs.py) as long as there is one.

Only the outermost call is told: `np.exp(x)` is one operation, not two.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

METHODS = """get set item tolist __bool__ __int__ __float__ __reduce__ __getitem__ __setitem__ _scatter_op fill take
    nonzero reshape transpose swapaxes squeeze ravel flatten diagonal repeat astype copy view sum prod mean max min all
    any argmax argmin cumsum cumprod argsort sort argpartition""".split()

_around = None  # the listener: (operation, proceed) -> what proceed() returns
_inside = False
_replaced: list = []  # (owner, name, function) of what `listen` has wrapped


class Operation(NamedTuple):
    name: str
    function: object
    args: tuple
    kwargs: dict


def passed(name: str, function, args: tuple, kwargs: dict):
    """Call the function; the listener is told if this is an outermost call."""
    global _inside
    if _around is None or _inside:
        return function(*args, **kwargs)
    _inside = True
    try:
        return _around(Operation(name, function, args, kwargs), functools.partial(function, *args, **kwargs))
    finally:
        _inside = False


def listen(around) -> None:
    """Tell `around` of every operation until `stop`."""
    global _around
    _around = around
    import cupyx.scipy.special

    import cupy
    from cupy import _functions

    owners = [(cupy, name) for name in _functions.__all__] + [(cupyx.scipy.special, "erf")]
    owners += [(cupy.ndarray, name) for name in METHODS]
    owners += [(cupy.ufunc, name) for name in ("__call__", "at", "reduce", "reduceat")]
    for owner, name in owners:
        function = vars(owner)[name]
        _replaced.append((owner, name, function))
        setattr(owner, name, _told(name, function))


def _told(name: str, function):
    @functools.wraps(function)
    def call(*args, **kwargs):
        return passed(name, function, args, kwargs)

    return call


def stop() -> None:
    """Put everything back."""
    global _around
    _around = None
    while _replaced:
        setattr(*_replaced.pop())
