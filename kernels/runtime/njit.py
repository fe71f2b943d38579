"""numba's `njit` for the files of loops: it announces the first compilation and keeps the code in the user's cache
folder.

numba's own cache lies beside the source, raises if it finds no place to write, and stops at a file that it cannot read.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import re
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from tinygen.kernels.runtime import disk_cache, lazy_import
from tinygen.kernels.runtime.announce import announce

DIGEST = 32  # bytes at the start of a cache file
PACKAGE = "tinygen.kernels."
KERNELS = Path(__file__).parents[1]


def njit(**options):
    """numba.njit(**options) for a function of this package; the first parallel=True also sets up the threads."""
    from tinygen.kernels.runtime import with_numba

    kept = options.pop("cache", False)
    _announce_the_first_compilation()
    _forks_wait()
    if options.get("parallel"):
        from tinygen.kernels.runtime.threads import start

        start()

    def decorate(function):
        loop = with_numba.njit(**options)(function)
        if kept:
            with suppress(OSError):  # the source is not a file: every process compiles it
                loop._cache = _cache_class()(function)
        return loop

    return decorate


@functools.cache
def _cache_class():
    """numba's cache for the compilations of one function, with our own files; see `_Files`."""
    from tinygen.kernels.runtime.with_numba import caching, cpu_target

    class Implementation(caching.CompileResultCacheImpl):
        _locator_classes = (_Locator,)

    class Cache(caching.FunctionCache):
        _impl_class = Implementation

        def __init__(self, function) -> None:
            super().__init__(function)
            locator = self._impl.locator
            self._cache_file = _Files(locator.folder, self._impl.filename_base, locator.get_source_stamp())

        def load_overload(self, signature, target):
            """The compiled code, or None if it cannot be read for any reason: then it is compiled again.

            If Ctrl-C interrupted this, numba would forget functions that it was about to register, so Ctrl-C waits.
            """
            with lazy_import.interrupts_wait(), suppress(Exception):
                cpu_target.typing_context.refresh()
                return super().load_overload(signature, target)

        def save_overload(self, signature, data) -> None:
            """Keep the code.  If the disk is full or the folder is read-only, the next process compiles again."""
            try:
                super().save_overload(signature, data)
            except OSError as error:
                disk_cache.tell(error)

    return Cache


class _Locator:
    """Tells numba where to keep the code of one function: a folder per location of this package."""

    def __init__(self, function, file: str) -> None:
        from tinygen.kernels.runtime.with_numba import config

        self._py_file, self.line = file, function.__code__.co_firstlineno
        place = os.path.dirname(os.path.abspath(file))
        place = f"{os.path.basename(place)}_{hashlib.sha1(place.encode()).hexdigest()}"
        try:
            self.folder = (Path(config.CACHE_DIR) if config.CACHE_DIR else disk_cache.folder()) / place
        except OSError as error:  # reported when there is something to keep
            self.folder = error

    from_function = classmethod(lambda cls, function, file: cls(function, file))

    def get_cache_path(self) -> str:
        return str(self.folder)

    def ensure_cache_path(self) -> None:
        """Nothing to do: the folder is made with the first file."""

    def get_disambiguator(self) -> str:
        return str(self.line)

    def get_source_stamp(self) -> str:
        return _stamp(Path(self._py_file))


@functools.cache
def _stamp(source: Path) -> str:
    """A hash of the file and of all files of loops that it imports: their code is compiled into its own."""
    found, waiting = {}, [source]
    while waiting:
        file = waiting.pop()
        found[file] = text = file.read_text(encoding="utf-8")
        waiting += [other for other in _imported_loops(file, text) if other not in found]
    content = repr((sorted((path.name, text) for path, text in found.items()), version("numba")))
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def _imported_loops(file: Path, text: str):
    """The files of loops and constants that `file` imports, beside it or in another folder of the kernels."""
    for module, names in re.findall(r"^from ([\w.]+) import ([\w, ]*|\([^)]*\))", text, re.MULTILINE):
        for name in (module, *(f"{module}.{n}" for n in re.findall(r"\w+", names))):
            path = KERNELS / f"{name.removeprefix(PACKAGE).replace('.', '/')}.py"
            if not name.startswith(PACKAGE):
                path = file.with_name(f"{name}.py")
            if path.stem.endswith(("loops", "constants")) and path.exists():
                yield path


class _Files:
    """One file per compilation of a function, named by everything it depends on, so that two processes may write at
    once.

    (numba has an index and numbered files; one process may overwrite what another has just listed.)
    """

    def __init__(self, folder: Path | OSError, name: str, stamp: str) -> None:
        self.folder, self.name, self.stamp = folder, name, stamp

    def path(self, key) -> Path:
        if isinstance(self.folder, OSError):
            raise self.folder
        return (
            self.folder
            / f"{self.name}.{self.stamp}.{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.nbc"
        )

    def load(self, key):
        content = self.path(key).read_bytes()
        digest, content = content[:DIGEST], content[DIGEST:]
        if hashlib.sha256(content).digest() == digest:
            known, data = pickle.loads(content)
            return data if known == key else None

    def save(self, key, data) -> None:
        from tinygen.kernels.runtime.with_numba import dumps

        path, content = self.path(key), dumps((key, data))
        disk_cache.write(path, hashlib.sha256(content).digest() + content)
        for old in self.folder.glob(f"{self.name}.*.nbc"):
            if not old.name.startswith(f"{self.name}.{self.stamp}."):  # from another version of the source
                old.unlink(missing_ok=True)

    def flush(self) -> None:
        for old in self.folder.glob(f"{self.name}.*.nbc"):
            old.unlink(missing_ok=True)


@functools.cache
def _forks_wait() -> None:
    """Make a fork wait until no other thread compiles: the child would wait forever for a thread it does not have."""
    from tinygen.kernels.runtime.with_numba import global_compiler_lock as lock

    def before() -> None:
        lazy_import.finish()  # an import may compile
        lock.acquire()

    os.register_at_fork(before=before, after_in_parent=lock.release, after_in_child=lock.release)


@functools.cache
def _announce_the_first_compilation() -> None:
    """Say once, on a terminal, why the first use takes seconds."""
    from tinygen.kernels.runtime.with_numba import event

    class Announcer(event.Listener):
        said = False

        def on_start(self, event) -> None:
            module = event.data["dispatcher"].py_func.__module__
            if not self.said and module.startswith(PACKAGE):
                self.said = True
                announce(f"compiling {module.removeprefix(PACKAGE)} … (cached for the next time)")

        def on_end(self, event) -> None:
            pass

    event.register("numba:compile", Announcer())
