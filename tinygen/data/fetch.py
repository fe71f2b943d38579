"""Where datasets live: the folder a user names, $TINYGEN_DATA, the user's cache, else the net."""

from __future__ import annotations

import hashlib
import http.client
import os
import sys
import tempfile
import urllib.request
from pathlib import Path

from tinygen.data.errors import DataError

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
MOST_BYTES = 64 << 20  # a mirror that sends more than this is not sending one of these files
TIMEOUT = 30  # seconds without a byte


def cache_dir() -> Path:
    """The user's cache folder for tinygen; it may not exist yet."""
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"]) / "tinygen"
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "tinygen"


def places(name: str, data_dir: str | Path | None = None) -> list[Path]:
    """The folders to look in: the one a user names, $TINYGEN_DATA, the cache."""
    named = [("data folder", data_dir), ("TINYGEN_DATA", os.environ.get("TINYGEN_DATA") or None)]
    for origin, folder in named:
        if folder is not None and not os.path.isdir(folder):
            state = "is not a folder" if os.path.exists(folder) else "does not exist or cannot be reached"
            raise DataError(f"{name}: the {origin} {folder} {state}")
    return [Path(folder) for _, folder in named if folder is not None] + [cache_dir()]


def find_or_fetch(name: str, data_dir: str | Path | None = None) -> list[Path]:
    """The four IDX files of a dataset, in the order of `PARTS`; downloaded into the cache if need be."""
    bases = places(name, data_dir)
    for base in bases:
        for folder in [*(base / sub for sub in FOLDERS[name]), base]:
            found = _files_in(folder)
            if found:
                _refuse_another_dataset(name, found[1])
                return found
    return _download(name, cache_dir() / FOLDERS[name][0], searched=bases)


def _files_in(folder):
    """The four files, zipped or not; none is fine, some is an error."""
    try:
        present = {path.name: path for path in folder.iterdir()} if folder.is_dir() else {}
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror})") from None
    found = [present.get(f"{part}-ubyte.gz") or present.get(f"{part}-ubyte") for part in PARTS]
    missing = [part for part, path in zip(PARTS, found) if path is None]
    if 0 < len(missing) < len(PARTS):
        raise DataError(f"{folder}: lacks {', '.join(f'{part}-ubyte[.gz]' for part in missing)}")
    return None if missing else found


def _refuse_another_dataset(name, labels):
    """MNIST and Fashion-MNIST use the same file names; the small label file tells them apart."""
    try:
        if not labels.is_file() or labels.stat().st_size > 1 << 20:
            return  # the reader will say what is wrong with it
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
        f"put {', '.join(FILES)} into {folder}, or name their folder with --data-dir or TINYGEN_DATA"
    )


def _first_mirror(urls, path, sha256, reasons):
    for url in urls:
        try:
            return _fetch(url, path, sha256)
        except (OSError, ValueError, http.client.HTTPException) as error:
            reasons.append(f"{url}: {error}")
    raise OSError("no mirror delivered it")


def _fetch(url, path, sha256):
    """Stream to a temporary file beside `path`, check, rename: the name never holds half a file."""
    from tqdm import tqdm

    digest, size = hashlib.sha256(), 0
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as out, urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            total = int(response.headers.get("Content-Length") or 0) or None
            bar = tqdm(
                total=total, unit="B", unit_scale=True, desc=path.name, disable=not sys.stderr.isatty()
            )
            with bar:
                while chunk := response.read(1 << 16):
                    size += len(chunk)
                    if size > MOST_BYTES:
                        raise ValueError(f"sends more than {MOST_BYTES:,} bytes")
                    digest.update(chunk)
                    out.write(chunk)
                    bar.update(len(chunk))
            out.flush()
            os.fsync(out.fileno())
        if digest.hexdigest() != sha256:
            raise ValueError(f"sha256 {digest.hexdigest()} of {size:,} bytes, expected {sha256}")
        os.replace(part, path)
    finally:
        if os.path.exists(part):
            os.unlink(part)
