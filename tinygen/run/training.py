"""A training run: its steps, metrics, checkpoints and pictures in a run folder; how it stops and resumes.

    run = Run.create("vae", config)
    run.track(net=net, optimizer=optimizer)
    for step in run.steps(config.steps):
        ...
        run.log(loss=loss, kl=kl)

Nothing here knows any model.  Other programs read the folder: its files keep their names and contents.
"""

import contextlib
import functools
import os
import signal
import time
from pathlib import Path

from tinygen import random
from tinygen.engine.devices import CPU, checked
from tinygen.run import checkpoint, files, flags, pictures, resuming
from tinygen.run.checkpoint import CheckpointError
from tinygen.run.folder import (
    ROOT,
    RunError,
    as_json,
    kept_lines,
    lock,
    metric_lines,
    newest,
    numbered,
    own_folder,
    read_config,
    unused,
)
from tinygen.run.log import Log, NonFiniteLoss
from tinygen.run.progress import Bar, caught_signals
from tinygen.run.terminal import say


class Stopped(SystemExit):
    """SIGINT or SIGTERM arrived; the step was finished and checkpointed.  Exit code 130 or 143."""


class Run:
    """One run folder.  `step` is the number of finished steps, which is the index of the step in progress."""

    def __init__(self, folder, model: str, config) -> None:
        """Not for callers: see `Run.create` and `Run.open`."""
        self.folder, self.model, self.config = Path(folder), model, config
        self.device = CPU  # where models compute
        self._captures = False  # whether their steps are captured there
        self.step = 0
        self.fresh = False  # whether the folder was made for this run object
        self.seconds = 0.0  # of training, over all resumes
        self.facts: dict = {}  # what config.json holds besides model and config
        self.tracked: dict = {}  # name -> object whose state a checkpoint holds
        self._saved = None  # (state, meta) of the checkpoint to resume from
        self._saved_step = None
        self._log = Log()
        self._in_step = self._checkpoint_due = self._config_due = False
        self._lock = None

    @classmethod
    def create(
        cls,
        model: str,
        config,
        out=None,
        *,
        resume: bool = False,
        free=frozenset(),
        device=CPU,
        capture=False,
    ) -> "Run":
        """Make a folder to train in: `out`, or by default a fresh runs/MODEL-DATA-001.

        With `resume`, continue in `out`, or by default in the newest run of this model and data; fields named
        in `free` may differ from those it was started with (`steps` only upwards).  Models compute on `device`; with
        `capture` they may replay a step there as a CUDA graph (see `captured`).
        Raises RunError, FlagError, CheckpointError.
        """
        data = getattr(config, "data", None)
        if out is None:
            out = newest(model, data) if resume else numbered(ROOT, f"{model}-{data}" if data else model)
        run = cls(out, model, config)
        run.device = checked(device)
        run._captures = capture and run.device is not CPU
        run.fresh = not run._occupy(resume)
        try:
            if not run.fresh:
                run._adopt(free)
            else:
                run.facts = {
                    "seed": getattr(config, "seed", None),
                    "versions": resuming.versions(run.device),
                }
                run._write_config()
        except BaseException:
            run.discard()
            raise
        return run

    @classmethod
    def open(cls, folder, Config) -> "Run":
        """Open a finished or running run for reading, with the Config of its model (see `read_config`)."""
        saved = read_config(folder)
        try:
            config = flags.make_config(Config, saved["config"])
        except ValueError as e:
            raise RunError(f"{Path(folder, 'config.json')}: {e}") from e
        run = cls(folder, saved["model"], config)
        run.facts = {key: value for key, value in saved.items() if key not in ("model", "config")}
        return run

    def __repr__(self) -> str:
        reached = f", step={self.done}" if self.done else ""  # 0 also if its checkpoint was not read yet
        return f"Run({str(self.folder)!r}, model={self.model!r}{reached})"

    def __getstate__(self) -> dict:
        self._log.read()
        return vars(self) | {"_lock": None}  # a copy has the numbers; only the run that trains has the lock

    def refuse_newer_flags(self) -> None:
        """Refuse a folder made before one of its flags existed, unless that flag is off or at its default."""
        resuming.refuse_newer_flags(self.folder, self.config)

    def path(self, name: str) -> Path:
        return self.folder / name

    @property
    def _checkpoint_path(self) -> Path:
        return self.path("checkpoint.safetensors")

    @property
    def done(self) -> int:
        """Finished steps including the one in progress: the number in messages and file names."""
        return self.step + self._in_step if self._log.reading is None else self._log.reading

    def every(self, n: int) -> bool:
        """Whether the step in progress completes a multiple of n."""
        return self.done % n == 0

    def record(self, **facts) -> None:
        """Add facts, such as the data's hash, to config.json.  A resumed run must record the same ones."""
        for name, value in facts.items():
            if self.facts.get(name, value) != value:
                raise RunError(f"{self.folder}: {name} was {self.facts[name]}, now {value}; not the same run")
        if any(name not in self.facts for name in facts):
            self.facts |= facts
            if self.fresh:
                self._write_config()
            else:
                self._config_due = True

    def discard(self) -> None:
        """Release the folder; remove it if it is fresh and no step was finished in it."""
        if self._lock is not None:
            self._lock.close()
        found = set(os.listdir(self.folder))
        if self.fresh and self.step == 0 and found <= {"config.json", "metrics.jsonl", ".lock"}:
            for name in found:
                self.path(name).unlink()
            self.folder.rmdir()

    # Training

    def track(self, **objects) -> None:
        """Name the objects whose state_dict goes into checkpoints; a resumed run loads them here."""
        self.tracked |= objects
        if self._saved:
            resuming.fill(self._checkpoint_path, objects, self._saved[0])

    def load(self, **objects) -> None:
        """Load objects, under the names they were tracked by, from the checkpoint, to sample or evaluate."""
        state, meta = resuming.read_checkpoint(self.folder, self.model, self.config)
        self.step, self.seconds = meta["step"], meta["seconds"]
        resuming.fill(self._checkpoint_path, objects, state)

    def steps(self, total: int, *, log_every: int = 100, checkpoint_every: int | None = None):
        """Yield the indices of the remaining steps up to `total`; after each, log, checkpoint, check for signals.

        Shows its progress on stderr, see `tinygen.run.progress`.  Raises Stopped after SIGINT and SIGTERM.
        """
        checkpoint_every = checkpoint_every or getattr(self.config, "checkpoint_every", 1000)
        self._begin(total, log_every)
        if self.step >= total:
            say(f"{self.folder}: holds step {self.step} of {total}, nothing left to do")
            self._lock.close()
            return
        with (
            contextlib.ExitStack() as stack,
            self._errors("cannot write", self.path("metrics.jsonl")),
            files.opened(self.path("metrics.jsonl"), os.O_WRONLY | os.O_APPEND) as metrics,
        ):
            stack.enter_context(self._lock)
            caught = stack.enter_context(caught_signals())
            bar = stack.enter_context(Bar(self, total))
            started = time.perf_counter() - self.seconds
            for step in range(self.step, total):
                self._in_step = True
                yield step
                self.step, self._in_step = step + 1, False
                self.seconds = time.perf_counter() - started
                if self.step % log_every == 0 or self.step == total:
                    self._log.write_line(metrics, self.step, self.seconds, keep=self.step % log_every)
                if self.step % checkpoint_every == 0 or self.step == total or caught or self._checkpoint_due:
                    self.checkpoint()
                bar.update()
                if caught:
                    bar.close()
                    say(f"stopped by {signal.Signals(caught[0]).name}; {self.kept()}; continue with --resume")
                    raise Stopped(128 + caught[0])

    def captured(self, function):
        """A decorator for the part of a step that happens on the device: see `tinygen.run.captured`."""
        if not self._captures:
            return function
        from tinygen.run.captured import Captured

        return Captured(function, self)

    @property
    def last(self) -> tuple[str, float]:
        """The name and the value that were logged or read last, for the progress bar."""
        return self._log.last

    def log(self, **values) -> None:
        """Record this step's losses, Tensors or numbers; metrics.jsonl gets their means.

        Raises NonFiniteLoss for inf and nan: immediately, or where values are on a GPU, when they are read.
        """
        self.when_read(functools.partial(self._log.add, self, list(values)), *values.values())

    def when_read(self, function, *values) -> None:
        """Call function(*values), with the Tensors among them as NumPy arrays; there, `done` is still this step.

        At once, but values on a GPU are not read before the next line of metrics.jsonl, plot of it or checkpoint, all
        of them together, so that no step waits for the GPU.
        """
        self._log.when_read(self.done, function, *values)

    def checkpoint(self) -> None:
        """Write the checkpoint; called during a step, at the end of that step."""
        self._checkpoint_due = self._in_step
        if self._in_step:
            return
        self._log.read()
        if bad := checkpoint.first_non_finite(self.tracked):
            raise NonFiniteLoss(f"{bad} is not finite after step {self.step}; {self.kept()}")
        arrays, state = checkpoint.flatten(
            {name: object.state_dict() for name, object in self.tracked.items()}
        )
        meta = {
            "model": self.model,
            "config": flags.to_json(self.config),
            "step": self.step,
            "seconds": self.seconds,
            "sums": self._log.sums,
            "lines": self._log.lines,
            "random": random.get_state(),
            "state": state,
        }
        checkpoint.write(self._checkpoint_path, arrays, meta)
        self._saved_step = self.step

    # Pictures and numbers

    def image(self, name: str, images, columns: int | None = None, **words) -> Path:
        """Write images in [0, 1] as one sheet to samples/NAME-STEP.png; `words` as for pictures.Sheet.

        images (N, H, W) or (N, 1 or 3, H, W)
        """
        return self.sheet(name, pictures.Sheet(images, columns, **words))

    def sheet(self, name: str, sheet: pictures.Sheet) -> Path:
        """Write a sheet of images to samples/NAME-STEP.png."""
        return self.picture(name, pictures.png(sheet.drawn()))

    def picture(self, name: str, png: bytes) -> Path:
        """Write a PNG, as made by `tinygen.run.pictures`, to samples/NAME-STEP.png."""
        return self.write(f"samples/{name}-{self.done:06d}.png", png)

    def plot_losses(self, units: str | dict[str, str] = "mean since the line before") -> Path:
        """Plot metrics.jsonl and what was logged since its last line as loss.png; for `units` see pictures.curves."""
        self._log.read()
        records = self.metrics()
        if self._log.sums and self.done > max((record["step"] for record in records), default=-1):
            records.append({"step": self.done, **self._log.means()})
        return self.write("loss.png", pictures.curves(records, units))

    def metrics(self) -> list[dict]:
        """The lines of metrics.jsonl, without truncated and damaged ones."""
        return [record for _, record in metric_lines(self.path("metrics.jsonl")) if record is not None]

    def write_json(self, name: str, value) -> Path:
        return self.write(name, as_json(value))

    def write_new(self, name: str, data: bytes) -> Path:
        """Write a file in the folder without overwriting any: if the name is taken, a number is added."""
        with self._errors("cannot read"):
            name = unused(self.path(name), data).relative_to(self.folder)
        return self.write(str(name), data)

    def write(self, name: str, data: bytes) -> Path:
        """Write a file in the folder atomically."""
        path = self.path(name)
        with self._errors("cannot write"):
            own_folder(self.folder, Path(name).parent).mkdir(exist_ok=True)
            files.replace_file(path, [data])
        return path

    # Inside

    def _write_config(self):
        self.write_json(
            "config.json", {"model": self.model, "config": flags.to_json(self.config), **self.facts}
        )

    @contextlib.contextmanager
    def _errors(self, what, path=None):
        try:
            yield
        except OSError as e:
            raise RunError(f"{e.filename or path or self.folder}: {what}: {e.strerror or e}") from e

    def _occupy(self, resume) -> bool:
        """Make, check and lock the folder.  -> whether it already holds a run"""
        with self._errors("cannot make the run folder"):
            self.folder.mkdir(parents=True, exist_ok=True)
            visible = [name for name in os.listdir(self.folder) if not name.startswith(".")]
            known = "config.json" in visible
            if known and not resume:
                raise RunError(f"{self.folder}: already holds a run; add --resume, or choose another --out")
            if visible and not known:
                raise RunError(f"{self.folder}: found files but no config.json, expected a run or no files")
            self._lock = lock(self.folder)
        return known

    def _adopt(self, free):
        """Take over the run in this folder: compare its flags with ours, read its checkpoint."""
        read_config(self.folder, self.model)  # first: the fields of another model would be unknown
        saved = Run.open(self.folder, type(self.config))
        saved.refuse_newer_flags()
        resuming.refuse_changed_flags(self.folder, self.config, flags.to_json(saved.config), free)
        self.facts = saved.facts
        before, now = saved.facts.get("versions", {}), resuming.versions(self.device)
        changed = {name: version for name, version in now.items() if version != before.get(name, version)}
        if changed:
            say(
                f"{self.folder}: resumed with other versions, {changed}: not bit-identical to an uninterrupted run"
            )
        self._config_due = True  # written once everything is checked and training begins
        if os.path.lexists(self._checkpoint_path):
            self._saved = resuming.read_checkpoint(self.folder, self.model, self.config)
            meta = self._saved[1]
            # once more: config.json may have been edited
            resuming.refuse_changed_flags(self.folder, self.config, meta["config"], free)
            self.step = self._saved_step = meta["step"]
            self.seconds, self._log.sums, self._log.lines = meta["seconds"], meta["sums"], meta.get("lines")

    def _begin(self, total, log_every):
        if self._lock is None or self._lock.closed:
            self._lock = lock(self.folder)
        if self._saved:
            if missing := self._saved[0].keys() - self.tracked.keys():
                raise CheckpointError(
                    f"{self.folder}: the checkpoint also holds {', '.join(sorted(missing))}"
                )
            try:
                random.set_state(self._saved[1]["random"])
            except (KeyError, ValueError) as e:
                raise CheckpointError(f"{self._checkpoint_path}: random: {e}") from e
            self._saved = None
        # if the run goes on, the line at its former end is dropped unless it falls on a multiple of log_every
        every = log_every if self.step < total else 1
        kept = kept_lines(self.path("metrics.jsonl"), self.step, every, self._log.lines)
        with self._errors("cannot write"):
            for folder in self.folder, own_folder(self.folder, "samples"):
                files.remove_temporaries(folder)
        self.write("metrics.jsonl", b"".join(kept))
        self._log.lines = len(kept)
        if self._config_due:
            self._write_config()
        if self.step < total:
            say(f"{self.folder}: steps {self.step} to {total}")

    def kept(self) -> str:
        if self._saved_step is None:
            return "there is no checkpoint yet"
        return f"{self._checkpoint_path} holds step {self._saved_step}"
