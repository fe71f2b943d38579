"""The stand-in's simulated capture: what is recorded happens at launch, and what CUDA forbids raises."""

import numpy as np
import pytest
from support.gpu import stand_in


@pytest.fixture
def cupy():
    with stand_in() as module:
        yield module


def captured(cupy, function, pool=True):
    """What a stream captures of function()."""
    stream = cupy.cuda.Stream(non_blocking=True)
    allocator = cupy.cuda.MemoryPool().malloc if pool else None
    with stream, cupy.cuda.using_allocator(allocator):
        stream.begin_capture()
        try:
            result = function()
        finally:
            graph = stream.end_capture()
    return graph, result


def test_what_is_captured_happens_at_launch(cupy):
    x, total = cupy.arange(4, dtype=np.float32), cupy.zeros(())
    given, state = x.get(), total.get()

    def step():
        y = cupy.concatenate([x[1:], x[:1]]) * 2
        total.__iadd__(y.sum())
        x[0] = 7
        return y

    graph, y = captured(cupy, step)
    assert np.array_equal(x.get(), given) and total.get() == state  # nothing happened
    assert np.isnan(y.get()).all()
    graph.launch()
    assert y.tolist() == [2, 4, 6, 0] and float(total) == 12 and x.tolist() == [7, 1, 2, 3]
    graph.launch()
    assert y.tolist() == [2, 4, 6, 14] and float(total) == 38


def test_the_default_stream_goes_on_beside_a_capture(cupy):
    x, stream = cupy.zeros(3), cupy.cuda.Stream(non_blocking=True)
    stream.begin_capture()
    with cupy.cuda.Stream.null:
        assert x.sum().item() == 0
    assert stream.is_capturing() and not cupy.cuda.get_current_stream().is_capturing()
    assert stream.end_capture() is not None and not stream.is_capturing()


@pytest.mark.parametrize("read", ["get", "item", "tolist", "__float__", "__bool__", "__int__"])
def test_reading_is_refused(cupy, read):
    x = cupy.ones(())
    with pytest.raises(RuntimeError, match="is capturing, so synchronous API calls are disallowed"):
        captured(cupy, lambda: getattr(x, read)())
    assert float(x) == 1


def test_copies_from_the_host_are_refused(cupy):
    x = cupy.ones(3)
    for copy in (lambda: cupy.asarray(np.ones(3)), lambda: cupy.array([1, 2]), lambda: x.set(np.zeros(3))):
        with pytest.raises(RuntimeError, match="H2D transfers are disallowed"):
            captured(cupy, copy)
    assert x.tolist() == [1, 1, 1]


def test_waiting_invalidates_the_capture(cupy):
    for wait in (
        cupy.cuda.runtime.deviceSynchronize,
        cupy.cuda.Device().synchronize,
        lambda: cupy.cuda.get_current_stream().synchronize(),
        cupy.cuda.Event().synchronize,
    ):
        stream = cupy.cuda.Stream(non_blocking=True)
        with stream:
            stream.begin_capture()
            with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="cudaErrorStreamCaptureUnsupported"):
                wait()
            with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="cudaErrorStreamCaptureInvalidated"):
                stream.end_capture()
        wait()  # afterwards it may


def test_memory_of_the_shared_pool_is_refused(cupy):
    x = cupy.ones(3)
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="cudaErrorStreamCapture"):
        captured(cupy, lambda: x + 1, pool=False)
    graph, _ = captured(cupy, lambda: x.__iadd__(1), pool=False)  # takes no memory
    graph.launch()
    assert x.tolist() == [2, 2, 2]


def test_the_default_stream_cannot_capture(cupy):
    with pytest.raises(RuntimeError, match="default"):
        cupy.cuda.Stream.null.begin_capture()


def test_tables_of_the_same_bytes_keep_their_shapes():
    from tinygen.kernels.runtime.array_table import on_device

    with stand_in() as cupy:
        like, rows = cupy.zeros(1), np.arange(6, dtype=np.int64)
        assert on_device(rows, like).shape == (6,) and on_device(rows.reshape(2, 3), like).shape == (2, 3)
        assert on_device(rows, like) is on_device(rows.copy(), like)
