"""Packages that take a second to import are imported on first use, and whole.

Ctrl-C in the middle of such an import would leave some of its modules behind, on which the next import of it fails with
an error that says nothing of the reason; a fork would leave the child with locks that nobody opens.  Both wait.
"""

from __future__ import annotations

import importlib
import logging  # noqa: F401  its hook before a fork takes a lock that an import needs: it must come after ours
import os
import signal
import sys
import threading
from contextlib import contextmanager

OURS = "tinygen.kernels."


def whole(name: str):
    """The module `name`; Ctrl-C during its import is answered at its end."""
    module = sys.modules.get(name)
    if module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False):
        return module
    with interrupts_wait():
        return importlib.import_module(name)


@contextmanager
def interrupts_wait():
    """Ctrl-C inside is answered at the end of the block.  Python hands it to the main thread alone."""
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
    """Wait until no other thread is importing a file of the kernels, or numba."""
    for name in [name for name in sys.modules if name.startswith(OURS) or name == "numba"]:
        importlib.import_module(name)


os.register_at_fork(before=finish)  # the last that is registered runs first
