"""A kernel: a named list of variants, slow to fast.  The array's type picks the list, the last usable one runs."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

_registry: dict[str, Kernel] = {}
_used = False  # whether anything was ever forced

# Where a variant for the GPU can also run on numpy arrays: a .cu source compiled for this CPU, a numba kernel in
# numba's simulator.
PLACES = ("host", "simulator")
THREAD_ORDERS = ("forward", "reverse", "random")


class Forced(NamedTuple):
    """What `use` asks of one kernel."""

    variant: str
    on: str | None = None
    order: str = "forward"
    checked: bool = False


class _Here(threading.local):
    """Of this thread: the forced call with on=... that is running, and what its `use` asks for."""

    forced: Forced | None = None
    wanted: dict[str, Forced] = {}  # noqa: RUF012  never written to, but replaced


_here = _Here()
_tracing = threading.RLock()  # held by the `trace` that is recording: it swaps ladders that all would share


def forced_here() -> Forced | None:
    """What `use(..., on=)` asked of the kernel that is running, for what it launches."""
    return _here.forced


def array_module(x):
    """numpy for numpy arrays, cupy for cupy arrays: the `xp` of the kernels."""
    if isinstance(x, (np.ndarray, np.generic)):
        return np
    import cupy

    return cupy.get_array_module(x)


def device_of(x) -> str:
    """'cpu' or 'cuda': the device an array lives on."""
    return "cpu" if isinstance(x, (np.ndarray, np.generic)) else "cuda"


def for_readers(*args, **attrs) -> bool:
    """The `usable` of a variant that is there to be read: it runs only under `use`, in tests and benchmarks."""
    return False


@functools.cache
def load_gpu_variants() -> None:
    """Import every operation's `numba_cuda` and `cuda`, which register variants: once, when one may be needed.

    Those of numba come first in the ladder: they are for readers.
    """
    folder = Path(__file__).parents[1]
    operations = [
        m.name for m in pkgutil.iter_modules([str(folder)]) if m.name not in ("runtime", "hostcuda")
    ]
    for file in ("numba_cuda", "cuda"):
        for operation in operations:
            if (folder / operation / f"{file}.py").exists():
                importlib.import_module(f"tinygen.kernels.{operation}.{file}")


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

    def variant(self, name: str, *, devices=("cpu",), usable=None, on: str | None = None):
        """Register the next, faster variant.  `usable(*args, **attrs)` says whether it takes these arguments.

        on="host" or "simulator": it is written for the GPU and takes numpy arrays there too, under `use(..., on=)`.
        """

        def register(function):
            if on:
                function.on = on
            for device in devices:
                self.ladder[device].append((name, function, usable))
            self.__doc__ = self.__doc__ or function.__doc__
            return function

        return register

    def reference(self, function):
        """Register the definition: the first variant, for arrays of any device."""
        return self.variant("reference", devices=("cpu", "cuda"))(function)

    def __repr__(self) -> str:
        ladders = (
            f"{device}: {', '.join(v[0] for v in ladder)}" for device, ladder in self.ladder.items() if ladder
        )
        return f"<kernel {self.name}; {'; '.join(ladders)}>"

    def __reduce__(self):
        return kernel_of_name, (self.name,)  # there is one of a name: a copy is itself

    def __call__(self, *args, **attrs):
        first = _first(args[0])
        array_of_cpu = isinstance(first, np.ndarray)
        device = "cpu" if array_of_cpu else device_of(first)
        if _used and self.name in _here.wanted:
            return self._run_forced(_here.wanted[self.name], device, args, attrs)
        if device == "cuda":
            load_gpu_variants()
        elif not array_of_cpu:  # a NumPy scalar: nothing to be fast about
            return self.ladder["cpu"][0][1](*args, **attrs)
        for _, function, usable in reversed(self.ladder[device]):
            if usable is None or usable(*args, **attrs):
                return function(*args, **attrs)
        raise ValueError(f"{self.name}: none of its variants takes these arguments")

    def _run_forced(self, forced: Forced, device: str, args, attrs):
        if forced.on and device != "cpu":
            raise TypeError(
                f"{self.name}: use(..., on={forced.on!r}) runs on numpy arrays, got {type(args[0]).__name__}"
            )
        ladder = self.ladder["cuda" if forced.on else device]
        function = next((f for name, f, _ in ladder if name == forced.variant), None)
        if function is None:
            known = ", ".join(v[0] for v in ladder)
            raise ValueError(f"{self.name}: no variant {forced.variant!r} here; known: {known}")
        if not forced.on:
            return function(*args, **attrs)
        outside, _here.forced = _here.forced, forced
        try:
            return function(*args, **attrs)
        finally:
            _here.forced = outside

    def variants_on(self, place: str) -> list[str]:
        """The GPU variants that `use(..., on=place)` can run on numpy arrays."""
        load_gpu_variants()
        return [name for name, function, _ in self.ladder["cuda"] if getattr(function, "on", None) == place]


def kernel_of_name(name: str) -> Kernel:
    return _registry[name]


def _first(x):
    """The first array of a list of them, as the kernels take that update all parameters at once."""
    return x[0] if type(x) is list else x


def registry() -> dict[str, dict[str, list[str]]]:
    """Every kernel with the names of its variants per device, slow to fast; at "host" and "simulator" those of "cuda"
    that also run there (`use(..., on=)`)."""
    load_gpu_variants()
    found = {}
    for name, kernel in sorted(_registry.items()):
        places = {device: [v[0] for v in ladder] for device, ladder in kernel.ladder.items()}
        places |= {place: kernel.variants_on(place) for place in PLACES}
        found[name] = {place: variants for place, variants in places.items() if variants}
    return found


@contextmanager
def use(*, on: str | None = None, order: str = "forward", checked: bool = False, **variants: str):
    """Force variants by name in this thread, `with kernels.use(matmul="tiled"):` — for tests, benchmarks and readers.

    on="host" runs variants written in CUDA C++ on numpy arrays, without a GPU: the same source, compiled by g++, each
    CUDA thread a fiber (`kernels/hostcuda`).  on="simulator" does so for those written with numba.cuda.
    order="forward", "reverse" or "random": in which order the threads take turns on the host.  A result that depends
    on it is a race, most often a missing barrier.  checked=True has every load and store on the host looked at.
    """
    if on not in (None, *PLACES):
        raise ValueError(f"use: on={on!r}; known: {', '.join(PLACES)}")
    if order not in THREAD_ORDERS:
        raise ValueError(f"use: order={order!r}; known: {', '.join(THREAD_ORDERS)}")
    load_gpu_variants()
    for name, variant in variants.items():
        if name not in _registry:
            raise ValueError(f"use: no kernel {name!r}; known: {', '.join(sorted(_registry))}")
        kernel = _registry[name]
        known = set(kernel.variants_on(on)) if on else {v[0] for l in kernel.ladder.values() for v in l}
        if variant not in known:
            where = f" for on={on!r}" if on else ""
            raise ValueError(
                f"use: {name} has no variant {variant!r}{where}; known: {', '.join(sorted(known)) or 'none'}"
            )
    global _used
    _used, outside = True, _here.wanted
    _here.wanted = outside | {name: Forced(variant, on, order, checked) for name, variant in variants.items()}
    try:
        yield
    finally:
        _here.wanted = outside


@contextmanager
def trace():
    """A list that grows by (kernel, variant) with every kernel called inside.  Outside, a call costs nothing extra."""
    calls: list[tuple[str, str]] = []
    load_gpu_variants()

    def recorded(kernel: str, variant: str, function):
        @functools.wraps(function)
        def call(*args, **attrs):
            calls.append((kernel, variant))
            return function(*args, **attrs)

        return call

    with _tracing:
        before = {kernel: kernel.ladder for kernel in _registry.values()}
        for kernel, ladder in before.items():
            kernel.ladder = {
                device: [
                    (variant, recorded(kernel.name, variant, f), usable) for variant, f, usable in variants
                ]
                for device, variants in ladder.items()
            }
        try:
            yield calls
        finally:
            for kernel, ladder in before.items():
                kernel.ladder = ladder
