"""What reaches a terminal: text from outside that cannot steer it, on streams that may fail or lack characters."""

import codecs
import contextlib
import os
import sys

READABLE = dict(  # what `tinygen explain` and help texts use, where the encoding of a stream lacks it
    pair.split("=", 1)
    for pair in (
        "…=... ·=* ×=x −=- ±=+- ←=<- →=-> ≤=<= ≥=>= ²=^2 ³=^3 ᵀ=^T √=sqrt ‖=|| ∞=inf ∂=d Σ=sum ᾱ=alpha_bar "
        "ȳ=y_bar \u0304=_bar α=alpha β=beta δ=delta λ=lambda π=pi σ=sigma φ=phi Φ=Phi"
    ).split()
)


def visible(text) -> str:
    """`text` in one line that steers no terminal: control, bidirectional and invalid characters as Python escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def say(line: str) -> None:
    """Tell the user one line, on stderr.  A stderr that nobody reads, or on a full disk, loses no run by it."""
    tell(visible(line) + "\n")


def tell(text: str) -> None:
    """Write to stderr if that is possible."""
    stream = sys.stderr
    if stream is None:  # closed by who started us
        return
    try:
        stream.write(text)
        stream.flush()
    except BlockingIOError:  # full for the moment
        pass
    except (OSError, ValueError):  # ValueError: closed
        silence(stream)


def silence(stream) -> None:
    """Send to nowhere what could not be written: else it is tried again at exit, which changes the exit status.

    Only of the process's own streams: what a program put in their place is not ours to close.
    """
    if stream not in (sys.__stdout__, sys.__stderr__):
        return
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        stream.flush()


def finish_streams() -> None:
    """Write what is left of a command's output, where that is possible."""
    for stream in sys.stdout, sys.stderr:
        try:
            stream.flush()
        except (OSError, ValueError):
            silence(stream)


def prepare_streams() -> None:
    """stdout and stderr of a command: there, and able to say every character, if need be in another way."""
    for name in "stdout", "stderr":
        stream = getattr(sys, name)
        if stream is None:  # closed by who started us, as in `>&-`
            setattr(sys, name, open(os.devnull, "w"))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="tinygen.readable")


def _readable(error):
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(READABLE.get(c) or c.encode("unicode_escape").decode() for c in lacking), error.end


codecs.register_error("tinygen.readable", _readable)
