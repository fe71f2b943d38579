"""Packages that take a second to import are imported on first use, and completely.

Ctrl-C in the middle of such an import would leave half of its modules behind, and the next import would fail with an
error that does not name the reason.  A fork would leave the child with locks that nobody releases.  Both have to wait.
"""

from __future__ import annotations

import importlib
import logging  # noqa: F401  its fork hook takes a lock that an import needs, so it must run after ours
import os
import signal
import sys
import threading
from contextlib import contextmanager

OURS = "tinygen.kernels."


def whole(name: str):
    """Import the module `name`; Ctrl-C takes effect when the import is done."""
    module = sys.modules.get(name)
    if module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False):
        return module
    with interrupts_wait():
        return importlib.import_module(name)


@contextmanager
def interrupts_wait():
    """Ctrl-C inside takes effect at the end of the block.  Only the main thread receives it."""
    answer = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(answer):
        yield
        return
    came = []
    signal.signal(signal.SIGINT, lambda *where: came.append(where))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, answer)
        if came:
            answer(*came[0])


def finish() -> None:
    """Wait until no other thread is importing numba or a file of the kernels."""
    for name in [name for name in sys.modules if name.startswith(OURS) or name == "numba"]:
        importlib.import_module(name)


os.register_at_fork(before=finish)  # hooks registered last run first
