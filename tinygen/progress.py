"""What a long job says and hears: a progress bar on terminals, lines elsewhere, signals between steps."""

import contextlib
import os
import shutil
import signal
import sys
import threading
import time

FORMAT = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{postfix}, {remaining} left"  # fits 80 columns


class Bar:
    """Progress on stderr: loss, images/s and the time left on a terminal, else one line at the end."""

    def __init__(self, run, total: int) -> None:
        self.run, self.first, self.started = run, run.step, time.perf_counter()
        self.shown = self.started
        self.bar = _tqdm(total=total, initial=run.step, desc=run.model, bar_format=FORMAT)

    def __enter__(self):
        return self

    def update(self) -> None:
        now = time.perf_counter()
        if not self.bar.disable and now > self.shown + 0.2:
            name, value = self.run.last
            speed = (self.run.step - self.first) * getattr(self.run.config, "batch", 1) / (now - self.started)
            self.bar.set_postfix_str(f"{name} {value:.4g}, {speed:,.0f} images/s", refresh=False)
            self.shown = now
        self.bar.update()

    def close(self) -> None:
        self.bar.close()

    def __exit__(self, kind, error, trace):
        self.bar.close()
        if kind is None:
            say(f"{self.run.folder}: finished step {self.run.step}, {self.run.seconds:.1f} s of training")


def progress(iterable, what: str, total: int | None = None):
    """Iterate with a progress bar on stderr when that is a terminal."""
    return _tqdm(iterable, desc=what, total=total)


def say(line: str) -> None:
    """Tell the user one line, on stderr; who no longer listens (`2>&1 | head`) loses no run by it."""
    try:
        print(line, file=sys.stderr, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


@contextlib.contextmanager
def caught_signals():
    """A list that SIGINT and SIGTERM are added to, instead of acting."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    numbers = signal.SIGINT, signal.SIGTERM
    before = [signal.signal(number, lambda number, frame: caught.append(number)) for number in numbers]
    try:
        yield caught
    finally:
        for number, handler in zip(numbers, before):
            signal.signal(number, handler or signal.SIG_DFL)


def _tqdm(*args, **kwargs):
    from tqdm import tqdm

    # tqdm draws nothing on a terminal of size 0 x 0, as some containers and scripts give it
    size = shutil.get_terminal_size()
    options = {"ncols": size.columns, "nrows": size.lines, "disable": not sys.stderr.isatty()}
    return tqdm(*args, file=sys.stderr, leave=False, **options, **kwargs)
