"""Training steps of two installed versions of tinygen, timed in turns in one run: is the newer one slower?

    python -m tinygen.benchmarks.versions OTHER_PYTHON [STEP ...] [--repeat 31] [--threads 1] [--json FILE]

OTHER_PYTHON is the interpreter of an environment in which the other version is installed.  Each version runs in a
process of its own that waits without working while the other one is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from tinygen.benchmarks import machine

WORKER = """
import sys, time
from tinygen.benchmarks.sides import OURS
from tinygen.benchmarks.step_cases import step_cases
names = sys.argv[1:]
steps = {case.group: case.make(OURS) for case in step_cases() if not names or case.group in names}
for step in steps.values():
    step(), step()
print(*steps, flush=True)
for line in sys.stdin:
    name, count = line.split()
    start = time.perf_counter()
    for _ in range(int(count)):
        steps[name]()
    print(time.perf_counter() - start, flush=True)
"""
TURN = 0.2  # seconds that a turn should last


class Version:
    """One version's process: `seconds(name, count)` runs so many steps."""

    def __init__(self, python: str, names: list[str], threads: int) -> None:
        variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(variables, str(threads))}
        self.process = subprocess.Popen(
            [python, "-c", WORKER, *names],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd="/",
        )
        self.steps = self.process.stdout.readline().split()
        if not self.steps:
            raise SystemExit(f"versions: {python} cannot run tinygen's benchmark steps")

    def seconds(self, name: str, count: int) -> float:
        self.process.stdin.write(f"{name} {count}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def compare(other: str, names: list[str], repeat: int, threads: int) -> dict:
    """Medians and fastest turns in milliseconds a step of both versions, and the ratios this / other"""
    versions = {
        side: Version(python, names, threads) for side, python in (("this", sys.executable), ("other", other))
    }
    result = {}
    for name in (name for name in versions["this"].steps if name in versions["other"].steps):
        count = max(1, round(TURN / versions["this"].seconds(name, 1)))
        turns = {side: [] for side in versions}
        for turn in range(repeat):
            for side in sorted(versions, reverse=turn % 2 == 1):  # who begins alternates
                turns[side].append(1e3 * versions[side].seconds(name, count) / count)
        row = {side: round(statistics.median(t), 4) for side, t in turns.items()}
        row |= {f"{side}_min": round(min(t), 4) for side, t in turns.items()}
        row["ratio"] = round(statistics.median(a / b for a, b in zip(turns["this"], turns["other"])), 4)
        row["min_ratio"] = round(row["this_min"] / row["other_min"], 4)
        result[name] = row
        print(name, row, flush=True)
    for version in versions.values():
        version.process.stdin.close()
        version.process.wait()
    return result


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tinygen.benchmarks.versions", description=__doc__)
    parser.add_argument("other", help="the Python of an environment with the other version")
    parser.add_argument("names", nargs="*", help="steps to time, by default all")
    parser.add_argument("--repeat", type=int, default=31, help="turns of each version, by default 31")
    parser.add_argument("--threads", type=int, default=1, help="threads of each version, by default 1")
    parser.add_argument("--json", type=Path, help="write what was measured")
    options = parser.parse_args(arguments)
    before = machine.load()
    steps = compare(options.other, options.names, options.repeat, options.threads)
    if options.json:
        told = {
            "machine": machine.describe(options.threads),
            "load": {"before": before, "after": machine.load()},
        }
        options.json.write_text(json.dumps(told | {"steps": steps}, indent=1) + "\n")


if __name__ == "__main__":
    main()
