"""Where datasets come from: the folder a user names, $TINYGEN_DATA, the user's cache, or a download."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http
import http.client
import os
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from tinygen.data.data_error import DataError
from tinygen.run import files
from tinygen.run.progress import Progress

PARTS = tuple(f"{split}-{kind}" for split in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
FILES = tuple(f"{part}-ubyte.gz" for part in PARTS)
FOLDERS = {"mnist": ("mnist", "MNIST"), "fashion-mnist": ("fashion_mnist", "fashion-mnist", "FashionMNIST")}
MIRRORS = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    "fashion-mnist": ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
}
SHA256 = {
    "mnist": (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
    "fashion-mnist": (
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
}
MOST_BYTES = 64 << 20  # more than any of these files: a mirror that sends more is wrong
TIMEOUT = 30  # seconds without a byte
ATTEMPTS = 5  # per mirror, each continuing where the last was cut off


def cache_dir() -> Path:
    """The user's cache folder for tinygen, which may not exist yet; a temporary one for a user without a home."""
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"]) / "tinygen"
    try:
        return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "tinygen"
    except RuntimeError:  # no $HOME, and no entry for this user in the password database
        return Path(tempfile.gettempdir()) / f"tinygen-{os.getuid()}"


def places(name: str, data_dir: str | Path | None = None) -> list[Path]:
    """The folders to search: the one a user names, $TINYGEN_DATA, the cache."""
    named = [("data folder", data_dir), ("TINYGEN_DATA", os.environ.get("TINYGEN_DATA") or None)]
    for origin, folder in named:
        if folder is not None and not os.path.isdir(folder):
            state = "is not a folder" if os.path.exists(folder) else "does not exist or cannot be reached"
            raise DataError(f"{name}: the {origin} {folder} {state}")
    return [Path(folder) for _, folder in named if folder is not None] + [cache_dir()]


def find_or_fetch(name: str, data_dir: str | Path | None = None) -> list[Path]:
    """The four IDX files of a dataset, in the order of `PARTS`, downloaded to the cache if necessary."""
    bases, downloads = places(name, data_dir), cache_dir() / FOLDERS[name][0]
    for base in bases:
        for folder in [*(base / sub for sub in FOLDERS[name]), base]:
            found = _files_in(folder, unfinished=folder == downloads)
            if found:
                _refuse_another_dataset(name, found[1])
                return found
    return _download(name, downloads, searched=bases)


def _files_in(folder, unfinished=False):
    """The four files, gzipped or not, or None if there are none; some of them are an error, except in a folder with an
    unfinished download."""
    try:
        present = {path.name: path for path in folder.iterdir()} if folder.is_dir() else {}
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror})") from None
    found = [present.get(f"{part}-ubyte.gz") or present.get(f"{part}-ubyte") for part in PARTS]
    missing = [part for part, path in zip(PARTS, found) if path is None]
    if 0 < len(missing) < len(PARTS) and not unfinished:
        raise DataError(f"{folder}: lacks {', '.join(f'{part}-ubyte[.gz]' for part in missing)}")
    return None if missing else found


def _refuse_another_dataset(name, labels):
    """MNIST and Fashion-MNIST use the same file names; the small label file tells them apart."""
    try:
        if not labels.is_file() or labels.stat().st_size > 1 << 20:
            return  # the reader will report what is wrong with it
        digest = hashlib.sha256(labels.read_bytes()).hexdigest()
    except OSError:
        return
    for other, digests in SHA256.items():
        if other != name and digest == digests[1]:
            raise DataError(f"{labels}: this is {other}, expected {name}; put {name} in a folder of its own")


def _download(name, folder, searched):
    reasons = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, sha256 in zip(FILES, SHA256[name]):
            if not (folder / file).exists():
                _first_mirror([url + file for url in MIRRORS[name]], folder / file, sha256, reasons)
        return [folder / file for file in FILES]
    except OSError as error:  # URLError and timeouts are OSErrors too
        reasons.append(str(error))
    raise DataError(
        f"{name}: not in {', '.join(map(str, searched))}, and the download failed ({'; '.join(reasons)}); "
        f"put {', '.join(FILES)} into {folder}, or name their folder with --data-dir or TINYGEN_DATA{_kept(folder)}"
    )


def _kept(folder):
    """A note about partial files."""
    size = sum(_part(folder / file).stat().st_size for file in FILES if _part(folder / file).is_file())
    return f"; {size:,} bytes of it are kept, and the next call continues from there" if size else ""


def _part(path):
    """Where the beginning of a file is kept until the download is complete."""
    return path.with_name(f".{path.name}.part")


def _first_mirror(urls, path, sha256, reasons):
    with _held(_part(path)) as part:
        if path.exists():  # another process fetched it while we waited
            return
        for url in urls:
            try:
                return _fetch(url, path, part, sha256)
            except (OSError, ValueError, http.client.HTTPException) as error:
                reasons.append(f"{url}: {error}")
    raise OSError("no mirror delivered it")


@contextlib.contextmanager
def _held(path):
    """Lock the partial file for this process; it is kept for the next call to continue from, unless it is empty."""
    while True:
        part = files.opened(path, os.O_RDWR | os.O_CREAT)
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(part, fcntl.LOCK_EX)
        if _is_at(part, path):
            break
        part.close()  # another process removed or completed it
    with part:
        try:
            yield part
        finally:
            if part.seek(0, os.SEEK_END) == 0 and _is_at(part, path):
                path.unlink()


def _is_at(file, path):
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _fetch(url, path, part, sha256):
    """Append what is missing to `part`, verify it, then rename it, so that `path` never holds half a file.

    The checksum tells whether the pieces belong together, so they may come from several mirrors and days.  Pieces that
    do not fit together are discarded, and the whole file is requested again.
    """
    for _ in range(ATTEMPTS):
        begun = part.seek(0, os.SEEK_END)
        ended = _digest(part) == sha256 or _append(url, path.name, part)
        digest, size = _digest(part), part.tell()
        if digest == sha256:
            os.fsync(part.fileno())
            os.replace(_part(path), path)
            return
        if ended:
            part.truncate(0)
            if not begun:
                raise ValueError(f"sha256 {digest} of {size:,} bytes, expected {sha256}")
        elif size <= begun:
            break
    raise ValueError(f"the connection was lost after {size:,} bytes")


def _append(url, name, part) -> bool:
    """Request what follows after the end of `part` and append it.  -> whether the end of the file was reached"""
    have = part.seek(0, os.SEEK_END)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if have and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return True  # it is at least as long as the file
        raise
    with response:
        if have and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            have = part.truncate(0)  # a server without ranges sends the whole file
            part.seek(0)
        length = int(response.headers.get("Content-Length") or 0)
        total = have + length if length else None
        with contextlib.closing(Progress(name, total, have, unit="B", unit_scale=True)) as shown:
            while chunk := _received(response):
                have += len(chunk)
                if have > MOST_BYTES:
                    part.truncate(0)
                    raise ValueError(f"sends more than {MOST_BYTES:,} bytes")
                part.write(chunk)
                shown.update(len(chunk))
        part.flush()
    return chunk is not None and (total is None or have >= total)


def _received(response) -> bytes | None:
    """The next bytes; empty at the end, None if the connection was lost."""
    try:
        return response.read(1 << 16)
    except (OSError, http.client.HTTPException):
        return None


def _digest(part) -> str:
    """sha256 of the whole file; leaves the position at its end."""
    part.seek(0)
    digest = hashlib.sha256()
    while chunk := part.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()
