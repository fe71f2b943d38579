"""Run folders: numbered, locked during training, and checked when they are read, since anyone may edit them."""

import contextlib
import fcntl
import json
import math
import os
import re
from pathlib import Path

from tinygen.run import files
from tinygen.run.terminal import say

ROOT = Path("runs")
MOST_CONFIG, MOST_METRICS = 1 << 20, 1 << 30  # bytes: no run writes larger files


class RunError(ValueError):
    """A run folder that cannot be made, read or resumed."""


def read_config(folder, model: str | None = None) -> dict:
    """The contents of a run's config.json, checked to hold a model's name (`model`, if given) and its config.

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


def is_count(value, least: int = 0) -> bool:
    """Whether a value from JSON is a whole number of at most 63 bits, `least` or more."""
    return type(value) is int and least <= value < 2**63


def is_number(value) -> bool:
    """Whether a value from JSON is a number that a float can hold."""
    if type(value) is int:
        return abs(value) < 2**63
    return type(value) is float and math.isfinite(value)


def newest(model: str, data: str | None = None, root: Path | None = None) -> Path:
    """The most recently started or resumed run of this model (and data).  Raises RunError if there is none."""
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
    """`path`, or NAME-2, NAME-3, … if it is taken by anything but a file with these contents."""
    found, number = path, 1

    def is_same():
        return found.is_file() and found.stat().st_size == len(data) and found.read_bytes() == data

    while os.path.lexists(found) and not is_same():
        number += 1
        found = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return found


def as_json(value) -> bytes:
    """The bytes of a JSON file in the folder."""
    return (json.dumps(value, indent=2) + "\n").encode()


def json_value(value):
    """Measures as JSON values: NumPy scalars as numbers; inf and nan, which JSON lacks, as null."""
    if isinstance(value, dict):
        return {key: json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def metric_lines(path) -> list[tuple[bytes, dict | None]]:
    """Every line of metrics.jsonl with its record, None for a truncated or damaged line.  Raises RunError."""
    try:
        content = files.read(path, MOST_METRICS)
    except FileNotFoundError:
        return []
    except OSError as e:
        raise RunError(f"{path}: cannot be read: {e.strerror or e}") from e
    return [(line, _record(line)) for line in content.splitlines(keepends=True)]


def kept_lines(path, step: int, every: int, expected: int | None) -> list[bytes]:
    """The good lines of metrics.jsonl up to a checkpoint's step whose steps are multiples of `every`.

    Reports losses on stderr: which lines are damaged, and how many of the `expected` ones are missing.
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
        last = f"; the last good one is of step {last}" if lost > within else ""
        say(f"{path}: {lost} of the lines up to the checkpoint's step {step} are lost{which}{last}")
    return [line for line, r in lines if r and r["step"] <= step and r["step"] % every == 0]


def _record(line):
    """The numbers in a line, including its step; None if it is truncated or damaged."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not line.endswith(b"\n") or not isinstance(record, dict) or not all(map(is_number, record.values())):
        return None
    return record if is_count(record.get("step")) else None


def own_folder(run, name) -> Path:
    """A folder inside a run.  Raises RunError for a link that leads out of the run."""
    path = Path(run, name)
    if path != Path(run) and path.is_symlink() and not path.resolve().is_relative_to(Path(run).resolve()):
        raise RunError(f"{path}: is a link that leads out of the run, expected a folder in it")
    return path


def lock(folder):
    """Lock the folder for training until the returned file is closed.  Raises RunError if it is locked, OSError."""
    held = files.opened(Path(folder, ".lock"), os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.close()
        raise RunError(f"{folder}: another process is training in this folder") from None
    except OSError:
        pass  # a file system without locks
    return held
