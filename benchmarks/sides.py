"""The libraries a case is timed with.  A case is written once, in PyTorch's names, for an `api` that is either."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType

import numpy as np

import tinygen
from tinygen import kernels
from tinygen.kernels import dispatch


@dataclass(frozen=True)
class Side:
    """One way to compute a case."""

    name: str
    api: ModuleType = field(repr=False)
    channels_last: bool = False
    compiled: bool = False
    fused: bool = False  # the optimiser's fused=True

    @property
    def is_torch(self) -> bool:
        return self.api is not tinygen

    def tensor(self, array: np.ndarray):
        """An array as a tensor of this side: in its layout, if it is one of images."""
        t = self.api.tensor(array)
        return t.contiguous(memory_format=self.api.channels_last) if self._moves(array) else t

    def module(self, net):
        """A network as this side runs it."""
        return net.to(memory_format=self.api.channels_last) if self.channels_last else net

    def function(self, f: Callable) -> Callable:
        """f, compiled if this side compiles."""
        return self.api.compile(f, dynamic=False) if self.compiled else f

    def adam(self, parameters, lr: float, **options):
        """Adam over these parameters."""
        if self.fused:
            options["fused"] = True
        return self.api.optim.Adam(parameters, lr, **options)

    def _moves(self, array) -> bool:
        return self.channels_last and array.ndim == 4


@dataclass(frozen=True)
class Case:
    """Something to time.  `make(side)` builds it and gives the call; its work is what any way has to do at least."""

    name: str
    group: str
    shape: str
    make: Callable[[Side], Callable[[], object]] = field(repr=False)
    flops: float = 0.0
    bytes: float = 0.0
    others: tuple[str, ...] = ()  # more of PyTorch's ways: channels-last, fused
    check_calls: int = 1  # the result of this call is compared; more than one where a call changes something
    tolerance: float = 1e-4
    step: bool = False
    memory: tuple = ()  # how benchmarks/memory.py finds this case in another process


OURS = Side("tinygen", tinygen)


def torch_sides(case: Case, torch, compiled: bool) -> list[Side]:
    """PyTorch's ways to compute a case, eager first."""
    sides = [Side("torch", torch)]
    if "channels-last" in case.others:
        sides.append(Side("torch channels-last", torch, channels_last=True))
    if "fused" in case.others:
        sides.append(Side("torch fused", torch, fused=True))
    if compiled:
        sides.append(Side("torch.compile", torch, compiled=True))
    return sides


def load_torch(threads: int):
    """PyTorch with so many threads, or None where it is not installed."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    torch.set_num_threads(threads)
    return torch


def compile_failure(torch) -> str | None:
    """Why torch.compile does not work here, found by trying it once; None if it does."""
    try:
        import torch._functorch.config

        torch._functorch.config.donated_buffer = False  # backward is called more than once on a graph
        torch.compile(lambda x: x + 1)(torch.ones(3))
    except Exception as e:
        return " ".join(str(e).split())[:200] or type(e).__name__
    return None


@contextmanager
def reference_kernels() -> Iterator[None]:
    """Every kernel by its definition: what the others are checked against."""
    names = [name for name, ladders in kernels.registry().items() if "reference" in ladders.get("cpu", ())]
    with kernels.use(**dict.fromkeys(names, "reference")):
        yield


@contextmanager
def seen_kernels() -> Iterator[dict[str, dict[str, bool | None]]]:
    """The kernels called inside, each with its CPU variants and whether they took the arguments it was called with.

    None for a variant that takes them but is there for readers: its rule is a function of the name `_for_readers`.
    """
    seen: dict[str, dict[str, bool]] = {}
    before = {kernel: kernel.ladder for kernel in dispatch._registry.values()}

    def watched(kernel, ladder):
        def usable(*args, **attrs):
            takes = {
                name: None if _for_readers(rule) else rule is None or bool(rule(*args, **attrs))
                for name, _, rule in ladder
            }
            known = seen.setdefault(kernel.name, takes)
            known.update({name: known[name] and takes[name] for name in takes})
            return False

        return [*ladder, ("watch", None, usable)]  # asked first, as the last variant is the preferred one

    try:
        for kernel, ladders in before.items():
            kernel.ladder = {**ladders, "cpu": watched(kernel, ladders["cpu"])}
        yield seen
    finally:
        for kernel, ladders in before.items():
            kernel.ladder = ladders


def _for_readers(rule) -> bool:
    return getattr(rule, "__name__", "") == "_for_readers"
