"""Batches, binarization and toys."""

import subprocess
import sys

import numpy as np
import pytest
from support.idx_files import nowhere  # noqa: F401

from tinygen import data
from tinygen.data import DataError
from tinygen.random import Generator


def test_batches():
    n, batch = 23, 5
    epochs = [[data.batch_indices(n, batch, 1, step) for step in range(e * 4, e * 4 + 4)] for e in range(2)]
    for epoch in epochs:
        seen = np.concatenate(epoch)
        assert len(set(seen.tolist())) == 20 and 0 <= seen.min() and seen.max() < n
    assert (np.concatenate(epochs[0]) != np.concatenate(epochs[1])).any()
    data.epoch_order.cache_clear()  # a resumed run starts in the middle
    np.testing.assert_array_equal(data.batch_indices(n, batch, 1, 6), epochs[1][2])
    assert (data.epoch_order(n, 2, 0) != data.epoch_order(n, 1, 0)).any()
    with pytest.raises(ValueError, match="read-only"):
        data.batch_indices(n, batch, 1, 0)[0] = 3
    for bad in (0, 24):
        with pytest.raises(DataError, match="expected 1 to the 23"):
            data.batch_indices(n, bad, 0, 0)


def test_binarize():
    images = np.repeat(np.uint8([0, 51, 255]), 4 * 784).reshape(12, 28, 28)
    x = data.binarize(images, Generator(0).at("b", 3))
    assert x.shape == images.shape and x.dtype == np.float32
    assert x[:4].sum() == 0 and (x[8:] == 1).all() and abs(x[4:8].mean() - 0.2) < 0.04
    np.testing.assert_array_equal(x, data.binarize(images, Generator(0).at("b", 3)))
    assert (x != data.binarize(images, Generator(0).at("b", 4))).any()


@pytest.mark.parametrize("name", data.TOYS)
def test_toys(name):
    x = data.toy(name, 4000, Generator(0).at("toy"))
    assert x.shape == (4000, 2) and x.dtype == np.float32
    if name == "moons":
        upper = np.hypot(*x.T) - 1
        lower = np.hypot(1 - x[:, 0], 0.5 - x[:, 1]) - 1
        assert np.minimum(abs(upper), abs(lower)).max() < 0.25
        with pytest.raises(DataError, match="no centers"):
            data.toy_centers(name)
        return
    centers = data.toy_centers(name)
    apart = np.linalg.norm(x[:, None] - centers, axis=-1)
    std = {"ring8": 0.01, "grid25": 0.05}[name]
    assert apart.min(axis=1).max() < 5 * std
    assert abs(np.sqrt((apart.min(axis=1) ** 2).mean() / 2) / std - 1) < 0.05
    assert np.bincount(apart.argmin(axis=1)).min() > 4000 / len(centers) * 0.6
    with pytest.raises(DataError, match="no toy"):
        data.toy("ring9", 1, None)


def test_import_is_light():
    code = "import sys, tinygen.data; print([m for m in ('numba', 'matplotlib', 'tqdm') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
