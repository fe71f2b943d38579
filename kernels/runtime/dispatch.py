"""Kernels: named lists of variants, slow to fast.  The array's type picks the list; the last usable variant runs."""

from __future__ import annotations

import functools
import importlib
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinygen.kernels.runtime import cuda_device
from tinygen.kernels.runtime.lazy_import import interrupts_wait

_registry: dict[str, Kernel] = {}
_used = False  # whether `use` was ever called

# Where a GPU variant can run on numpy arrays: CUDA C++ compiled for this CPU, and numba.cuda in numba's simulator.
PLACES = ("host", "simulator")
THREAD_ORDERS = ("forward", "reverse", "random")


class Forced(NamedTuple):
    """What `use` asks for one kernel."""

    variant: str
    on: str | None = None
    order: str = "forward"
    checked: bool = False


class _Here(threading.local):
    """Per thread: the forced call with on=... that is running, and what `use` asks for."""

    forced: Forced | None = None
    wanted: dict[str, Forced] = {}  # noqa: RUF012  replaced, never modified


_here = _Here()
_tracing = (
    threading.RLock()
)  # held while `trace` records, because it swaps the ladders that all threads share


def forced_here() -> Forced | None:
    """What `use(..., on=)` asked for the running kernel; `CudaSource.launch` obeys it."""
    return _here.forced


def array_module(x):
    """The module of an array, numpy or cupy: the `xp` of the kernels."""
    if isinstance(x, (np.ndarray, np.generic)):
        return np
    import cupy

    return cupy.get_array_module(x)


def device_of(x) -> str:
    """The device of an array: 'cpu' or 'cuda'."""
    return "cpu" if isinstance(x, (np.ndarray, np.generic)) else "cuda"


def for_readers(*args, **attrs) -> bool:
    """The `usable` of a variant that is there to be read.  It runs only under `use`, in tests and benchmarks."""
    return False


def load_cpu_variants(folder: str, before: str | None = None) -> None:
    """Import the files of an operation's folder that register CPU variants: those in its `VARIANTS`, in that order.

    before: only those that come before this file; none if it is not among them.
    """
    files = getattr(sys.modules.get(folder), "VARIANTS", ())
    if before is not None:
        files = files[: files.index(before)] if before in files else ()
    if files:
        with interrupts_wait():
            for file in files:
                importlib.import_module(f"{folder}.{file}")


@functools.cache
def load_gpu_variants() -> None:
    """Import the `numba_cuda` and `cuda` of every operation, which register their variants; done once, on first need.

    numba's variants come first in the ladder: they are there to be read.
    """
    for kernel in list(_registry.values()):
        kernel.ladder  # noqa: B018  a CPU variant that also takes cupy's arrays is a lower rung
    for file in ("numba_cuda", "cuda"):
        for path in sorted(Path(__file__).parents[1].glob(f"*/{file}.py")):
            if path.parent.name != "runtime":
                importlib.import_module(f"tinygen.kernels.{path.parent.name}.{file}")


class Kernel:
    """One operation on arrays under one name, with a ladder of variants for each device.

    The first variant is the `reference`: a few lines that define the operation, for arrays of any device.  Later ones
    are faster, and `usable` says which arguments they take.  Those for the CPU are imported when `ladder` is first
    looked at, which the first call does.
    """

    ladder: dict[str, list]  # device -> (name, function, usable) of each variant

    def __init__(self, name: str) -> None:
        self.name = name
        self._registered: dict[str, list] = {"cpu": [], "cuda": []}
        self._folder = ""
        self.__doc__ = None
        _registry[name] = self

    def variant(self, name: str, *, devices=("cpu",), usable=None, on: str | None = None):
        """Register the next, faster variant.  `usable(*args, **attrs)` says whether it takes these arguments.

        on="host" or "simulator": the variant is written for the GPU; under `use(..., on=)` it also takes numpy arrays.
        """

        def register(function):
            folder, _, file = function.__module__.rpartition(".")
            load_cpu_variants(folder, before=file)  # where this file was imported by itself, out of its turn
            if on:
                function.on = on
            for device in devices:
                self._registered[device].append((name, function, usable))
            self.__doc__ = self.__doc__ or function.__doc__
            return function

        return register

    def reference(self, function):
        """Register the definition: the first variant of every device."""
        self._folder = function.__module__.rpartition(".")[0]
        return self.variant("reference", devices=("cpu", "cuda"))(function)

    def __getattr__(self, name: str):
        """`ladder`, the first time; then it is an ordinary attribute, which costs a call nothing."""
        if name != "ladder":
            raise AttributeError(f"kernel {self.name} has no attribute {name!r}")
        load_cpu_variants(self._folder)
        self.ladder = self._registered
        return self.ladder

    def __repr__(self) -> str:
        ladders = (
            f"{device}: {', '.join(v[0] for v in ladder)}" for device, ladder in self.ladder.items() if ladder
        )
        return f"<kernel {self.name}; {'; '.join(ladders)}>"

    def __reduce__(self):
        return kernel_of_name, (self.name,)  # a copy of a kernel is the kernel itself

    def __call__(self, *args, **attrs):
        first = _first(args[0])
        array_of_cpu = isinstance(first, np.ndarray)
        device = "cpu" if array_of_cpu else device_of(first)
        if _used and self.name in _here.wanted:
            return self._run_forced(_here.wanted[self.name], device, args, attrs)
        if device == "cuda":
            return self._run_on_gpu(args, attrs)
        if not array_of_cpu:  # a NumPy scalar: no need to be fast
            return self.ladder["cpu"][0][1](*args, **attrs)
        for _, function, usable in reversed(self.ladder[device]):
            if usable is None or usable(*args, **attrs):
                return function(*args, **attrs)
        raise ValueError(f"{self.name}: none of its variants takes these arguments")

    def _run_on_gpu(self, args, attrs):
        load_gpu_variants()
        for _, function, usable in reversed(self.ladder["cuda"]):
            if usable is None or usable(*args, **attrs):
                try:
                    return function(*args, **attrs)
                except ImportError as error:  # of a library that CuPy loads when an operation needs it
                    message = cuda_device.told(error)
                    if message is None:
                        raise
                    raise cuda_device.CudaError(f"{self.name}: {message}") from error
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
        """The GPU variants that can run on numpy arrays with `use(..., on=place)`."""
        load_gpu_variants()
        return [name for name, function, _ in self.ladder["cuda"] if getattr(function, "on", None) == place]


def kernel_of_name(name: str) -> Kernel:
    return _registry[name]


def _first(x):
    """x, or the first of a list of arrays, which a kernel takes that updates all parameters at once."""
    return x[0] if type(x) is list else x


def registry() -> dict[str, dict[str, list[str]]]:
    """Every kernel with the names of its variants per device, slow to fast.

    "host" and "simulator" list those of "cuda" that also run there (`use(..., on=)`).
    """
    load_gpu_variants()
    found = {}
    for name, kernel in sorted(_registry.items()):
        places = {device: [v[0] for v in ladder] for device, ladder in kernel.ladder.items()}
        places |= {place: kernel.variants_on(place) for place in PLACES}
        found[name] = {place: variants for place, variants in places.items() if variants}
    return found


@contextmanager
def use(*, on: str | None = None, order: str = "forward", checked: bool = False, **variants: str):
    """Force variants by name in this thread, for tests, benchmarks and readers: `with kernels.use(matmul="tiled"):`.

    on="host" runs variants written in CUDA C++ on numpy arrays without a GPU: g++ compiles the same source, and each
    CUDA thread is a fiber (`kernels/hostcuda`).  on="simulator" does the same for variants written with numba.cuda.
    order: the order in which the threads take turns on the host, "forward", "reverse" or "random".  A result that
    depends on it is a race, most often a missing barrier.
    checked=True: check every load and store on the host.
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
    """A list that gets a pair (kernel, variant) for every kernel called inside.  Calls outside cost nothing extra."""
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
