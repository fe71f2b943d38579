"""Files are written atomically and never through a link; only regular files are read, since a pipe would block."""

import contextlib
import errno
import os
import re
import stat
from pathlib import Path

# a temporary file of replace_file, with the id of its process
TEMPORARY = re.compile(r"\..+\.(\d+)\.tinygen-tmp")


def opened(path, flags: int = os.O_RDONLY):
    """Open a regular file in binary mode; a file to write to must not be a link.  Raises OSError about `path`."""
    writing = flags & (os.O_WRONLY | os.O_RDWR)
    always = os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | (os.O_NOFOLLOW if writing else 0)
    try:
        number = os.open(path, flags | always, 0o666)
    except OSError as e:
        if writing and e.errno == errno.ELOOP:
            raise OSError(e.errno, "is a link, expected a file of its own", str(path)) from None
        raise
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(errno.EINVAL, "found a folder, pipe or device, expected a file", str(path))
    return open(number, {os.O_WRONLY: "wb", os.O_RDWR: "r+b"}.get(writing, "rb"))


def read(path, most: int) -> bytes:
    """Read a regular file of at most `most` bytes.  Raises OSError."""
    with opened(path) as f:
        content = f.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"found more than {most:,} bytes", str(path))
    return content


def replace_file(path, chunks) -> None:
    """Write `chunks` of bytes to a temporary file beside `path`, flush, rename.  Raises OSError about `path`."""
    path = Path(path)
    temporary = path.parent / f".{path.name}.{os.getpid()}.tinygen-tmp"
    try:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()  # left by a killed process that had our id
        with opened(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as f:
            for chunk in chunks:
                f.write(chunk)
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, path)
    except BaseException as e:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(e, OSError):
            e.filename, e.filename2 = str(path), None
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def remove_temporaries(folder) -> None:
    """Remove temporary files that killed processes left in a folder, and not those of running processes."""
    if not os.path.isdir(folder):
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            named = TEMPORARY.fullmatch(entry.name)
            if named and entry.is_file(follow_symlinks=False) and not _alive(int(named[1])):
                os.unlink(entry.path)


def _alive(number: int) -> bool:
    """Whether another process has this id."""
    if number == os.getpid():
        return False
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it belongs to another user
        return True
    return True
