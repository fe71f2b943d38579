"""The examples of a step are those of `batch_indices`, on the device, and nobody waits for them."""

import gc

import numpy as np
import pytest
from support.gpu import stand_in

from tinygen import data
from tinygen.data import feed as feeds
from tinygen.data.data_error import DataError

N, BATCH = 23, 5
ARRAYS = np.random.default_rng(0).integers(0, 256, (N, 2, 3)).astype(np.uint8), np.arange(N)
STEPS = *range(11), 4, 5, 30  # over three epochs, back, and far ahead


@pytest.fixture
def cupy():
    with stand_in() as module:
        yield module


def feed_of(device, *arrays):
    return data.Feed(*(arrays or ARRAYS), batch=BATCH, seed=3, device=device)


def expected(step):
    chosen = data.batch_indices(N, BATCH, 3, step)
    return [array[chosen] for array in ARRAYS]


def assert_batch(found, step):
    for array, wanted in zip(found, expected(step), strict=True):
        assert array.dtype == wanted.dtype and np.array_equal(array, wanted)


def test_on_a_cpu():
    feed = feed_of("cpu")
    for step in STEPS:
        assert_batch(feed.at(step), step)
    with pytest.raises(DataError, match="batch of 24"):
        data.Feed(*ARRAYS, batch=24, seed=0, device="cpu")


def test_a_small_data_set_lies_on_the_gpu(cupy):
    feed = feed_of("cuda")
    cupy.counters.clear()
    for step in STEPS:
        found = feed.at(step)
        assert isinstance(found[0], cupy.ndarray)
        with cupy.counters.aside():
            assert_batch([array.get() for array in found], step)
    assert cupy.counters.total("synchronization") == 0
    assert cupy.counters.total("copy to the device") == 5  # the orders of epochs 0, 1, 2, 1 again, and 7


@pytest.fixture
def large(cupy, monkeypatch):
    """A GPU for which the data set is too large"""
    monkeypatch.setattr(feeds, "SHARE", 0)
    return cupy


def test_a_large_one_is_copied_ahead_from_pinned_memory(large):
    feed = feed_of("cuda")
    large.counters.clear()
    kept = []
    for step in STEPS:
        found = feed.at(step)
        kept.append(found)
        with large.counters.aside():
            assert_batch([array.get() for array in found], step)
    for step, found in zip(STEPS, kept):  # a later copy has not written to what was handed out
        assert_batch([array.get() for array in found], step)
    large.counters.counts["synchronization", "get"] -= 2 * len(STEPS)
    assert large.counters.total("synchronization") == 0
    pinned = large.counters.counts["copy to the device", "pinned"]
    assert pinned == large.counters.total("copy to the device") >= 2 * len(STEPS)


def test_the_copy_is_not_done_before_the_computation_waits_for_it(large):
    feed = feed_of("cuda")
    feed.at(0)
    upload = feed._at.__self__.prepared[1]
    assert not upload._done.done
    before = [array.get() for array in upload._arrays]
    assert not all(np.array_equal(a, b) for a, b in zip(before, expected(1)))
    assert_batch([array.get() for array in feed.at(1)], 1)


def test_pinned_memory_is_used_again_once_its_copy_is_done(large):
    feed = feed_of("cuda")
    for step in range(20):
        feed.at(step)
    assert len(feed._at.__self__.uploads._pinned) <= 3


def test_an_upload_that_nobody_takes_ends_before_its_memory_is_free(large):
    feed = feed_of("cuda")
    feed.at(0)
    done = feed._at.__self__.prepared[1]._done
    assert not done.done
    del feed
    gc.collect()
    assert done.done
