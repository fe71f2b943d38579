"""A GPU for tests: a real one through cupy if there is one, else the stand-in (tests/support/standins/cupy)."""

from __future__ import annotations

import contextlib
import functools
import sys
from pathlib import Path

STANDINS = Path(__file__).resolve().parent / "standins"


def real() -> bool:
    """Whether tinygen could use a GPU of this machine."""
    from tinygen.kernels.runtime import cuda_device

    try:
        return cuda_device.architecture() >= cuda_device.OLDEST
    except cuda_device.CudaError:
        return False


@contextlib.contextmanager
def stand_in(launches: bool | str = False):
    """Install the stand-in as `cupy`; afterwards everything is restored, and no GPU is known.

    launches: launch the CUDA C++ variants on the CPU (`kernels/hostcuda`) instead of leaving them out.  "counted":
    choose and call them, but only count their launches; the results are those of the CPU's kernels, which are fast.
    """
    from tinygen.engine import devices

    names = [name for name in sys.modules if name.split(".")[0] in ("cupy", "cupyx")]
    hidden = {name: sys.modules.pop(name) for name in names}
    used, devices.in_use = devices.in_use, False
    _forget()
    sys.path.insert(0, str(STANDINS))
    try:
        import cupy

        assert Path(cupy.__file__).is_relative_to(STANDINS)
        launching = {False: _without_launches, True: _launches_on_the_host, "counted": _launches_counted}
        with launching[launches]():
            devices.checked("cuda")  # tests create arrays on it themselves
            yield cupy
    finally:
        sys.path.remove(str(STANDINS))
        for name in [name for name in sys.modules if name.split(".")[0] in ("cupy", "cupyx")]:
            del sys.modules[name]
        sys.modules.update(hidden)
        devices.in_use = used
        _forget()


@contextlib.contextmanager
def _without_launches():
    """Remove the variants of kernels that need a real GPU."""
    from tinygen.kernels.runtime.dispatch import _registry, load_gpu_variants

    load_gpu_variants()
    ladders = {kernel: kernel.ladder for kernel in _registry.values()}
    for kernel, ladder in ladders.items():
        on_arrays = [v for v in ladder["cuda"] if not getattr(v[1], "on", None)]
        kernel.ladder = {**ladder, "cuda": on_arrays}
    try:
        yield
    finally:
        for kernel, ladder in ladders.items():
            kernel.ladder = ladder


@contextlib.contextmanager
def _launches_on_the_host():
    """Let launches run hostcuda's kernels, on the memory behind the stand-in's arrays."""
    from tinygen.kernels.runtime.cuda_source import CudaSource

    class Function:
        max_dynamic_shared_size_bytes = 48 << 10

        def __init__(self, source, kernel: str) -> None:
            self.source, self.kernel = source, kernel

        def __call__(self, grid, block, values, *, shared_mem) -> None:
            from cupy import _hook

            _hook.passed(self.kernel, self.run, (grid, block, *values), {"shared": shared_mem})

        def run(self, grid, block, *values, shared) -> None:
            values = [getattr(value, "_host", value) for value in values]
            self.source._launch_on_host(self.kernel, grid, block, values, shared=shared)

    before, CudaSource._function = CudaSource._function, lambda source, arch, kernel: Function(source, kernel)
    try:
        yield
    finally:
        CudaSource._function = before


@contextlib.contextmanager
def _launches_counted():
    """Let a CUDA C++ variant run but for its launches, which `cupy.counters` notes as "own launch"."""
    from cupy import _hook, ndarray
    from cupy._counters import OWN, counters

    from tinygen.kernels.runtime.cuda_source import CudaSource
    from tinygen.kernels.runtime.dispatch import _registry, load_gpu_variants

    class Function:
        max_dynamic_shared_size_bytes = 48 << 10

        def __init__(self, source, kernel: str) -> None:
            self.kernel = kernel

        def __call__(self, grid, block, values, *, shared_mem=0) -> None:
            counters.note(OWN, self.kernel)

    def computed(kernel, result, args, attrs) -> None:
        with counters.aside():
            on_host = kernel(*_mapped(args, ndarray), **_mapped(attrs, ndarray))
            _fill(result, on_host, ndarray)

    def counted(kernel, function):
        @functools.wraps(function)
        def call(*args, **attrs):
            result = function(*args, **attrs)
            _hook.passed(kernel.name, computed, (kernel, result, args, attrs), {})
            return result

        return call

    load_gpu_variants()
    ladders = {kernel: kernel.ladder for kernel in _registry.values()}
    functions: dict = {}

    def function_of(source, arch, kernel):
        return functions.setdefault((source.path, kernel), Function(source, kernel))

    before, CudaSource._function = CudaSource._function, function_of
    try:
        for kernel, ladder in ladders.items():
            rungs = [
                (name, counted(kernel, f) if getattr(f, "on", None) == "host" else f, usable)
                for name, f, usable in ladder["cuda"]
            ]
            kernel.ladder = {**ladder, "cuda": rungs}
        yield
    finally:
        CudaSource._function = before
        for kernel, ladder in ladders.items():
            kernel.ladder = ladder


def _mapped(values, device_array):
    """The memory behind the stand-in's arrays in nested arguments."""
    if isinstance(values, dict):
        return {name: _mapped(value, device_array) for name, value in values.items()}
    if isinstance(values, (list, tuple)):
        return type(values)(_mapped(value, device_array) for value in values)
    return values._host if isinstance(values, device_array) else values


def _fill(result, values, device_array) -> None:
    """Write what the CPU computed into the arrays of a result; what works in place has written it already."""
    if isinstance(result, (list, tuple)):
        for one, value in zip(result, values, strict=True):
            _fill(one, value, device_array)
    elif isinstance(result, device_array):
        result._host[...] = values


def _forget() -> None:
    """Forget what is cached about the driver and the GPU, and the arrays that are kept there."""
    from tinygen.kernels.runtime import array_table, cuda_device

    array_table.kept.clear()
    cuda_device.driver.cache_clear()
    cuda_device._architecture.cache_clear()


@contextlib.contextmanager
def gpu():
    """cupy: the real one if there is a GPU."""
    from tinygen.engine import devices

    if real():
        import cupy

        devices.checked("cuda")
        yield cupy
    else:
        with stand_in() as cupy:
            yield cupy
