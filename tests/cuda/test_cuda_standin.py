"""The stand-in for cupy offers nothing that cupy does not have, and refuses what cupy refuses."""

import copy
import inspect
import re
import sys

import numpy as np
import pytest
from support.gpu import gpu, stand_in


@pytest.fixture(scope="module")
def both():
    """The installed cupy (it can be imported without a driver) and the stand-in."""
    real = pytest.importorskip("cupy", reason="cupy is not installed")
    import cupyx.scipy.special

    if int(real.__version__.split(".")[0]) < 14:
        pytest.skip("the stand-in has the signatures of cupy 14")
    special = cupyx.scipy.special
    with stand_in() as ours:
        from cupyx.scipy.special import erf

        yield real, ours, special.erf, erf


def parameters(function) -> list[str]:
    """The parameter names of a function, without self; for a Cython method from the first line of its docstring."""
    try:
        found = list(inspect.signature(function).parameters)
    except (ValueError, TypeError):
        line = (function.__doc__ or "").splitlines()[0]
        given = re.match(r"\w+\.\w+\((.*)\)", line)
        assert given, line
        found = [part.split("=")[0].split()[-1].lstrip("*") for part in given[1].split(",") if part.strip()]
        found = [name for name in found if name not in ("", "*")]
    return [name for name in found if name != "self"]


def test_every_function_is_one_of_cupys(both):
    real, ours, _, _ = both
    functions = sys.modules["cupy._functions"].__all__
    assert len(functions) > 50
    for name in functions:
        theirs = getattr(real, name)
        if name == "from_dlpack":  # no signature: take it from the documentation
            continue
        assert parameters(getattr(ours, name)) == parameters(theirs), name
    theirs = real.lib.stride_tricks.as_strided
    assert parameters(ours.lib.stride_tricks.as_strided) == parameters(theirs)


def test_every_ufunc_is_one_of_cupys(both):
    real, ours, theirs, erf = both
    for name in sys.modules["cupy._ufuncs"].NAMES:
        assert isinstance(getattr(real, name), real.ufunc), name
        assert (getattr(real, name).nin, getattr(real, name).nout) == (getattr(ours, name).nin, 1), name
    assert theirs.nin == 1 == len(parameters(erf))
    for name in ("at", "reduce", "reduceat"):
        assert parameters(getattr(ours.ufunc, name)) == parameters(getattr(real.ufunc, name)), name


def test_every_method_is_one_of_cupys(both):
    real, ours, _, _ = both
    own = {
        name
        for name in vars(ours.ndarray)
        if not name.startswith("__") or name in ("__dlpack__", "__array__")
    }
    own -= {"_host", "_of"}
    for name in own:
        assert hasattr(real.ndarray, name), name
        method = vars(ours.ndarray)[name]
        if inspect.isfunction(method) and name not in ("view", "__array__"):
            assert parameters(method) == parameters(getattr(real.ndarray, name)), name
    for name in ("__index__", "__contains__", "__round__"):
        assert not hasattr(real.ndarray, name) and not hasattr(ours.ndarray, name)
    for name in vars(ours.ndarray):
        if name.startswith("__") and name not in (
            "__module__",
            "__annotations__",
            "__weakref__",
            "__imatmul__",
        ):
            assert hasattr(real.ndarray, name), name


def test_cuda_has_what_we_ask_of_it(both):
    real, ours, _, _ = both
    for name in vars(ours.cuda.runtime):
        assert hasattr(real.cuda.runtime, name), name
    assert issubclass(real.cuda.runtime.CUDARuntimeError, RuntimeError)
    assert issubclass(real.cuda.memory.OutOfMemoryError, MemoryError)
    assert real.cuda.memory.OutOfMemoryError.__name__ == ours.cuda.memory.OutOfMemoryError.__name__
    assert parameters(ours.cuda.get_elapsed_time) == ["start_event", "end_event"]
    assert real.cuda.get_elapsed_time.__doc__.startswith("get_elapsed_time(start_event, end_event)")
    events = [name for name in vars(ours.cuda.Event) if not name.startswith("_")]
    assert events == ["record", "done", "synchronize"]
    assert all(hasattr(real.cuda.Event, name) for name in events)
    import cupyx  # the stand-in's

    streams = [name for name in vars(ours.cuda.Stream) if not name.startswith("_") and name != "null"]
    assert {"record", "wait_event", "synchronize", "use"} <= {*streams}
    for name in streams:
        assert hasattr(real.cuda.Stream, name), name
        assert parameters(getattr(ours.cuda.Stream, name)) == parameters(getattr(real.cuda.Stream, name)), (
            name
        )
    assert parameters(ours.cuda.Stream.__init__) == parameters(real.cuda.Stream.__init__)
    assert parameters(cupyx.empty_pinned) == ["shape", "dtype", "order"]
    for name in ("get_current_stream", "alloc_pinned_memory"):
        assert hasattr(real.cuda, name) and hasattr(ours.cuda, name)
    assert parameters(ours.cuda.Event.record) == parameters(real.cuda.Event.record) == ["stream"]
    for name in ("used_bytes", "total_bytes", "free_all_blocks", "malloc"):
        assert hasattr(real.cuda.MemoryPool, name) and hasattr(ours.cuda.MemoryPool, name)
    for name in ("Stream", "Graph"):
        ours_, real_ = getattr(ours.cuda, name), getattr(real.cuda, name)
        methods = [n for n, method in vars(ours_).items() if n[0] != "_" and inspect.isfunction(method)]
        assert len(methods) > 1
        for method in methods:
            assert parameters(getattr(ours_, method)) == parameters(getattr(real_, method)), method
    assert parameters(ours.cuda.using_allocator) == parameters(real.cuda.using_allocator)
    assert isinstance(real.cuda.Stream.null, real.cuda.Stream) and hasattr(real.cuda, "get_current_stream")


@pytest.fixture
def cupy():
    with gpu() as module:
        yield module


def test_numpy_arrays_do_not_mix(cupy):
    """The engine relies on these refusals: the stand-in's here, cupy's if there is a GPU."""
    x, host = cupy.ones((2, 3)), np.ones((2, 3))
    one = np.asarray(1.0)  # an array without dimensions is not a number
    refused = [
        lambda: x + host, lambda: host + x, lambda: x * one, lambda: np.add(x, host), lambda: cupy.add(x, one),
        lambda: x.__iadd__(host), lambda: cupy.add(x, x, out=host), lambda: cupy.where(x > 0, x, host),
        lambda: cupy.matmul(x, host.T), lambda: cupy.maximum(host, x), lambda: cupy.concatenate([x, host]),
        lambda: np.asarray(x), lambda: float(x), lambda: np.sort(x, kind="heap"), lambda: x.max(initial=0.0),
        lambda: x.sum(where=x > 0),
    ]  # fmt: skip
    for call in refused:
        with pytest.raises((TypeError, ValueError)):
            call()
    with pytest.raises(ValueError, match="fill"):
        x[0] = np.ones(3)
    with pytest.raises(ValueError):
        cupy.asarray(1.0).nonzero()
    with pytest.raises(ValueError):
        cupy.array(["a"])
    assert not hasattr(x.flags, "writeable")


def test_numbers_and_numpys_scalars_do(cupy):
    x = cupy.ones(3, np.float32)
    for y in (
        x + 1,
        2.5 * x,
        x * np.float32(2),
        np.float32(2) * x,
        np.exp(x),
        np.maximum(x, np.float32(0)),
        x**2,
    ):
        assert isinstance(y, cupy.ndarray) and y.dtype == np.float32
    assert (x * np.float64(2)).dtype == np.float64 and (x > 0).dtype == np.bool_
    for y in (x.sum(), x.max(), x[0], x.argmax(), cupy.asarray(2)):
        assert isinstance(y, cupy.ndarray) and y.shape == ()
    assert float(x.sum()) == 3 and bool(x[0] == 1) and x.sum().item() == 3
    assert isinstance(np.full_like(x, 2), cupy.ndarray) and np.array_equal(x.get(), np.ones(3))


def test_views_and_indices(cupy):
    x = cupy.arange(12.0).reshape(3, 4)
    view = x[1:]
    assert view.base is not None and copy.copy(x) is not x
    view[0, 0] = 9
    assert float(x[1, 0]) == 9
    wide = cupy.broadcast_to(cupy.ones(3), (2, 3))
    assert wide.strides[0] == 0 and wide.base is not None
    assert x[cupy.asarray([0, 5])].tolist() == x[[0, 2]].tolist()  # numbers past the end wrap around
    assert x[np.asarray([1])].shape == (1, 4)  # an index may be a NumPy array
    with pytest.raises((ValueError, IndexError, NotImplementedError)):
        x[cupy.ones(3, bool), cupy.ones(4, bool)]
