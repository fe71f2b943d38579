"""Compiled code is kept in the user's cache folder; if nothing can be written there, we do without.

    tinygen/numba       compiled loops (`njit.py`)
    tinygen/cuda        machine code for NVIDIA GPUs (`cuda_source.py`)
    tinygen/hostcuda    .cu files compiled for this CPU (`hostcuda/build.py`)
    tinygen/cupy        what CuPy compiles, if its own folder cannot be written to (`cuda_device.py`)

A file is written under another name and renamed, so that no process sees half of it.  A digest of its content is kept
beside it: a file that was cut off or changed is not used.  Nothing is kept beside the source: a package may be
read-only, and if it is not, pip leaves such files behind when it uninstalls.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path

_temporary: list = []  # this process's own temporary folder, if it has one; removed when Python exits
_told: list = []  # the first reason why nothing could be kept


def folder(what: str = "numba") -> Path:
    """The cache folder for `what`; OSError if the user has no home folder."""
    base = os.environ.get("XDG_CACHE_HOME")
    if not base:
        try:
            base = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
        except RuntimeError as error:  # no $HOME, and no entry for this user in the system's list
            raise FileNotFoundError(f"no home folder: {error}") from None
    return Path(base, "tinygen", what)


@functools.cache
def temporary_folder() -> Path:
    """This process's own folder, for code that must be a file where nothing can be kept.  It is removed on exit."""
    _temporary.append(tempfile.TemporaryDirectory(prefix="tinygen-"))
    return Path(_temporary[0].name)


def writable_folder(what: str) -> Path:
    """`folder(what)`, or the temporary folder if that one cannot be written to."""
    try:
        return writable(folder(what))
    except OSError as error:
        tell(error)
        return temporary_folder()


def writable(path: Path) -> Path:
    """The folder, which is made if it does not exist; OSError if nothing can be written to it."""
    path.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path):
        return path


def write(path: Path, content: bytes) -> None:
    """Write a file so that no other process sees half of it.  An OSError leaves nothing behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    except BaseException:  # Ctrl-C too
        beside.unlink(missing_ok=True)
        raise


def keep(path: Path, content: bytes) -> Path:
    """Write a file, and its digest to a second file beside it: other programs read the first one as it is."""
    write(path, content)
    write(_digest_of(path), hashlib.sha256(content).digest())
    return path


def keep_file(path: Path, made: Path) -> Path:
    """`keep` for a file that a compiler has written on the same disk."""
    digest = hashlib.sha256(made.read_bytes()).digest()
    os.replace(made, path)
    write(_digest_of(path), digest)
    return path


def is_kept(path: Path) -> bool:
    """Whether the file exists and is as `keep` wrote it."""
    try:
        return _digest_of(path).read_bytes() == hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return False


def _digest_of(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def tell(error: OSError) -> None:
    """Say, once per process, why every process will have to compile again."""
    if _told:
        return
    _told.append(error)
    with suppress(OSError, ValueError, AttributeError):  # standard error is missing or closed
        print(f"tinygen: compiled code cannot be kept, each process compiles again: {error}", file=sys.stderr)
