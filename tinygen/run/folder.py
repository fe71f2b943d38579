"""The layout of run folders: numbered, locked while something trains in them, read back with suspicion."""

import contextlib
import fcntl
import json
import math
import os
import re
from pathlib import Path

from tinygen.run import files
from tinygen.run.checkpoint import CheckpointError
from tinygen.run.terminal import say

ROOT = Path("runs")
MOST_CONFIG, MOST_METRICS = 1 << 20, 1 << 30  # bytes: a larger file is none of ours


class RunError(ValueError):
    """A run folder that cannot be made, read or resumed."""


def read_config(folder, model: str | None = None) -> dict:
    """The contents of a run's config.json, checked to name a model (`model`, if given) and its config.

    Raises RunError.
    """
    path = Path(folder, "config.json")
    try:
        saved = json.loads(files.read(path, MOST_CONFIG))
    except FileNotFoundError:
        what = "found no config.json, expected a run" if Path(folder).is_dir() else "no such run folder"
        raise RunError(f"{folder}: {what}") from None
    except (OSError, ValueError, RecursionError) as e:
        raise RunError(f"{path}: cannot be read: {getattr(e, 'strerror', None) or e}") from e
    if not (
        isinstance(saved, dict)
        and isinstance(saved.get("model"), str)
        and isinstance(saved.get("config"), dict)
        and isinstance(saved.get("versions", {}), dict)
    ):
        raise RunError(f"{path}: expected an object with a model, its config and versions")
    if model is not None and saved["model"] != model:
        raise RunError(f"{folder}: found a run of {saved['model']}, expected one of {model}")
    return saved


def check_progress(path, meta: dict) -> None:
    """Refuse a checkpoint whose metadata are not what `Run.checkpoint` writes.  Raises CheckpointError."""
    sums = meta.get("sums")
    expected = {
        "model": isinstance(meta.get("model"), str),
        "config": isinstance(meta.get("config"), dict),
        "step": _is_count(meta.get("step")),
        "seconds": _is_number(meta.get("seconds")) and meta["seconds"] >= 0,
        "sums": isinstance(sums, dict) and all(map(_is_sum, sums.values())),
        "random": isinstance(meta.get("random"), dict)
        and all(type(n) is int for n in meta["random"].values()),
        "lines": meta.get("lines") is None or _is_count(meta["lines"]),
        "state": isinstance(meta.get("state"), dict),
    }
    for name, good in expected.items():
        if not good:
            found = f"{name} {meta[name]!r:.60}" if name in meta else f"no {name}"
            raise CheckpointError(f"{path}: found {found} in the metadata, expected what a run writes")


def _is_sum(value) -> bool:
    """[a sum of losses, how many they are]"""
    return isinstance(value, list) and len(value) == 2 and _is_number(value[0]) and _is_count(value[1], 1)


def _is_count(value, least: int = 0) -> bool:
    return type(value) is int and least <= value < 2**63


def _is_number(value) -> bool:
    """Whether JSON's number is one that floats hold."""
    if type(value) is int:
        return abs(value) < 2**63
    return type(value) is float and math.isfinite(value)


def newest(model: str, data: str | None = None, root: Path | None = None) -> Path:
    """The run of this model (and data) started or resumed last.  Raises RunError when there is none."""
    root = ROOT if root is None else root
    runs = []
    for path in root.glob("*/config.json"):
        with contextlib.suppress(RunError, OSError):
            saved = read_config(path.parent)
            if saved["model"] == model and data in (None, saved["config"].get("data")):
                runs.append((path.stat().st_mtime_ns, path.parent))
    if not runs:
        raise RunError(f"{root}: no run of {model}{f' on {data}' if data else ''} to resume")
    return max(runs)[1]


def numbered(root, stem) -> Path:
    """Make the next of root/stem-001, root/stem-002, …"""
    taken = [
        0,
        *(int(m[1]) for f in root.glob("*") if (m := re.fullmatch(re.escape(stem) + r"-(\d{3,})", f.name))),
    ]
    number = max(taken)
    while True:
        number += 1
        try:
            (folder := root / f"{stem}-{number:03d}").mkdir(parents=True)
            return folder
        except FileExistsError:
            if not folder.is_dir():
                raise RunError(f"{root}: cannot make the run folder: not a folder") from None
        except OSError as e:
            raise RunError(f"{folder}: cannot make the run folder: {e.strerror}") from e


def unused(path: Path, data: bytes) -> Path:
    """`path`, or NAME-2, NAME-3, … where something else than a file of these contents is in its place."""
    found, number = path, 1

    def is_it():
        return found.is_file() and found.stat().st_size == len(data) and found.read_bytes() == data

    while os.path.lexists(found) and not is_it():
        number += 1
        found = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return found


def metric_lines(path) -> list[tuple[bytes, dict | None]]:
    """Every line of metrics.jsonl with its record, None for one that is torn or damaged.  Raises RunError."""
    try:
        content = files.read(path, MOST_METRICS)
    except FileNotFoundError:
        return []
    except OSError as e:
        raise RunError(f"{path}: cannot be read: {e.strerror or e}") from e
    return [(line, _record(line)) for line in content.splitlines(keepends=True)]


def kept_lines(path, step: int, every: int, expected: int | None) -> list[bytes]:
    """The good lines of metrics.jsonl up to a checkpoint's step, of steps that are multiples of `every`.

    Says what is lost: which lines are damaged, and how many of the `expected` ones are not there.
    """
    lines = metric_lines(path)
    good = [(number, r["step"]) for number, (_, r) in enumerate(lines, 1) if r and r["step"] <= step]
    end, last = good[-1] if good else (0, 0)
    lost = 0 if expected is None else expected - len(good)
    damaged = [n for n, (_, record) in enumerate(lines, 1) if record is None and (n < end or lost > 0)]
    within = sum(n < end for n in damaged)
    lost = max(lost, within)
    if lost:
        which = f"; damaged: line {', '.join(map(str, damaged))}" if damaged else ""
        last = f"; the last one there is of step {last}" if lost > within else ""
        say(f"{path}: {lost} of the lines up to step {step}, the checkpoint's, lost{which}{last}")
    return [line for line, r in lines if r and r["step"] <= step and r["step"] % every == 0]


def _record(line):
    """The numbers of a line, step among them; None if it is torn or damaged."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not line.endswith(b"\n") or not isinstance(record, dict) or not all(map(_is_number, record.values())):
        return None
    return record if _is_count(record.get("step")) else None


def own_folder(run, name) -> Path:
    """A folder of a run.  Raises RunError for a link that leads out of the run."""
    path = Path(run, name)
    if path != Path(run) and path.is_symlink() and not path.resolve().is_relative_to(Path(run).resolve()):
        raise RunError(f"{path}: is a link that leads out of the run, expected a folder in it")
    return path


def lock(folder):
    """Hold the folder for training until the returned file is closed.  Raises RunError if another does, OSError."""
    held = files.opened(Path(folder, ".lock"), os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.close()
        raise RunError(f"{folder}: another process is training in this folder") from None
    except OSError:
        pass  # a file system without locks
    return held
