"""What was compiled is kept in the user's cache folder, whole or not at all; where it cannot be, we do without.

    tinygen/numba       compiled loops (`njit.py`)
    tinygen/cuda        machine code of NVIDIA's cards (`cuda_source.py`)
    tinygen/hostcuda    .cu files compiled for this CPU (`hostcuda/build.py`)

A file is written beside its place and renamed, so that no process sees half of it, and a digest of its content is
kept: one that was cut off or changed is not used.  Nothing is ever kept beside the source: a package may be read-only,
and where it is not, pip leaves such files behind when it uninstalls.
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

_temporary: list = []  # the folder of this process's own, if there is one; removed when Python ends
_told: list = []  # the first reason not to keep anything


def folder(what: str = "numba") -> Path:
    """Where it is kept; OSError where the user has no home folder."""
    base = os.environ.get("XDG_CACHE_HOME")
    if not base:
        try:
            base = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
        except RuntimeError as error:  # no $HOME, and no entry for this user in the system's list
            raise FileNotFoundError(f"no home folder: {error}") from None
    return Path(base, "tinygen", what)


@functools.cache
def temporary_folder() -> Path:
    """A folder of this process's own, for what must be a file where no file can be kept; gone at the end."""
    _temporary.append(tempfile.TemporaryDirectory(prefix="tinygen-"))
    return Path(_temporary[0].name)


def writable_folder(what: str) -> Path:
    """`folder(what)`, or the temporary one where nothing can be written there."""
    try:
        path = folder(what)
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        tell(error)
        return temporary_folder()


def write(path: Path, content: bytes) -> None:
    """Write a file so that no other process sees half of it.  OSError leaves nothing behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    except BaseException:  # Ctrl-C too
        beside.unlink(missing_ok=True)
        raise


def keep(path: Path, content: bytes) -> Path:
    """Write a file, and its digest into another beside it: a file that other programs read stays what it is."""
    write(path, content)
    write(_digest_of(path), hashlib.sha256(content).digest())
    return path


def keep_file(path: Path, made: Path) -> Path:
    """The same of a file that a compiler made on the same disk."""
    digest = hashlib.sha256(made.read_bytes()).digest()
    os.replace(made, path)
    write(_digest_of(path), digest)
    return path


def is_kept(path: Path) -> bool:
    """Whether the file is there as `keep` wrote it."""
    try:
        return _digest_of(path).read_bytes() == hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return False


def _digest_of(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def tell(error: OSError) -> None:
    """Say, once in a process, why every process will compile again."""
    if _told:
        return
    _told.append(error)
    with suppress(OSError, ValueError, AttributeError):  # no standard error, or a closed one
        print(f"tinygen: compiled code cannot be kept, each process compiles anew: {error}", file=sys.stderr)
