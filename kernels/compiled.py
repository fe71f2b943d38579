"""numba's `njit` as the `*_loops.py` use it: what it compiles is kept in the user's cache folder, and it says so.

numba alone would keep it beside the source: not possible where the package is read-only, and where it is possible pip
leaves those files behind when it uninstalls, a folder that then stands in the way of the next installation.
"""

from __future__ import annotations

import functools
import os
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

from tinygen.kernels import imports


def njit(**options):
    """numba.njit(**options) for a function of this package; the first with parallel=True brings the BLAS along."""
    import numba

    _announce_the_first_compilation()
    _forks_wait()
    if options.get("parallel"):
        from tinygen.kernels.threads import start

        start()

    def decorate(function):
        with user_cache():
            loop = numba.njit(**options)(function)
        _computes_without_a_cache(loop)
        return loop

    return decorate


def _computes_without_a_cache(loop) -> None:
    """A full disk, or a limit on files' sizes, costs the next process a compilation, not this one its result."""
    save = loop._cache.save_overload

    def save_if_possible(signature, data) -> None:
        with suppress(OSError):
            save(signature, data)

    loop._cache.save_overload = save_if_possible


@contextmanager
def user_cache():
    """What numba compiles of functions decorated inside is kept in `folder()`, unless NUMBA_CACHE_DIR is set."""
    from numba.core import config

    before = config.CACHE_DIR
    config.CACHE_DIR = before or str(folder())  # one that cannot be written: numba goes on to its next choice
    try:
        yield
    finally:
        config.CACHE_DIR = before


def folder(what: str = "numba") -> Path:
    """Where compiled code is kept, by numba's rules one folder for each place the package is in; "cuda": cubins."""
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(
        base or Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache"), "tinygen", what
    )


@functools.cache
def _forks_wait() -> None:
    """A fork waits until no other thread compiles: the child would wait for that thread, which it does not have."""
    from numba.core.compiler_lock import global_compiler_lock as lock

    def before() -> None:
        imports.finish()  # which may compile
        lock.acquire()

    os.register_at_fork(before=before, after_in_parent=lock.release, after_in_child=lock.release)


@functools.cache
def _announce_the_first_compilation() -> None:
    """On a terminal, say once why the first use takes seconds."""
    from numba.core import event

    class Announcer(event.Listener):
        said = False

        def on_start(self, event) -> None:
            module = event.data["dispatcher"].py_func.__module__
            if not self.said and module.startswith("tinygen.kernels.") and sys.stderr.isatty():
                self.said = True
                print(f"compiling {module.rpartition('.')[2]} … (cached for the next time)", file=sys.stderr)

        def on_end(self, event) -> None:
            pass

    event.register("numba:compile", Announcer())
