"""Progress of long jobs, on terminals, in notebooks and in files; signals, handled between steps."""

import contextlib
import shutil
import signal
import sys
import threading
import time

from tinygen.run.terminal import say, tell, visible

FORMAT = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{postfix}, {remaining} left"  # fits 80 columns
FIRST, RAREST = 10.0, 300.0  # seconds to the first line if lines cannot be redrawn, and at most between two


class Progress:
    """Progress on stderr: a bar on a terminal or in a notebook, else a line after 10 s and then ever more rarely."""

    def __init__(self, what: str, total: int | None = None, first: int = 0, **look) -> None:
        """`first` of `total` are done already; `look` is passed to tqdm."""
        self.what, self.total, self.first, self.done = visible(what), total, first, first
        self.started = self.shown = time.perf_counter()
        self.due = self.started + FIRST
        self.bar = _bar(desc=self.what, total=total, initial=first, **look) if _redraws() else None

    def update(self, n: int = 1, note=None) -> None:
        """n more are done; `note()` returns what to add, and is called only when something is shown."""
        self.done += n
        now = time.perf_counter()
        if self.bar is not None:
            if note is not None and now > self.shown + 0.2:
                self.bar.set_postfix_str(note(), refresh=False)
                self.shown = now
            self.bar.update(n)
        elif now >= self.due:
            say(", ".join(filter(None, (self._place(), note and note(), self._left(now)))))
            self.due = now + min(max(now - self.started, FIRST), RAREST)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()

    def _place(self):
        return f"{self.what} {self.done:,}" + (f" of {self.total:,}" if self.total else "")

    def _left(self, now):
        done = self.done - self.first
        if not self.total or not done:
            return None
        minutes, seconds = divmod(int((now - self.started) / done * (self.total - self.done)), 60)
        hours, minutes = divmod(minutes, 60)
        return (f"{hours}:{minutes:02d}" if hours else f"{minutes}") + f":{seconds:02d} left"


class Bar:
    """The progress of a run: loss, images/s and the time left; at the end one line."""

    def __init__(self, run, total: int) -> None:
        self.run, self.first, self.started = run, run.step, time.perf_counter()
        what = run.model if _redraws() else f"{run.folder}: step"
        self.progress = Progress(what, total, run.step, bar_format=FORMAT)

    def __enter__(self):
        return self

    def update(self) -> None:
        self.progress.update(note=self._note)

    def _note(self):
        name, value = self.run.last
        seconds = time.perf_counter() - self.started
        speed = (self.run.step - self.first) * getattr(self.run.config, "batch", 1) / seconds
        return f"{name} {value:.4g}, {speed:,.0f} images/s"

    def close(self) -> None:
        self.progress.close()

    def __exit__(self, kind, error, trace):
        self.close()
        if kind is None:
            say(f"{self.run.folder}: finished step {self.run.step}, {self.run.seconds:.1f} s of training")


def progress(iterable, what: str, total: int | None = None):
    """Iterate and show the progress on stderr, see `Progress`."""
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)
    shown = Progress(what, total)
    try:
        for item in iterable:
            yield item
            shown.update()
    finally:
        shown.close()


@contextlib.contextmanager
def caught_signals():
    """A list to which SIGINT and SIGTERM are added instead of taking effect."""
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


def _redraws() -> bool:
    """Whether a line on stderr can be redrawn: on a terminal, and in a notebook, which is not one."""
    stream = sys.stderr
    try:
        return stream is not None and (stream.isatty() or type(stream).__module__.startswith("ipykernel"))
    except ValueError:  # closed
        return False


class _Stderr:
    """A stderr for tqdm that cannot fail."""

    write = staticmethod(tell)

    @property
    def encoding(self):
        return getattr(sys.stderr, "encoding", None)

    def flush(self) -> None:
        pass


def _bar(**options):
    from tqdm import tqdm

    # tqdm draws nothing on a terminal of size 0 x 0, which some containers and scripts report
    size = shutil.get_terminal_size()
    return tqdm(file=_Stderr(), leave=False, ncols=size.columns, nrows=size.lines, **options)
