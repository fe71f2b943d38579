"""The libraries that a case is timed with.  A case is written once, in PyTorch's names, for an `api` that is either."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from types import ModuleType

import numpy as np

import tinygen
from tinygen import kernels
from tinygen.kernels.runtime import cuda_device, dispatch


@dataclass(frozen=True)
class Side:
    """One way of computing a case."""

    name: str
    api: ModuleType = field(repr=False)
    channels_last: bool = False
    compiled: bool = False
    fused: bool = False  # the optimizer's fused=True
    device: str = "cpu"

    @property
    def is_torch(self) -> bool:
        return self.api.__name__ == "torch"

    def tensor(self, array: np.ndarray):
        """An array as a tensor of this side: on its device, and, for images, in its memory layout."""
        if not hasattr(self.api, "tensor"):  # cupy
            return self.api.asarray(array)
        t = self.api.tensor(array, device=self.device)
        return t.contiguous(memory_format=self.api.channels_last) if self._moves(array) else t

    def module(self, net):
        """A network on this side's device and in its memory layout."""
        net = net if self.device == "cpu" else net.to(self.device)
        return net.to(memory_format=self.api.channels_last) if self.channels_last else net

    def no_grad(self):
        return self.api.no_grad() if hasattr(self.api, "no_grad") else nullcontext()

    def function(self, f: Callable) -> Callable:
        """f, compiled if this side compiles."""
        return self.api.compile(f, dynamic=False) if self.compiled else f

    def adam(self, parameters, lr: float, **options):
        """Adam for these parameters."""
        if self.fused:
            options["fused"] = True
        return self.api.optim.Adam(parameters, lr, **options)

    def _moves(self, array) -> bool:
        return self.channels_last and array.ndim == 4


@dataclass(frozen=True)
class Case:
    """Something to time.  `make(side)` returns the call; flops and bytes are the work that every implementation has."""

    name: str
    group: str
    shape: str
    make: Callable[[Side], Callable[[], object]] = field(repr=False)
    flops: float = 0.0
    bytes: float = 0.0
    others: tuple[str, ...] = ()  # further ways to compare with: channels-last, fused; on a GPU cuBLAS
    check_calls: int = 1  # which call's result is compared: a later one where calls change something
    tolerance: float = 1e-4
    step: bool = False
    memory: tuple = ()  # how benchmarks/memory.py finds this case in another process


OURS = Side("tinygen", tinygen)
OURS_ON = {"cpu": OURS, "cuda": Side("tinygen", tinygen, device="cuda")}
CUBLAS = "cuBLAS"


def torch_sides(case: Case, torch, compiled: bool, device: str = "cpu") -> list[Side]:
    """PyTorch's ways of computing a case, eager first."""
    sides = [Side("torch", torch, device=device)]
    if "channels-last" in case.others:
        sides.append(Side("torch channels-last", torch, channels_last=True, device=device))
    if "fused" in case.others:
        sides.append(Side("torch fused", torch, fused=True, device=device))
    if compiled:
        sides.append(Side("torch.compile", torch, compiled=True, device=device))
    return sides


def cupy_sides(case: Case) -> list[Side]:
    """cuBLAS through cupy, for cases that are one cuBLAS routine."""
    return [Side(CUBLAS, cuda_device.cupy(), device="cuda")] if "cuBLAS" in case.others else []


def load_torch(threads: int):
    """PyTorch with this many threads and without TF32; None if it is not installed."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # cuDNN's default is True
    return torch


def compile_failure(torch, device: str = "cpu") -> str | None:
    """Try torch.compile once.  -> why it does not work here, or None if it does"""
    try:
        import torch._functorch.config

        torch._functorch.config.donated_buffer = False  # backward is called several times on one graph
        torch.compile(lambda x: x + 1)(torch.ones(3, device=device))
    except Exception as e:
        return " ".join(str(e).split())[:200] or type(e).__name__
    return None


@contextmanager
def reference_kernels() -> Iterator[None]:
    """Run every kernel by its reference, which the other variants are checked against."""
    names = [name for name, ladders in kernels.registry().items() if "reference" in ladders.get("cpu", ())]
    with kernels.use(**dict.fromkeys(names, "reference")):
        yield


@contextmanager
def seen_kernels(device: str = "cpu") -> Iterator[dict[str, dict[str, bool | None]]]:
    """The kernels called in the `with` block on arrays of this device: for each variant, whether it took the arguments.

    None for a variant that takes them but is there for readers.
    """
    seen: dict[str, dict[str, bool]] = {}
    # `registry` loads the GPU variants: they must not be registered while the ladders below are replaced
    before = {kernel: kernel.ladder for kernel in map(dispatch.kernel_of_name, dispatch.registry())}

    def watched(kernel, ladder):
        def usable(*args, **attrs):
            takes = {
                name: None if rule is dispatch.for_readers else rule is None or bool(rule(*args, **attrs))
                for name, _, rule in ladder
            }
            known = seen.setdefault(kernel.name, takes)
            known.update({name: known[name] and takes[name] for name in takes})
            return False

        return [*ladder, ("watch", None, usable)]  # asked first, because the last variant is preferred

    try:
        for kernel, ladders in before.items():
            kernel.ladder = {**ladders, device: watched(kernel, ladders[device])}
        yield seen
    finally:
        for kernel, ladders in before.items():
            kernel.ladder = ladders
