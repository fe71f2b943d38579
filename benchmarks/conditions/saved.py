"""The results of this machine's kind of CPU in benchmarks/results, and how a stopped benchmark goes on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tinygen.benchmarks import machine, pages

ROOT = pages.ROOT
RESULTS = ROOT / "benchmarks" / "results"
SOURCE = "kernels", "tinygen", "models", "benchmarks"


def path(threads: int) -> Path:
    """benchmarks/results/cpu-MAKER-N-threads.json"""
    if not pages.README.exists():
        raise ValueError(
            "--save writes into a checkout (pip install -e .), and this is none; use --json FILE"
        )
    maker = machine.maker(machine.describe(threads)["cpu"])
    return RESULTS / f"cpu-{maker.lower()}-{threads}-threads.json"


def fingerprint() -> str:
    """A hash of tinygen's source files: measurements of different code do not belong together."""
    digest = hashlib.sha256()
    for file in sorted(file for folder in SOURCE for file in (ROOT / folder).rglob("*")):
        if file.suffix in (".py", ".cu", ".cuh", ".h"):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def earlier(path: Path, result: dict) -> dict:
    """What an earlier call measured with the same code, machine and settings; {} if there is none."""
    if not path.exists():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    same = "schema", "source", "machine", "versions", "settings", "not_available"
    return found if all(found.get(key) == result[key] for key in same) else {}
