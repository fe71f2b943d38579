"""Whether operations are recorded: `no_grad`, `enable_grad` and their relatives, per thread."""

from __future__ import annotations

import functools
import inspect
import threading


class _Mode(threading.local):
    recording = True


this_thread = _Mode()


class SetRecording:
    """Switch the tape on or off in this thread: for a block, or decorating a function or a generator."""

    def __init__(self, recording: bool) -> None:
        self.recording, self.before = recording, []

    def __repr__(self) -> str:
        return f"<gradients {'recorded' if self.recording else 'not recorded'}: for a block or a decorator>"

    def __enter__(self) -> None:
        self.before.append(this_thread.recording)
        this_thread.recording = self.recording

    def __exit__(self, *_) -> None:
        this_thread.recording = self.before.pop()

    def __call__(self, function):
        """The function with recording switched during every call; a generator only while it runs."""
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def switched(*args, **kwargs):
                steps = function(*args, **kwargs)
                resume, value = steps.send, None
                # Recording is switched while the generator runs and switched back at each of its yields: what the
                # caller sends or throws there is passed on by hand, which `yield from` would do without switching.
                while True:
                    with SetRecording(self.recording):
                        try:
                            value = resume(value)
                        except StopIteration as end:
                            return end.value
                    try:
                        resume, value = steps.send, (yield value)
                    except BaseException as error:  # thrown in by the caller; the generator handles it
                        resume, value = steps.throw, error

        else:

            @functools.wraps(function)
            def switched(*args, **kwargs):
                with SetRecording(self.recording):  # a new one each time: two threads may be here at once
                    return function(*args, **kwargs)

        return switched


def no_grad(function=None):
    """Record nothing inside `with no_grad():`; also a decorator, `@no_grad()` or `@no_grad`."""
    return SetRecording(False) if function is None else SetRecording(False)(function)


def enable_grad(function=None):
    """Record again inside a `no_grad` block; also a decorator."""
    return SetRecording(True) if function is None else SetRecording(True)(function)


def is_grad_enabled() -> bool:
    """Whether operations are recorded in this thread."""
    return this_thread.recording
