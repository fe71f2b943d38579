"""What takes long is said on a terminal; one that has gone, or is not there, stops nothing."""

from __future__ import annotations

import contextlib
import sys


def announce(line: str) -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if sys.stderr.isatty():
            print(line, file=sys.stderr, flush=True)
