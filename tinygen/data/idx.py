"""IDX, the format of MNIST: a magic number, the sizes, then the bytes.  LeCun, Cortes, Burges 1998.

    00 00 08 rank | rank sizes, big-endian uint32 | uint8 payload         (08: the type code of uint8)

A header may lie: no memory is allocated until the file is known to hold that much.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tinygen.data.data_error import DataError

SIDE = 28
MOST_ITEMS = 1_000_000  # more than the largest MNIST-like set (EMNIST, 814,255); bounds the memory a gzip bomb can fill
_CHUNK = 1 << 20
_INFLATE = 1100  # deflate cannot expand more than 1032 to 1


def read_images(path: Path) -> np.ndarray:
    """-> (n, 28, 28) uint8, read-only"""
    return _read_idx(path, rank=3)


def read_labels(path: Path) -> np.ndarray:
    """-> (n,) int64 within 0..9"""
    labels = _read_idx(path, rank=1)
    if labels.max() > 9:
        raise DataError(f"{path}: label {labels.max()} at {labels.argmax()}, expected labels 0 to 9")
    return labels.astype(np.int64)


def _read_idx(path, rank):
    with opened(path) as (file, limit):
        return _parse(path, file, rank, limit)


@contextmanager
def opened(path: Path):
    """Open a file, gzipped or not; yields it with an upper bound of its bytes.  Errors inside become DataErrors."""
    try:
        if not path.is_file():
            raise DataError(f"{path}: not a file")  # a folder, or a pipe that would block
        with path.open("rb") as raw:
            size = path.stat().st_size
            if not path.name.endswith(".gz"):
                yield raw, size
                return
            with gzip.GzipFile(fileobj=raw) as file:
                yield file, size * _INFLATE
    except gzip.BadGzipFile as error:
        raise DataError(f"{path}: not a whole gzip file ({error})") from None
    except (EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged or truncated gzip data ({error})") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None


def _parse(path, file, rank, limit):
    head = file.read(4 + 4 * rank)
    if len(head) < 4 + 4 * rank:
        raise DataError(f"{path}: {len(head)} bytes of data, expected an IDX header of {4 + 4 * rank}")
    if head[:4] != bytes([0, 0, 8, rank]):
        raise DataError(f"{path}: starts with {head[:4].hex(' ')}, expected 00 00 08 {rank:02x} (IDX, uint8)")
    shape = struct.unpack(f">{rank}I", head[4:])
    if shape[1:] not in ((), (SIDE, SIDE)):
        raise DataError(f"{path}: images of {shape[1]} x {shape[2]}, expected {SIDE} x {SIDE}")
    if not 1 <= shape[0] <= MOST_ITEMS:
        raise DataError(f"{path}: the header promises {shape[0]:,} items, expected 1 to {MOST_ITEMS:,}")
    expected = math.prod(shape)
    if expected > limit:
        raise DataError(f"{path}: the header promises {expected:,} bytes, the file cannot hold as many")
    payload = bytearray()
    while len(payload) <= expected:  # one byte more than promised: reaching the end checks the gzip CRC too
        chunk = file.read(min(_CHUNK, expected + 1 - len(payload)))
        if not chunk:
            break
        payload += chunk
    if len(payload) != expected:
        found = f"only {len(payload):,}" if len(payload) < expected else "more"
        raise DataError(f"{path}: the header promises {expected:,} bytes of data, found {found}")
    data = np.frombuffer(payload, np.uint8).reshape(shape)
    data.flags.writeable = False
    return data
