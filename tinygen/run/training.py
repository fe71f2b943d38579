"""The run folder: config, metrics, checkpoint and pictures of one training run, and how it stops and resumes.

    run = Run.create("vae", config)
    run.track(net=net, optimizer=optimizer)
    for step in run.steps(config.steps):
        ...
        run.log(loss=loss, kl=kl)

Nothing here knows a model: the folder is a contract that other programs read.
"""

import contextlib
import dataclasses
import json
import math
import os
import platform
import signal
import time
from pathlib import Path

import numpy as np

from tinygen.engine.devices import CPU, checked
from tinygen.kernels.runtime import blas
from tinygen.run import checkpoint, files, flags, pictures
from tinygen.run.checkpoint import CheckpointError
from tinygen.run.folder import (
    ROOT,
    RunError,
    check_progress,
    kept_lines,
    lock,
    metric_lines,
    newest,
    numbered,
    own_folder,
    read_config,
    unused,
)
from tinygen.run.progress import Bar, caught_signals
from tinygen.run.terminal import say

MAY_CHANGE = {"data_dir", "checkpoint_every"}  # where and how often: the numbers do not depend on them


class NonFiniteLoss(ArithmeticError):
    """A loss or a parameter became inf or nan.  Names the step and the first non-finite parameter."""


class Stopped(SystemExit):
    """SIGINT or SIGTERM arrived; the step was finished and checkpointed.  Exit code 130 or 143."""


class Run:
    """One run folder.  `step` is the number of finished steps, which is the index of the step in progress."""

    def __init__(self, folder, model: str, config) -> None:
        """Not for callers: see `Run.create` and `Run.open`."""
        self.folder, self.model, self.config = Path(folder), model, config
        self.device = CPU  # where models compute
        self.step = 0
        self.fresh = False  # whether the folder was made for this run object
        self.seconds = 0.0  # of training, over all resumes
        self._facts: dict = {}  # what config.json holds beside model and config
        self._tracked: dict = {}
        self._saved = None  # (state, meta) of the checkpoint to resume from
        self._saved_step = None
        self.last = "loss", math.nan  # logged, for the progress bar
        self._sums: dict = {}  # name -> [sum, count] since the last line of metrics.jsonl
        self._lines = None  # how many lines it has up to `step`; None where an older checkpoint does not say
        self._in_step = self._checkpoint_due = self._config_due = False
        self._lock = None

    @classmethod
    def create(
        cls, model: str, config, out=None, *, resume: bool = False, free=frozenset(), device=CPU
    ) -> "Run":
        """Make a folder to train in: `out`, or else a fresh runs/MODEL-DATA-001.

        With `resume`, continue in `out`, or else in the newest run of this model and data; fields named in
        `free` may differ from the ones it was started with (`steps` only upwards).  Models compute on `device`.
        Raises RunError, FlagError, CheckpointError.
        """
        data = getattr(config, "data", None)
        if out is None:
            out = newest(model, data) if resume else numbered(ROOT, f"{model}-{data}" if data else model)
        run = cls(out, model, config)
        run.device = checked(device)
        run.fresh = not run._occupy(resume)
        try:
            if not run.fresh:
                run._adopt(free)
            else:
                run._facts = {"seed": getattr(config, "seed", None), "versions": _versions(run.device)}
                run._write_config()
        except BaseException:
            run.discard()
            raise
        return run

    @classmethod
    def open(cls, folder, Config) -> "Run":
        """Open a finished or running run to look at, with the Config of its model (see `read_config`)."""
        saved = read_config(folder)
        try:
            config = flags.make_config(Config, saved["config"])
        except ValueError as e:
            raise RunError(f"{Path(folder, 'config.json')}: {e}") from e
        run = cls(folder, saved["model"], config)
        run._facts = {key: value for key, value in saved.items() if key not in ("model", "config")}
        return run

    def __repr__(self) -> str:
        reached = f", step={self.done}" if self.done else ""  # 0 also where its checkpoint was not read yet
        return f"Run({str(self.folder)!r}, model={self.model!r}{reached})"

    def __getstate__(self) -> dict:
        return vars(self) | {
            "_lock": None
        }  # a copy is of the numbers: who trains in the folder holds the lock

    def expect_said(self) -> None:
        """Refuse a folder older than a flag that would not be off, or at its default, if it were made now."""
        said = read_config(self.folder)["config"]
        for field in dataclasses.fields(self.config):
            value = getattr(self.config, field.name)
            if field.name not in said and value and value != field.default:
                option = field.name.replace("_", "-")
                raise RunError(
                    f"{self.folder}: made before --{option}, which is {value} now; begin a new run"
                )

    def path(self, name: str) -> Path:
        return self.folder / name

    @property
    def done(self) -> int:
        """Finished steps, counting the one in progress: the number in messages and file names."""
        return self.step + self._in_step

    def every(self, n: int) -> bool:
        """Whether the step in progress completes a multiple of n."""
        return self.done % n == 0

    def record(self, **facts) -> None:
        """Add facts, such as the data's hash, to config.json.  A resumed run must find the same ones."""
        for name, value in facts.items():
            if self._facts.get(name, value) != value:
                raise RunError(
                    f"{self.folder}: {name} was {self._facts[name]}, now {value}; not the same run"
                )
        if any(name not in self._facts for name in facts):
            self._facts |= facts
            if self.fresh:
                self._write_config()
            else:
                self._config_due = True

    def discard(self) -> None:
        """Let go of the folder; remove a fresh one in which no step was finished."""
        if self._lock is not None:
            self._lock.close()
        found = set(os.listdir(self.folder))
        if self.fresh and self.step == 0 and found <= {"config.json", "metrics.jsonl", ".lock"}:
            for name in found:
                self.path(name).unlink()
            self.folder.rmdir()

    # Training

    def track(self, **objects) -> None:
        """Name the objects whose state_dict a checkpoint holds; a resumed run fills them here."""
        self._tracked |= objects
        if self._saved:
            self._fill(objects, self._saved[0])

    def load(self, **objects) -> None:
        """Fill objects (by the names they were tracked under) from the checkpoint, to sample or evaluate."""
        state, meta = self._read_checkpoint()
        self.step, self.seconds = meta["step"], meta["seconds"]
        self._fill(objects, state)

    def steps(self, total: int, *, log_every: int = 100, checkpoint_every: int | None = None):
        """Yield the indices of the steps from here to `total`; after each, log, checkpoint and heed signals.

        Says on stderr how far it is, see `tinygen.run.progress`.  Raises Stopped after SIGINT and SIGTERM.
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
                    self._write_line(metrics, keep=self.step % log_every)
                if self.step % checkpoint_every == 0 or self.step == total or caught or self._checkpoint_due:
                    self.checkpoint()
                bar.update()
                if caught:
                    bar.close()
                    say(f"stopped by {signal.Signals(caught[0]).name}; {self._kept()}; go on with --resume")
                    raise Stopped(128 + caught[0])

    def log(self, **values) -> None:
        """Take this step's losses, Tensors or numbers; metrics.jsonl gets their means.

        Raises NonFiniteLoss at once for inf and nan.
        """
        for name, value in values.items():
            value = getattr(value, "_data", value)
            value = float(value.item() if hasattr(value, "item") else value)
            if not math.isfinite(value):
                bad = checkpoint.first_non_finite(self._tracked)
                where = f"the first non-finite parameter is {bad}" if bad else "all parameters are finite"
                raise NonFiniteLoss(f"{name} is {value} at step {self.done}; {where}; {self._kept()}")
            sums = self._sums.setdefault(name, [0.0, 0])
            sums[0] += value
            sums[1] += 1
            if name == "loss" or "loss" not in values:
                self.last = name, value

    def checkpoint(self) -> None:
        """Write the checkpoint; within a step, when the step is finished."""
        self._checkpoint_due = self._in_step
        if self._in_step:
            return
        if bad := checkpoint.first_non_finite(self._tracked):
            raise NonFiniteLoss(f"{bad} is not finite after step {self.step}; {self._kept()}")
        arrays, state = checkpoint.flatten(
            {name: object.state_dict() for name, object in self._tracked.items()}
        )
        meta = {
            "model": self.model,
            "config": flags.to_json(self.config),
            "step": self.step,
            "seconds": self.seconds,
            "sums": self._sums,
            "lines": self._lines,
            "random": _random().get_state(),
            "state": state,
        }
        checkpoint.write(self.path("checkpoint.safetensors"), arrays, meta)
        self._saved_step = self.step

    # Pictures and numbers

    def image(self, name: str, images, columns: int | None = None, **words) -> Path:
        """Write images in [0, 1] as one sheet, `words` as of pictures.Sheet, to samples/NAME-STEP.png.

        (N, H, W) or (N, 1 or 3, H, W)
        """
        return self.sheet(name, pictures.Sheet(images, columns, **words))

    def sheet(self, name: str, sheet: pictures.Sheet) -> Path:
        """Write a sheet of images to samples/NAME-STEP.png."""
        return self.picture(name, pictures.png(sheet.drawn()))

    def picture(self, name: str, png: bytes) -> Path:
        """Write a PNG, such as `tinygen.run.pictures` draws, to samples/NAME-STEP.png."""
        return self.write(f"samples/{name}-{self.done:06d}.png", png)

    def plot_losses(self, units: str | dict[str, str] = "mean since the line before") -> Path:
        """Draw metrics.jsonl, and what was logged since its last line, as loss.png; `units` see pictures.curves."""
        records = self.metrics()
        if self._sums and self.done > max((record["step"] for record in records), default=-1):
            means = {name: total / count for name, (total, count) in self._sums.items()}
            records.append({"step": self.done, **means})
        return self.write("loss.png", pictures.curves(records, units))

    def metrics(self) -> list[dict]:
        """The lines of metrics.jsonl; torn and damaged ones are left out."""
        return [record for _, record in metric_lines(self.path("metrics.jsonl")) if record is not None]

    def write_json(self, name: str, value) -> Path:
        return self.write(name, as_json(value))

    def write_new(self, name: str, data: bytes) -> Path:
        """Write a file of the folder in the place of none: a number is added to a name that is taken."""
        with self._errors("cannot read"):
            name = unused(self.path(name), data).relative_to(self.folder)
        return self.write(str(name), data)

    def write(self, name: str, data: bytes) -> Path:
        """Write a file of the folder, whole or not at all."""
        path = self.path(name)
        with self._errors("cannot write"):
            own_folder(self.folder, Path(name).parent).mkdir(exist_ok=True)
            files.replace_file(path, [data])
        return path

    # Inside

    def _write_config(self):
        self.write_json(
            "config.json", {"model": self.model, "config": flags.to_json(self.config), **self._facts}
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
        """Become the run in this folder: compare its flags with ours, read its checkpoint."""
        read_config(self.folder, self.model)  # first: another model's fields would be unknown ones
        saved = Run.open(self.folder, type(self.config))
        saved.expect_said()
        self._refuse_changes(flags.to_json(saved.config), free)
        self._facts = saved._facts
        changed = {
            k: v for k, v in _versions(self.device).items() if v != saved._facts.get("versions", {}).get(k, v)
        }
        if changed:
            say(f"{self.folder}: resumed with other versions, {changed}: not to the same bits")
        self._config_due = True  # written when all is checked and training begins
        if os.path.lexists(self.path("checkpoint.safetensors")):
            self._saved = self._read_checkpoint()
            meta = self._saved[1]
            self._refuse_changes(meta["config"], free)  # config.json may have been edited
            self.step = self._saved_step = meta["step"]
            self.seconds, self._sums, self._lines = meta["seconds"], meta["sums"], meta.get("lines")

    def _refuse_changes(self, old, free):
        """Compare the flags that a run was started with, or that its checkpoint was made with, to ours."""
        for name, now in flags.to_json(self.config).items():
            was = old.get(name, now)
            grows = name != "steps" or (type(was) is type(now) is int and now >= was)
            if was != now and name not in MAY_CHANGE and not (name in free and grows):
                raise RunError(
                    f"{self.folder}: --{name.replace('_', '-')} was {was}, now {now}; "
                    "a resumed run keeps its flags"
                )

    def _read_checkpoint(self):
        path = self.path("checkpoint.safetensors")
        if not os.path.lexists(path):
            raise RunError(f"{self.folder}: no checkpoint yet")
        arrays, meta = checkpoint.read(path)
        check_progress(path, meta)
        if meta.get("model") != self.model:
            raise CheckpointError(
                f"{path}: checkpoint of another model: found {meta['model']}, expected {self.model}"
            )
        for name, value in flags.to_json(self.config).items():
            found = meta["config"].get(name, value)
            if name not in MAY_CHANGE | {"steps"} and found != value:
                raise CheckpointError(
                    f"{path}: checkpoint of another run: found {name} {found}, expected {value}"
                )
        try:
            return checkpoint.unflatten(arrays, meta["state"]), meta
        except (ValueError, RecursionError) as e:
            raise CheckpointError(f"{path}: its state cannot be read: {e}") from e

    def _fill(self, objects, state):
        path = self.path("checkpoint.safetensors")
        for name, object in objects.items():
            if name not in state:
                raise CheckpointError(
                    f"{path}: checkpoint of another model: {flags.unknown('part', name, state)}"
                )
            try:
                if reason := checkpoint.first_of_another_kind(state[name], object.state_dict()):
                    raise ValueError(reason)
                object.load_state_dict(state[name])
            except (LookupError, ValueError, RuntimeError, TypeError, AttributeError, ArithmeticError) as e:
                reason = " ".join(str(e).split())
                raise CheckpointError(f"{path}: checkpoint of another model: {name}: {reason}") from e

    def _begin(self, total, log_every):
        if self._lock is None or self._lock.closed:
            self._lock = lock(self.folder)
        if self._saved:
            if missing := self._saved[0].keys() - self._tracked.keys():
                raise CheckpointError(
                    f"{self.folder}: the checkpoint also holds {', '.join(sorted(missing))}"
                )
            try:
                _random().set_state(self._saved[1]["random"])
            except (KeyError, ValueError) as e:
                raise CheckpointError(f"{self.path('checkpoint.safetensors')}: random: {e}") from e
            self._saved = None
        # a line at the end of a run that now goes on is not one of the `log_every` lines
        stray = log_every if self.step < total else 1
        kept = kept_lines(self.path("metrics.jsonl"), self.step, stray, self._lines)
        with self._errors("cannot write"):
            for folder in self.folder, own_folder(self.folder, "samples"):
                files.remove_temporaries(folder)
        self.write("metrics.jsonl", b"".join(kept))
        self._lines = len(kept)
        if self._config_due:
            self._write_config()
        if self.step < total:
            say(f"{self.folder}: steps {self.step} to {total}")

    def _write_line(self, metrics, keep):
        """One line of metrics.jsonl.  `keep` the sums of a line that is only there as the last."""
        if self._sums:
            means = {name: total / count for name, (total, count) in self._sums.items()}
            record = {"step": self.step, "seconds": round(self.seconds, 3), **means}
            metrics.write((json.dumps(record) + "\n").encode())
            metrics.flush()
            self._lines += 1
        if not keep:
            self._sums = {}

    def _kept(self):
        if self._saved_step is None:
            return "there is no checkpoint yet"
        return f"{self.path('checkpoint.safetensors')} holds step {self._saved_step}"


def as_json(value) -> bytes:
    """The bytes of a JSON file of the folder."""
    return (json.dumps(value, indent=2) + "\n").encode()


def _random():
    from tinygen import random

    return random


def _versions(device):
    """What the bits of a run depend on beside its flags."""
    from tinygen import __version__

    versions = {"tinygen": __version__, "python": platform.python_version(), "numpy": np.__version__}
    return versions | {"blas_core": blas.core(), "blas_threads": blas.threads(), "device": str(device)}
