"""The glyphs dataset: its pictures, its fonts and its cache."""

import time

import numpy as np
from support.idx_files import nowhere  # noqa: F401

from tinygen import data
from tinygen.data import datasets, fetch, glyphs


def test_glyphs_are_what_they_say():
    start = time.perf_counter()
    images, labels, test_images, test_labels = glyphs.generate(1500, 500)
    print(f"2000 glyphs in {time.perf_counter() - start:.2f} s")
    assert images.shape == (1500, 28, 28) and test_images.shape == (500, 28, 28)
    assert images.dtype == labels.dtype == np.uint8
    assert np.bincount(labels).min() > 100 and np.bincount(test_labels).min() > 25
    rim = np.ones((28, 28), bool)
    rim[1:-1, 1:-1] = False
    assert images[:, rim].max() == 0  # nothing is clipped
    filled = images.max(axis=(1, 2))
    assert filled.min() > 100 and filled.mean() > 240
    height = (images.max(axis=2) > 60).sum(axis=1)
    assert height.min() >= 12 and height.max() <= 21 and 17 < height.mean() < 20
    assert 0.08 < images.mean() / 255 < 0.16  # MNIST: 0.13
    again = glyphs.generate(1500, 500)
    assert datasets.contents_sha256(again) == datasets.contents_sha256(
        (images, labels, test_images, test_labels)
    )
    other = glyphs.generate(1500, 500, seed=1)
    assert (other[0] != images).any(axis=(1, 2)).all()
    # a nearest-mean classifier finds the labels, so the pictures show their digits
    flat = images.reshape(1500, -1).astype(float)
    means = np.stack([flat[labels == k].mean(axis=0) for k in range(10)])
    nearest = ((test_images.reshape(500, 1, -1) - means) ** 2).sum(-1).argmin(1)
    assert (nearest == test_labels).mean() > 0.7


def test_glyph_fonts():
    assert not set(glyphs.TRAIN_FONTS) & set(glyphs.TEST_FONTS)
    for font in glyphs.TRAIN_FONTS + glyphs.TEST_FONTS:
        ones, eights = (glyphs._outline(font, digit)[1] for digit in (1, 8))
        assert len(ones) == 1 and len(eights) == 3  # digits, not a box for "no such glyph"


def test_distance_field():
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]]) * 1.0
    field = glyphs._distance_field([square, square[::-1] / 2])  # with a square hole
    axis = np.linspace(-glyphs.REACH, glyphs.REACH, glyphs.GRID)
    x, y = np.meshgrid(axis, axis)
    outer, inner = 1 - np.maximum(abs(x), abs(y)), np.maximum(abs(x), abs(y)) - 0.5
    edge_only = np.minimum(abs(x), abs(y)) < 0.5  # beyond it, a corner is nearest
    np.testing.assert_allclose(field[edge_only], np.minimum(outer, inner)[edge_only], atol=1e-6)
    np.testing.assert_array_equal(field > 0, np.minimum(outer, inner) > 0)


def test_glyphs_cache(monkeypatch, capsys):
    drawn = []
    generate = glyphs.generate
    monkeypatch.setattr(datasets, "GLYPHS_SHAPES", ((30, 28, 28), (30,), (10, 28, 28), (10,)))
    monkeypatch.setattr(glyphs, "generate", lambda n, m: drawn.append(1) or generate(n, m))
    first = data.load("glyphs")
    assert first.train_labels.dtype == np.int64 and len(first.test_images) == 10
    assert data.load().sha256 == first.sha256 and len(drawn) == 1
    (cache,) = fetch.cache_dir().iterdir()
    good, flipped = cache.read_bytes(), bytearray(cache.read_bytes())
    flipped[1000] ^= 1
    capsys.readouterr()
    for bad in (bytes(flipped), good[:-1], b""):
        cache.write_bytes(bad)
        assert data.load("glyphs").sha256 == first.sha256
        assert "drawing glyphs again" in capsys.readouterr().err
        assert cache.read_bytes() == good
    assert len(drawn) == 4


def test_glyphs_without_a_writable_cache(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(datasets, "GLYPHS_SHAPES", ((3, 28, 28), (3,), (1, 28, 28), (1,)))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(data.load("glyphs").train_images) == 3
    assert "could not be cached" in capsys.readouterr().err
