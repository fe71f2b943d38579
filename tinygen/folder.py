"""The layout of run folders: numbered, locked while something trains in them, read back with suspicion."""

import contextlib
import fcntl
import json
import re
from pathlib import Path

ROOT = Path("runs")


class RunError(ValueError):
    """A run folder that cannot be made, read or resumed."""


def read_config(folder, model: str | None = None) -> dict:
    """The contents of a run's config.json, checked to name a model (`model`, if given) and its config.

    Raises RunError.
    """
    path = Path(folder, "config.json")
    try:
        saved = json.loads(path.read_bytes())
    except FileNotFoundError:
        what = "found no config.json, expected a run" if Path(folder).is_dir() else "no such run folder"
        raise RunError(f"{folder}: {what}") from None
    except (OSError, ValueError) as e:
        raise RunError(f"{path}: cannot be read: {getattr(e, 'strerror', None) or e}") from e
    if not (
        isinstance(saved, dict)
        and isinstance(saved.get("model"), str)
        and isinstance(saved.get("config"), dict)
    ):
        raise RunError(f"{path}: expected an object with a model and its config")
    if model is not None and saved["model"] != model:
        raise RunError(f"{folder}: found a run of {saved['model']}, expected one of {model}")
    return saved


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


def metric_lines(path) -> list[tuple[bytes, dict]]:
    """(line, record) of every line of metrics.jsonl up to the first that is torn."""
    found = []
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else []:
        try:
            record = json.loads(line)
        except ValueError:
            break
        if not line.endswith(b"\n") or not isinstance(record, dict) or "step" not in record:
            break
        found.append((line, record))
    return found


def lock(folder):
    """Hold the folder for training until the returned file is closed.  Raises RunError if another does."""
    held = open(Path(folder, ".lock"), "w")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.close()
        raise RunError(f"{folder}: another process is training in this folder") from None
    except OSError:
        pass  # a file system without locks
    return held
