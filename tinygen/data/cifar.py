"""CIFAR-10 in its binary version: records of a label and 32 x 32 pixels, all red ones, then green, then blue.

Krizhevsky 2009.  It is not downloaded; its files, gzipped or not, are looked for in the same places as other datasets.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinygen.data import fetch
from tinygen.data.data_error import DataError
from tinygen.data.idx import MOST_ITEMS, opened

SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32
TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))


def find(data_dir: str | Path | None = None) -> tuple[list[Path], list[Path]]:
    """The files of the training split, one to five, and the file of the test split, which may be incomplete."""
    bases = fetch.places("cifar10", data_dir)
    for folder in [
        folder for base in bases for folder in (base / "cifar10", base / "cifar-10-batches-bin", base)
    ]:
        train = [path for name in TRAIN for path in sorted(folder.glob(f"{name}.bin*"))[:1]]
        test = sorted(folder.glob("test_batch*.bin*"))[:1]
        if train and test:
            return train, test
    raise DataError(
        f"cifar10: not in {', '.join(map(str, bases))}, and not downloaded; unpack cifar-10-binary.tar.gz from "
        "https://www.cs.toronto.edu/~kriz/cifar.html, and name the folder with --data-dir or TINYGEN_DATA"
    )


def read(paths: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """-> images (n, 3, 32, 32), labels (n,), both uint8"""
    records = np.concatenate([_records(path) for path in paths])
    return np.ascontiguousarray(records[:, 1:]).reshape(-1, *SHAPE), records[:, 0].copy()


def _records(path):
    with opened(path) as (file, _):
        content = file.read(MOST_ITEMS * RECORD // 10)
    if not content or len(content) % RECORD:
        raise DataError(f"{path}: {len(content)} bytes of data, expected records of {RECORD}")
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    if (worst := records[:, 0].max()) > 9:
        raise DataError(f"{path}: label {worst} at {records[:, 0].argmax()}, expected labels 0 to 9")
    return records
