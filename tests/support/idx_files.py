"""Small datasets in MNIST's file format, and a machine that has none."""

import gzip
import struct

import numpy as np
import pytest

from tinygen.data import fetch


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """No user data, an empty cache, and mirrors that refuse connections."""
    monkeypatch.delenv("TINYGEN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(fetch, "MIRRORS", {name: ("http://127.0.0.1:9/",) for name in fetch.MIRRORS})


def idx_bytes(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def small_set(n=6, m=4):
    rng = np.random.default_rng(0)
    sizes = (n, 28, 28), (n,), (m, 28, 28), (m,)
    return [rng.integers(0, 256 if len(s) > 1 else 10, s).astype(np.uint8) for s in sizes]


def write_set(folder, arrays=None, zipped=True):
    folder.mkdir(parents=True, exist_ok=True)
    for part, array in zip(fetch.PARTS, arrays or small_set()):
        content = idx_bytes(array)
        name = f"{part}-ubyte" + ".gz" * zipped
        (folder / name).write_bytes(gzip.compress(content) if zipped else content)
    return folder
