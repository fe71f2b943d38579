"""Bad calls, derived from good ones: test_wrong_calls.py runs them with both libraries.

A `Call` is a name and its arguments.  `recorded()` takes them from the case table: it gives each case a namespace that
records which function is called with which arguments.  `mutations(call)` changes one thing at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from cases import CASES

import tinygen
from tinygen import ops
from tinygen.engine.tensor import Tensor
from tinygen.nn import functional


@dataclass(frozen=True)
class Call:
    """`name` as in the case table; Tensors among the arguments are NumPy arrays."""

    name: str
    args: tuple
    kwargs: dict
    what: str = "as it is"

    def __str__(self) -> str:
        parts = [shown(a) for a in self.args] + [f"{k}={shown(a)}" for k, a in self.kwargs.items()]
        return f"{self.name}({', '.join(parts)})  [{self.what}]"


def shown(value) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}({', '.join(shown(v) for v in value)})"
    return repr(value)


def _frozen(value):
    if isinstance(value, Tensor):
        return value.detach().numpy().copy()
    if isinstance(value, (list, tuple)):
        return type(value)(_frozen(v) for v in value) if type(value) in (list, tuple) else tuple(value)
    return value


class _Recorder:
    """A namespace that records the calls of its functions, and makes them."""

    def __init__(self, namespace, prefix: str, calls: list) -> None:
        self._namespace, self._prefix, self._calls = namespace, prefix, calls

    def __getattr__(self, name: str):
        value = getattr(self._namespace, name)
        if not callable(value) or isinstance(value, type):
            return value

        def call(*args, **kwargs):
            self._calls.append(
                Call(self._prefix + name, _frozen(args), {k: _frozen(v) for k, v in kwargs.items()})
            )
            return value(*args, **kwargs)

        return call


def recorded(per_name: int = 3) -> list[Call]:
    """For every name in the case table, the first few calls with different kinds of arguments; also as methods."""
    chosen: dict[str, dict] = {}
    for case in CASES.values():
        calls: list[Call] = []
        inputs = [Tensor._wrap(a) for a in case.arrays()]
        case.call(_Recorder(tinygen, "", calls), _Recorder(functional, "F.", calls), *inputs)
        for call in calls:
            arrays = [a for a in call.args if isinstance(a, np.ndarray)]
            if not any(call.name.removeprefix("F.") in place for place in (ops.FUNCTIONS, vars(functional))):
                continue  # no_grad, manual_seed
            if not all(a.size and a.ndim for a in arrays[:1]):
                continue  # with a size other than 0 and 1, more can go wrong
            kind = (tuple(type(a) for a in call.args), tuple(call.kwargs))
            kinds = chosen.setdefault(call.name, {})
            if kind not in kinds and len(kinds) < per_name:
                kinds[kind] = call
    calls = [call for kinds in chosen.values() for call in kinds.values()]
    methods = [
        Call(f"Tensor.{c.name}", c.args, c.kwargs)
        for c in calls
        if c.name in ops.METHODS and c.args and isinstance(c.args[0], np.ndarray)
    ]
    return calls + methods


def mutations(call: Call):
    """All variations of the call with one thing changed."""
    first = 1 if call.name.startswith("Tensor.") else 0
    for n in range(first, len(call.args)):
        yield Call(call.name, call.args[:n], call.kwargs, f"without argument {n} and on")
    for key in call.kwargs:
        yield Call(call.name, call.args, {k: v for k, v in call.kwargs.items() if k != key}, f"without {key}")
    yield Call(call.name, call.args, {**call.kwargs, "nonsense": 1}, "an unknown keyword")
    yield Call(call.name, (*call.args, *["surplus"] * 9), call.kwargs, "too many arguments")
    for n, value in enumerate(call.args):
        for what, wrong in instead_of(value):
            if n >= first or isinstance(wrong, np.ndarray):
                args = (*call.args[:n], wrong, *call.args[n + 1 :])
                yield Call(call.name, args, call.kwargs, f"argument {n}: {what}")
    for key, value in call.kwargs.items():
        for what, wrong in instead_of(value):
            yield Call(call.name, call.args, {**call.kwargs, key: wrong}, f"{key}: {what}")


def instead_of(value):
    """(what was changed, the new value) for one argument."""
    if isinstance(value, np.ndarray):
        yield from _instead_of_tensor(value)
    elif isinstance(value, bool):
        yield from (("a string", "yes"), ("a float", 0.5), ("a list", [True]))
    elif isinstance(value, int):
        for wrong in (100, -100, -1, 0, 2.5, "a", None, True, [], [0, 0], (0, 100), {}):
            yield f"{wrong!r} for a number", wrong
    elif isinstance(value, float):
        for wrong in (-1.0, 2, float("nan"), "a", None, [0.5], {}):
            yield f"{wrong!r} for a float", wrong
    elif isinstance(value, str):
        for wrong in ("nonsense", None, 3, ["mean"]):
            yield f"{wrong!r} for a string", wrong
    elif isinstance(value, (list, tuple)):
        kind = type(value)
        yield from (("an empty one", kind()), ("a string", "ab"), ("a float", 1.5), ("None", None))
        if value:
            yield "one more", kind([*value, value[0]])
            yield "one less", kind(value[:-1])
            yield "the last as the first", kind([*value[:-1], value[0]])
            yield "a string in it", kind(["a", *value[1:]])
            if isinstance(value[0], int):
                yield "a large one", kind([100, *value[1:]])
                yield "a negative one", kind([-100, *value[1:]])
                yield "a float in it", kind([1.5, *value[1:]])
            if isinstance(value[0], np.ndarray):
                for what, wrong in _instead_of_tensor(value[0]):
                    yield f"{what} in it", kind([wrong, *value[1:]])


def _instead_of_tensor(x):
    for wrong in ("a", None, [1.0, 2.0], 1.5, {}):
        yield f"{wrong!r} for a Tensor", wrong
    for dtype in ("float32", "int64", "bool", "uint8"):
        if x.dtype != dtype:
            with np.errstate(invalid="ignore"):  # nan as a whole number
                wrong = np.asarray(np.abs(x).astype(dtype))
            yield f"dtype {dtype}", wrong
    yield "one dimension more", x[None]
    yield "without dimensions", x.reshape(-1)[:1].reshape(()) if x.size else x.reshape(0)
    if x.ndim > 1:
        yield "flat", x.reshape(-1)
    if x.ndim:
        yield "empty", x[:0]
        yield "one more along the first", np.concatenate([x, x[:1]])
        yield "one more along the last", np.concatenate([x, x[..., :1]], -1)
    if x.dtype.kind == "i":
        yield "100 in it", x + 100
        yield "-100 in it", x - 100
