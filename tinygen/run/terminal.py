"""Output to a terminal: foreign text cannot control it, and streams may fail or lack characters."""

import codecs
import contextlib
import os
import sys

READABLE = dict(  # replacements for characters of `tinygen explain` and help texts that a stream's encoding lacks
    pair.split("=", 1)
    for pair in (
        "…=... ·=* ×=x −=- ±=+- ←=<- →=-> ≤=<= ≥=>= ²=^2 ³=^3 ᵀ=^T √=sqrt ‖=|| ∞=inf ∂=d Σ=sum ᾱ=alpha_bar "
        "ȳ=y_bar \u0304=_bar α=alpha β=beta δ=delta λ=lambda π=pi σ=sigma φ=phi Φ=Phi"
    ).split()
)


def visible(text) -> str:
    """`text` as one line that cannot control a terminal: unprintable characters become Python escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def say(line: str) -> None:
    """Print one line on stderr.  No run is lost because stderr is closed or on a full disk."""
    tell(visible(line) + "\n")


def tell(text: str) -> None:
    """Write to stderr if possible."""
    stream = sys.stderr
    if stream is None:  # closed by the parent process
        return
    try:
        stream.write(text)
        stream.flush()
    except BlockingIOError:  # full at the moment
        pass
    except (OSError, ValueError):  # ValueError: closed
        silence(stream)


def silence(stream) -> None:
    """Discard what could not be written; otherwise Python tries again at exit, which changes the exit status.

    Only for the process's own streams: a stream that a program put in their place is not ours to close.
    """
    if stream not in (sys.__stdout__, sys.__stderr__):
        return
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        stream.flush()


def finish_streams() -> None:
    """Write the rest of a command's output, if possible."""
    for stream in sys.stdout, sys.stderr:
        try:
            stream.flush()
        except (OSError, ValueError):
            silence(stream)


def prepare_streams() -> None:
    """Make sure that stdout and stderr exist and can print every character, by a replacement if need be."""
    for name in "stdout", "stderr":
        stream = getattr(sys, name)
        if stream is None:  # closed by the parent process, as in `>&-`
            setattr(sys, name, open(os.devnull, "w"))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="tinygen.readable")


def _readable(error):
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(READABLE.get(c) or c.encode("unicode_escape").decode() for c in lacking), error.end


codecs.register_error("tinygen.readable", _readable)
