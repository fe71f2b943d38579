"""Datasets by name: images with labels 0 to 9 in two splits, 28 x 28 grey except for cifar10."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from tinygen.data import cifar, fetch, glyphs, idx
from tinygen.data.data_error import DataError
from tinygen.data.toys import TOYS
from tinygen.run import files, flags
from tinygen.run.imports import whole
from tinygen.run.terminal import say

DATASETS = {
    "glyphs": "digits drawn from 12 fonts, 60,000 + 10,000 (held-out fonts); drawn on first use, no download",
    "mnist": "handwritten digits, 60,000 + 10,000; LeCun et al. 1998",
    "fashion-mnist": "garments in MNIST's format, 60,000 + 10,000; Xiao et al. 2017",
    "cifar10": "animals and vehicles, 32 x 32 in color, 50,000 + 10,000 or as many as found; Krizhevsky 2009",
}
flags.NAMES["data"] = DATASETS | TOYS  # what --data takes
GLYPHS_SHAPES = ((60_000, 28, 28), (60_000,), (10_000, 28, 28), (10_000,))


@dataclass(frozen=True, eq=False)  # eq: by identity, since arrays have no truth value
class Dataset:
    """Images (n, 28, 28), or (n, 3, 32, 32) in color, uint8, and labels (n,) int64, all read-only.

    `sha256` identifies the contents.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    sha256: str
    folder: Path

    def __repr__(self) -> str:
        images = f"train_images {self.train_images.shape}, test_images {self.test_images.shape}"
        return (
            f"Dataset({self.name!r}, {images}, labels, in {str(self.folder)!r}, sha256 {self.sha256[:12]}…)"
        )


def load(name: str = "glyphs", data_dir: str | Path | None = None, *, grey: bool = False) -> Dataset:
    """Load a dataset from `data_dir`, $TINYGEN_DATA, the user's cache or the network.  Raises DataError.

    grey   refuse color images, for networks that cannot take them
    """
    if name not in DATASETS:
        raise DataError(f"no dataset of images {name!r}; known: {', '.join(DATASETS)}")
    if grey and name == "cifar10":
        raise DataError(f"--data: images of {name} are 3 x 32 x 32, this network takes 28 x 28 in grey")
    if name == "cifar10":
        train, test = cifar.find(data_dir)
        arrays, folder = (*cifar.read(train), *cifar.read(test)), train[0].parent
    elif name == "glyphs":
        arrays, folder = _cached_glyphs(), fetch.cache_dir()
    else:
        paths = fetch.find_or_fetch(name, data_dir)
        arrays, folder = _read_all(paths), paths[0].parent
    sha256 = contents_sha256(arrays)
    images, labels, test_images, test_labels = arrays
    arrays = images, labels.astype(np.int64), test_images, test_labels.astype(np.int64)
    for array in arrays:
        array.flags.writeable = False
    return Dataset(name, *arrays, sha256=sha256, folder=folder)


def contents_sha256(arrays: tuple[np.ndarray, ...]) -> str:
    """sha256 over the shapes and the bytes of the arrays, as uint8."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array, np.uint8))
    return digest.hexdigest()


def _read_all(paths):
    arrays = []
    for images_path, labels_path in (paths[:2], paths[2:]):
        images, labels = idx.read_images(images_path), idx.read_labels(labels_path)
        if len(images) != len(labels):
            raise DataError(
                f"{images_path}: {len(images)} images, but {labels_path.name} has {len(labels)} labels"
            )
        arrays += [images, labels]
    return tuple(arrays)


def _cached_glyphs():
    """Read glyphs from the cache, or draw them and write them there.

    The file holds 32 bytes of sha256 and the bytes of the four arrays; its name changes with the code that draws.
    """
    source = hashlib.sha256(Path(glyphs.__file__).read_bytes()).hexdigest()[:8]
    path = fetch.cache_dir() / f"glyphs-{source}-{version('matplotlib')}.bin"
    try:
        return _read_cache(path)
    except FileNotFoundError:
        pass
    except (OSError, DataError) as error:
        _note(f"{error}; drawing glyphs again")
    whole("matplotlib.textpath")
    _note("drawing 70,000 glyphs, once (about 5 s) ...")
    arrays = glyphs.generate(*(GLYPHS_SHAPES[k][0] for k in (0, 2)))
    try:
        _write_cache(path, arrays)
    except OSError as error:
        _note(f"glyphs could not be cached: {error}")
    return arrays


def _read_cache(path):
    sizes = [int(np.prod(shape)) for shape in GLYPHS_SHAPES]
    if path.stat().st_size != 32 + sum(sizes):
        raise DataError(f"{path}: {path.stat().st_size:,} bytes, expected {32 + sum(sizes):,}")
    content = path.read_bytes()
    flat = np.split(np.frombuffer(content, np.uint8, offset=32), np.cumsum(sizes)[:-1])
    arrays = tuple(part.reshape(shape) for part, shape in zip(flat, GLYPHS_SHAPES))
    if contents_sha256(arrays) != content[:32].hex():
        raise DataError(f"{path}: its contents do not match its sha256")
    return arrays


def _write_cache(path, arrays):
    path.parent.mkdir(parents=True, exist_ok=True)
    files.remove_temporaries(path.parent)
    files.replace_file(path, [bytes.fromhex(contents_sha256(arrays)), *(array.data for array in arrays)])


def _note(text):
    say(f"tinygen: {text}")
