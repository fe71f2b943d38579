"""Ctrl-C during the import of a heavy package takes effect when the import is done, and the next use works."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from tinygen.kernels.runtime.lazy_import import interrupts_wait, whole

INTERRUPTED = """
import os, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in the background without it
import tinygen as tg, tinygen.run.pictures as pictures
def use(): {use}
def interrupt():
    while {module!r} not in sys.modules: time.sleep(0.0005)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
try:
    use()
    time.sleep(10)
except KeyboardInterrupt:
    print({whole!r} in sys.modules, use())
"""


@pytest.mark.parametrize(
    "use, module, imported",
    [
        ("return round(tg.erf(tg.full((1000,), 0.5)).sum().item())", "numba.core", "numba.np.ufunc"),
        ("return round(tg.erf(tg.full((1000,), 0.5)).sum().item())", "numba.np.ufunc", "numba.np.ufunc"),
        ("return len(pictures.curves([])) > 0", "matplotlib.cbook", "matplotlib.backends.backend_agg"),
    ],
)
def test_ctrl_c_during_an_import(use, module, imported):
    code = INTERRUPTED.format(use=use, module=module, whole=imported)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout in ("True 520\n", "True True\n"), (done.stdout, done.stderr[-2000:])


def test_the_handler_that_was_there_answers_once():
    came = []
    before = signal.signal(signal.SIGINT, lambda *_: came.append("handler"))
    try:
        with interrupts_wait():
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGINT)
            came.append("end")
        assert came == ["end", "handler"]
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with interrupts_wait():
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_error_inside_is_not_hidden():
    with pytest.raises(ZeroDivisionError), interrupts_wait():
        raise ZeroDivisionError
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        whole("no_such_package")
    assert whole("json") is sys.modules["json"]


def test_other_threads_leave_signals_alone():
    found = []
    thread = threading.Thread(target=lambda: found.append(whole("wave").__name__))
    thread.start()
    thread.join()
    assert found == ["wave"]
