"""A kernel: a named list of variants, slow to fast.  The array's type picks the list, the last usable one runs."""

from __future__ import annotations

import functools
from contextlib import contextmanager

import numpy as np

_registry: dict[str, Kernel] = {}
_forced: dict[str, str] = {}


def array_module(x):
    """numpy for numpy arrays, cupy for cupy arrays: the `xp` of the kernels."""
    if isinstance(x, (np.ndarray, np.generic)):
        return np
    import cupy

    return cupy.get_array_module(x)


def device_of(x) -> str:
    """'cpu' or 'cuda': the device an array lives on."""
    return "cpu" if isinstance(x, np.ndarray) else "cuda"


class Kernel:
    """One operation on arrays under one name, with its ladder of variants for each device.

    The first variant is the `reference`: a few lines that say what the operation means; it takes arrays of every
    device.  Later ones are faster and may refuse arguments through `usable`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.ladder: dict[str, list] = {"cpu": [], "cuda": []}
        self.__doc__ = None
        _registry[name] = self

    def variant(self, name: str, *, devices=("cpu",), usable=None):
        """Register the next, faster variant.  `usable(*args, **attrs)` says whether it takes these arguments."""

        def register(function):
            for device in devices:
                self.ladder[device].append((name, function, usable))
            self.__doc__ = self.__doc__ or function.__doc__
            return function

        return register

    def reference(self, function):
        """Register the definition: the first variant, for arrays of any device."""
        return self.variant("reference", devices=("cpu", "cuda"))(function)

    def __call__(self, *args, **attrs):
        ladder = self.ladder["cpu" if isinstance(args[0], np.ndarray) else "cuda"]
        if _forced and self.name in _forced:
            return self._force(ladder)(*args, **attrs)
        for _, function, usable in reversed(ladder):
            if usable is None or usable(*args, **attrs):
                return function(*args, **attrs)
        raise ValueError(f"{self.name}: none of its variants takes these arguments")

    def _force(self, ladder):
        wanted = _forced[self.name]
        for name, function, _ in ladder:
            if name == wanted:
                return function
        raise ValueError(f"{self.name}: no variant {wanted!r} here; known: {', '.join(v[0] for v in ladder)}")


def registry() -> dict[str, dict[str, list[str]]]:
    """Every kernel with the names of its variants per device, slow to fast."""
    return {
        name: {device: [v[0] for v in ladder] for device, ladder in kernel.ladder.items() if ladder}
        for name, kernel in sorted(_registry.items())
    }


@contextmanager
def use(**variants: str):
    """Force variants by name, `with kernels.use(matmul="tiled"):` — for tests, benchmarks and readers."""
    for name, variant in variants.items():
        if name not in _registry:
            raise ValueError(f"use: no kernel {name!r}; known: {', '.join(sorted(_registry))}")
        known = {v[0] for ladder in _registry[name].ladder.values() for v in ladder}
        if variant not in known:
            raise ValueError(f"use: {name} has no variant {variant!r}; known: {', '.join(sorted(known))}")
    before = dict(_forced)
    _forced.update(variants)
    try:
        yield
    finally:
        _forced.clear()
        _forced.update(before)


@contextmanager
def trace():
    """A list that grows by (kernel, variant) with every kernel called inside.  Outside, a call costs nothing extra."""
    calls: list[tuple[str, str]] = []

    def recorded(kernel: str, variant: str, function):
        @functools.wraps(function)
        def call(*args, **attrs):
            calls.append((kernel, variant))
            return function(*args, **attrs)

        return call

    before = {kernel: kernel.ladder for kernel in _registry.values()}
    for kernel, ladder in before.items():
        kernel.ladder = {
            device: [(variant, recorded(kernel.name, variant, f), usable) for variant, f, usable in variants]
            for device, variants in ladder.items()
        }
    try:
        yield calls
    finally:
        for kernel, ladder in before.items():
            kernel.ladder = ladder
