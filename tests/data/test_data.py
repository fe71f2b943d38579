import gzip
import hashlib
import http.server
import os
import struct
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tinygen import data
from tinygen.data import DataError, datasets, fetch, glyphs, idx
from tinygen.random import Generator

REAL = Path(os.environ.get("TINYGEN_DATA") or Path(__file__).parents[3] / "shared/data")
needs_real = pytest.mark.skipif(not (REAL / "mnist").is_dir(), reason="no MNIST: set TINYGEN_DATA")


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


# finding files


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("sub", [True, False])
def test_finds_files_where_the_user_put_them(tmp_path, monkeypatch, name, zipped, sub):
    arrays = small_set()
    folder = write_set(tmp_path / "d" / (fetch.FOLDERS[name][0] if sub else "."), arrays, zipped)
    found = data.load(name, tmp_path / "d")
    assert found.folder == folder and found.name == name
    got = found.train_images, found.train_labels, found.test_images, found.test_labels
    for a, b in zip(got, arrays):
        np.testing.assert_array_equal(a, b)
        assert not a.flags.writeable
    assert [a.dtype for a in got] == [np.uint8, np.int64] * 2
    monkeypatch.setenv("TINYGEN_DATA", str(tmp_path / "d"))
    assert data.load(name).sha256 == found.sha256
    write_set(fetch.cache_dir() / fetch.FOLDERS[name][0], small_set(5, 3))
    monkeypatch.delenv("TINYGEN_DATA")
    assert len(data.load(name).train_images) == 5 and data.load(name).sha256 != found.sha256


def test_search_order_and_missing_folders(tmp_path, monkeypatch):
    write_set(tmp_path / "env", small_set(5, 3))
    monkeypatch.setenv("TINYGEN_DATA", str(tmp_path / "env"))
    assert len(data.load("mnist", write_set(tmp_path / "flag")).train_images) == 6
    (tmp_path / "empty").mkdir()
    assert len(data.load("mnist", tmp_path / "empty").train_images) == 5
    with pytest.raises(DataError, match=r"data folder .*absent does not exist"):
        data.load("mnist", tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is not a folder"):
        data.load("mnist", tmp_path / "file")
    monkeypatch.setenv("TINYGEN_DATA", str(tmp_path / "absent"))
    with pytest.raises(DataError, match=r"TINYGEN_DATA .*absent does not exist"):
        data.load("mnist")


def test_incomplete_folder_names_what_is_missing(tmp_path):
    folder = write_set(tmp_path / "mnist")
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"mnist: lacks t10k-labels-idx1-ubyte\[.gz\]$"):
        data.load("mnist", tmp_path)


def test_unknown_name():
    with pytest.raises(DataError, match="'minst'; known: glyphs, mnist, fashion-mnist"):
        data.load("minst")


# bad files, in place of the first training file

IMAGES, LABELS = (idx_bytes(a) for a in small_set()[:2])
GOOD = gzip.compress(IMAGES)


def header(*shape):
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


BAD_IMAGES = {
    "empty": (b"", "0 bytes of data"),
    "no gzip": (IMAGES, "not a whole gzip file"),
    "gzip cut": (GOOD[: len(GOOD) // 2], "damaged or truncated"),
    "gzip crc": (GOOD[:-8] + bytes(b ^ 1 for b in GOOD[-8:-4]) + GOOD[-4:], "not a whole gzip file .CRC"),
    "gzip flipped": (GOOD[:3000] + bytes([GOOD[3000] ^ 255]) + GOOD[3001:], "gzip"),
    "gzip and garbage": (GOOD + b"garbage", "not a whole gzip file"),
    "short header": (gzip.compress(IMAGES[:9]), "9 bytes of data, expected an IDX header of 16"),
    "wrong magic": (gzip.compress(b"\x89PNG" + IMAGES[4:]), "starts with 89 50 4e 47, expected 00 00 08 03"),
    "float payload": (gzip.compress(b"\0\0\x0d\x03" + IMAGES[4:]), "starts with 00 00 0d 03"),
    "labels as images": (gzip.compress(LABELS + bytes(99)), "starts with 00 00 08 01, expected 00 00 08 03"),
    "32 x 32": (gzip.compress(header(6, 32, 32) + bytes(6 * 1024)), "32 x 32, expected 28 x 28"),
    "no images": (gzip.compress(header(0, 28, 28)), "0 items"),
    "truncated": (gzip.compress(IMAGES[:-1]), "promises 4,704 bytes of data, found only 4,703"),
    "trailing": (gzip.compress(IMAGES + b"\0"), "promises 4,704 bytes of data, found more"),
    "huge count": (gzip.compress(header(2**32 - 1, 28, 28)), "promises 4,294,967,295 items"),
    "huge sides": (gzip.compress(header(1, 2**32 - 1, 2**32 - 1)), "4294967295 x 4294967295"),
    "more than fits": (gzip.compress(header(900_000, 28, 28)), "the file cannot hold"),
}


@pytest.mark.parametrize("content, message", BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_bad_image_file(tmp_path, content, message):
    path = write_set(tmp_path) / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        data.load("mnist", tmp_path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "0 bytes of data"),
        (IMAGES[:-5], "found only 4,699"),
        (IMAGES + b"\0", "found more"),
        (header(900_000, 28, 28), "the file cannot hold"),
    ],
)
def test_bad_image_file_not_zipped(tmp_path, content, message):
    (write_set(tmp_path, zipped=False) / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(DataError, match=message):
        data.load("mnist", tmp_path)


def test_bad_labels(tmp_path):
    images, labels, *test = small_set()
    labels[3] = 10
    with pytest.raises(DataError, match="label 10 at 3, expected labels 0 to 9"):
        data.load("mnist", write_set(tmp_path / "a", [images, labels, *test]))
    with pytest.raises(DataError, match=r"6 images, but train-labels-idx1-ubyte.gz has 5 labels"):
        data.load("mnist", write_set(tmp_path / "b", [images, labels[:3].repeat(2)[:5], *test]))


def test_gzip_bomb_stops_one_byte_past_its_promise(tmp_path, monkeypatch):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(header(2, 28, 28))
        for _ in range(64):
            file.write(bytes(1 << 20))
    taken, read = [], gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda self, n: taken.append(read(self, n)) or taken[-1])
    with pytest.raises(DataError, match="found more"):
        idx.read_images(path)
    assert sum(map(len, taken)) == 16 + 2 * 784 + 1


def test_a_folder_a_pipe_or_a_locked_file_in_place_of_a_file(tmp_path, monkeypatch):
    path = write_set(tmp_path) / "train-images-idx3-ubyte.gz"
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: not a file"):
        data.load("mnist", tmp_path)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(DataError, match="not a file"):
        data.load("mnist", tmp_path)
    path.unlink()
    path.write_bytes(GOOD)
    locked = PermissionError(13, "Permission denied")  # root ignores permissions
    monkeypatch.setattr(Path, "open", lambda *_, **k: (_ for _ in ()).throw(locked))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: cannot be read .Permission denied"):
        data.load("mnist", tmp_path)


# downloading


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A local mirror of a small dataset, registered as mnist with its checksums."""
    folder = write_set(tmp_path / "mirror")
    digests = tuple(hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in fetch.FILES)
    monkeypatch.setitem(fetch.SHA256, "mnist", digests)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setitem(
        fetch.MIRRORS, "mnist", ("http://127.0.0.1:9/", f"http://127.0.0.1:{server.server_port}/")
    )
    yield folder
    server.shutdown()
    server.server_close()


def test_download_falls_back_checks_and_caches(mirror, capfd):
    found = data.load("mnist")
    assert found.folder == fetch.cache_dir() / "mnist" and len(found.train_images) == 6
    assert sorted(p.name for p in found.folder.iterdir()) == sorted(fetch.FILES)  # no temporary file
    assert capfd.readouterr().err == ""  # the progress bar needs a terminal
    for path in mirror.iterdir():
        path.unlink()
    assert data.load("mnist").sha256 == found.sha256


def test_download_refuses_another_file(mirror):
    (mirror / fetch.FILES[2]).write_bytes(b"<html>log in first</html>")
    with pytest.raises(DataError, match=r"sha256 .* of 25 bytes, expected"):
        data.load("mnist")
    assert sorted(p.name for p in (fetch.cache_dir() / "mnist").iterdir()) == sorted(fetch.FILES[:2])


def test_download_stops_at_a_bound(mirror, monkeypatch):
    monkeypatch.setattr(fetch, "MOST_BYTES", 100)
    with pytest.raises(DataError, match="sends more than 100 bytes"):
        data.load("mnist")


class Mirror(http.server.SimpleHTTPRequestHandler):
    """A server that supports ranges and cuts off connections."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        content = Path(self.directory, self.path[1:]).read_bytes()
        asked = self.headers.get("Range")
        self.server.asked.append((self.path[1:], asked))
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.ranges else 0
        if start >= len(content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(content[start : start + self.server.most])
        self.close_connection = True


@pytest.fixture
def server(mirror, monkeypatch):
    """The only mirror of mnist: `most` bytes per answer, with or without `ranges`; `asked` holds the requests."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Mirror, directory=mirror))
    server.most, server.ranges, server.asked, server.folder = 10**9, True, [], mirror
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setitem(fetch.MIRRORS, "mnist", (f"http://127.0.0.1:{server.server_port}/",))
    yield server
    server.shutdown()
    server.server_close()


def part_of(file, content):
    fetch.cache_dir().joinpath("mnist").mkdir(parents=True, exist_ok=True)
    fetch.cache_dir().joinpath("mnist", f".{file}.part").write_bytes(content)


def test_a_download_goes_on_where_it_was_cut_off(server):
    sizes = [(server.folder / file).stat().st_size for file in fetch.FILES]
    server.most = max(sizes) // 3 + 1
    assert len(data.load("mnist").train_images) == 6
    first = [asked for file, asked in server.asked if file == fetch.FILES[0]]
    assert first == [None, f"bytes={server.most}-", f"bytes={2 * server.most}-"]
    assert sorted(p.name for p in (fetch.cache_dir() / "mnist").iterdir()) == sorted(fetch.FILES)


def test_an_interrupted_download_is_kept_and_finished_by_the_next_call(server, monkeypatch):
    whole = [(server.folder / file).read_bytes() for file in fetch.FILES]
    seen = []

    def interrupted(response):
        chunk = response.read(7)
        seen.append(chunk)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return chunk

    server.most = 10**9
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(fetch, "_received", interrupted)
        data.load("mnist")
    folder = fetch.cache_dir() / "mnist"
    assert os.listdir(folder) == [f".{fetch.FILES[0]}.part"]
    assert (folder / f".{fetch.FILES[0]}.part").read_bytes() == whole[0][:21]
    server.asked.clear()
    (server.folder / fetch.FILES[2]).rename(server.folder / "away")
    with pytest.raises(DataError, match="the download failed"):  # the two files that exist are kept
        data.load("mnist")
    assert server.asked[0] == (fetch.FILES[0], "bytes=21-")
    (server.folder / "away").rename(server.folder / fetch.FILES[2])
    server.asked.clear()
    data.load("mnist")
    assert [file for file, _ in server.asked] == list(fetch.FILES[2:])


def test_a_server_that_gives_up_every_time_is_left_and_its_bytes_are_kept(server):
    server.most = 3
    with pytest.raises(DataError, match=r"connection was lost after 15 bytes.*; 15 bytes of it are kept"):
        data.load("mnist")
    assert len(server.asked) == fetch.ATTEMPTS
    server.most = 0
    with pytest.raises(DataError, match=r"connection was lost after 15 bytes"):
        data.load("mnist")
    assert len(server.asked) == fetch.ATTEMPTS + 1  # no bytes arrived
    server.most = 10**9
    data.load("mnist")
    assert server.asked[fetch.ATTEMPTS + 1] == (fetch.FILES[0], "bytes=15-")


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("begun", ["changed", "too long", "whole", "good"])
def test_pieces_that_do_not_fit_are_thrown_away(server, ranges, begun):
    """The file has changed, the piece is longer than the file, or the server ignores ranges and sends everything."""
    content = (server.folder / fetch.FILES[0]).read_bytes()
    part = {"changed": b"x" * 9, "too long": content + b"x", "whole": content, "good": content[:9]}[begun]
    part_of(fetch.FILES[0], part)
    server.ranges = ranges
    data.load("mnist")
    asked = [asked for file, asked in server.asked if file == fetch.FILES[0]]
    again = ranges and begun in ("changed", "too long")
    assert asked == ([] if begun == "whole" else [f"bytes={len(part)}-"] + [None] * again)


def test_two_processes_do_not_write_into_one_partial_file(server):
    server.most = 2000
    found, threads = [], []
    for _ in range(3):
        threads.append(threading.Thread(target=lambda: found.append(data.load("mnist").sha256)))
        threads[-1].start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 3 and len(set(found)) == 1


def test_a_partial_file_that_is_a_link_or_a_pipe_is_refused(server):
    folder = fetch.cache_dir() / "mnist"
    folder.mkdir(parents=True)
    (folder / "victim").write_text("precious")
    part = folder / f".{fetch.FILES[0]}.part"
    for make in lambda: part.symlink_to("victim"), lambda: os.mkfifo(part):
        make()
        with pytest.raises(DataError, match="download failed"):
            data.load("mnist")
        part.unlink()
    assert (folder / "victim").read_text() == "precious"


def test_offline_says_which_files_to_put_where():
    with pytest.raises(DataError) as caught:
        data.load("fashion-mnist")
    message = str(caught.value)
    for part in (*fetch.FILES, str(fetch.cache_dir() / "fashion_mnist"), "--data-dir", "refused"):
        assert part in message
    assert "\n" not in message


def test_unwritable_cache_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DataError, match="download failed"):
        data.load("mnist")


# the real files


@needs_real
def test_real_mnist_and_fashion():
    mnist, fashion = data.load("mnist", REAL), data.load("fashion-mnist", REAL)
    for one in (mnist, fashion):
        assert one.train_images.shape == (60_000, 28, 28) and one.test_images.shape == (10_000, 28, 28)
        assert one.train_labels.shape == (60_000,) and one.test_labels.shape == (10_000,)
    assert mnist.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert fashion.train_labels[:5].tolist() == [9, 0, 0, 3, 0]
    assert abs(mnist.train_images.mean() / 255 - 0.1307) < 1e-4
    for name in fetch.SHA256:
        for path, digest in zip(fetch.find_or_fetch(name, REAL), fetch.SHA256[name]):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == digest


@needs_real
def test_mnist_is_not_taken_for_fashion():
    with pytest.raises(DataError, match="this is mnist, expected fashion-mnist"):
        data.load("fashion-mnist", REAL / "mnist")


# glyphs


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


# batches and toys


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


# CIFAR-10


def cifar_folder(path, train=(7, 5), test=3, zipped=True, label=None):
    """Files in the binary format with random pixels.  -> all records"""
    path.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    parts = {f"data_batch_{i + 1}": n for i, n in enumerate(train)} | {"test_batch": test}
    records = []
    for name, n in parts.items():
        part = np.concatenate([rng.integers(10, size=(n, 1)), rng.integers(256, size=(n, 3072))], 1).astype(
            np.uint8
        )
        if label is not None:
            part[-1, 0] = label
        content = part.tobytes()
        (path / f"{name}.bin{'.gz' if zipped else ''}").write_bytes(
            gzip.compress(content) if zipped else content
        )
        records.append(part)
    return records


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("sub", ["cifar10", "cifar-10-batches-bin", "."])
def test_cifar_files_where_the_user_put_them(tmp_path, zipped, sub):
    first, second, test = cifar_folder(tmp_path / sub, zipped=zipped)
    found = data.load("cifar10", tmp_path)
    assert found.train_images.shape == (12, 3, 32, 32) and found.test_images.shape == (3, 3, 32, 32)
    assert found.train_labels.tolist() == [*first[:, 0], *second[:, 0]]
    red, green, blue = (second[1, 1 + 1024 * c : 1 + 1024 * (c + 1)].reshape(32, 32) for c in range(3))
    assert (found.train_images[8] == np.stack([red, green, blue])).all()
    assert (found.test_images[2].reshape(-1) == test[2, 1:]).all()
    assert not found.train_images.flags.writeable and found.folder == tmp_path / sub


def test_damaged_cifar_files(tmp_path):
    cifar_folder(tmp_path, label=10)
    with pytest.raises(DataError, match=r"data_batch_1.bin.gz: label 10 at 6, expected labels 0 to 9"):
        data.load("cifar10", tmp_path)
    cifar_folder(tmp_path, zipped=False)
    (tmp_path / "data_batch_1.bin").write_bytes(bytes(4000))
    for path in tmp_path.glob("*.gz"):
        path.unlink()
    with pytest.raises(DataError, match="4000 bytes of data, expected records of 3073"):
        data.load("cifar10", tmp_path)
    (tmp_path / "test_batch.bin").unlink()
    with pytest.raises(DataError, match=r"cifar10: not in .*, and not downloaded; unpack cifar-10-binary"):
        data.load("cifar10", tmp_path)


def test_colour_where_grey_is_needed(tmp_path):
    with pytest.raises(
        DataError, match="images of cifar10 are 3 x 32 x 32, this network takes 28 x 28 in grey"
    ):
        data.load("cifar10", tmp_path, grey=True)


def test_a_user_without_a_home_has_a_temporary_cache(monkeypatch):
    """$HOME is not set, and the user is not in the system's user database."""

    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    assert fetch.cache_dir() == Path(tempfile.gettempdir()) / f"tinygen-{os.getuid()}"
