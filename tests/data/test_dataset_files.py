"""Datasets in files: where they are found, and what is wrong with bad ones."""

import gzip
import hashlib
import os
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from support.idx_files import idx_bytes, nowhere, small_set, write_set  # noqa: F401

from tinygen import data
from tinygen.data import DataError, fetch, idx

REAL = Path(os.environ.get("TINYGEN_DATA") or Path(__file__).parents[3] / "shared/data")
needs_real = pytest.mark.skipif(not (REAL / "mnist").is_dir(), reason="no MNIST: set TINYGEN_DATA")


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
