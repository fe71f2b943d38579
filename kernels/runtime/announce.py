"""Announce slow work on the terminal.  A missing or closed terminal is no error."""

from __future__ import annotations

import contextlib
import sys


def announce(line: str) -> None:
    """Print a line to standard error if that is a terminal."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if sys.stderr.isatty():
            print(line, file=sys.stderr, flush=True)
