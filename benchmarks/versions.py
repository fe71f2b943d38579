"""Training steps, single operations and the import of two installed versions of tinygen, timed in turns in one run: is
the newer one slower?

    python -m tinygen.benchmarks.versions OTHER_PYTHON [NAME ...] [--repeat 31] [--processes 1] [--json FILE]

OTHER_PYTHON is the interpreter of an environment in which the other version is installed.  Each version runs in a
process of its own that waits without working while the other one is timed.  NAME is a training step, such as vae, or

tanh-1, tanh-1024        one recorded operation on so many elements
tanh-1-backward, …       the same, and its backward
chain, chain-backward    a hundred operations one after the other on 1,024 elements, and their backward; each of them
import                   `import tinygen` in a fresh process, without the interpreter's start

Where memory lies makes one process up to 5 % slower at an operation than the next: --processes 5 says how much that is.
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

# Runs with either version: `NAME COUNT` on a line of stdin, the seconds that so many take on one of stdout.
WORKER = """
import subprocess, sys, time
import numpy as np
import tinygen
from tinygen.benchmarks.sides import OURS
from tinygen.benchmarks.step_cases import step_cases

IMPORT = "import time; start = time.perf_counter(); import tinygen; print(time.perf_counter() - start)"
LENGTH = 100  # of the chain

def repeated(call):
    def seconds(count):
        start = time.perf_counter()
        for _ in range(count):
            call()
        return time.perf_counter() - start
    return seconds

def leaf(size):
    return tinygen.tensor(np.full((1,) if size == 1 else (32, 32), 0.5, np.float32), requires_grad=True)

def operation(size, backward=False):
    x, g = leaf(size), leaf(size).detach()
    def forward():
        x.tanh()
    def both():
        x.grad = None
        x.tanh().backward(g)
    return repeated(both if backward else forward)

def chain(backward=False):
    x, g = leaf(1024), leaf(1024).detach()
    def seconds(count):
        total, chains = 0.0, max(1, count // LENGTH)
        for _ in range(chains):
            x.grad, y = None, x
            start = time.perf_counter()
            for _ in range(LENGTH):
                y = y.tanh()
            middle = time.perf_counter()
            if backward:
                y.backward(g)
                total += time.perf_counter() - middle
            else:
                total += middle - start
        return total / (chains * LENGTH) * count
    return seconds

def imported(count):
    run = lambda: subprocess.run([sys.executable, "-c", IMPORT], check=True, capture_output=True, text=True)
    return sum(float(run().stdout) for _ in range(count))

makers = {case.group: lambda case=case: repeated(case.make(OURS)) for case in step_cases()}
for size in (1, 1024):
    makers[f"tanh-{size}"] = lambda size=size: operation(size)
    makers[f"tanh-{size}-backward"] = lambda size=size: operation(size, backward=True)
makers |= {"chain": chain, "chain-backward": lambda: chain(backward=True), "import": lambda: imported}
steps = {name: make() for name, make in makers.items() if name in sys.argv[1:] or not sys.argv[1:]}
for seconds in steps.values():
    seconds(2)
print(*steps, flush=True)
for line in sys.stdin:
    name, count = line.split()
    print(steps[name](int(count)), flush=True)
"""
TURN = 0.2  # seconds that a turn should last


class Version:
    """One version's process: `seconds(name, count)` runs a step so many times."""

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

    def count(self, name: str) -> int:
        """How many fill a turn"""
        count = 1
        while (seconds := self.seconds(name, count)) < TURN / 10:
            count *= 10
        return max(1, round(count * TURN / seconds))


def compare(other: str, names: list[str], repeat: int, threads: int, processes: int = 1) -> dict:
    """Medians and fastest turns in milliseconds a step of both versions, and the ratios this / other"""
    turns: dict = {}
    for process in range(processes):
        if processes > 1:
            print(f"process {process + 1} of {processes}", file=sys.stderr, flush=True)
        for name, here in timed(other, names, repeat, threads):
            turns.setdefault(name, []).append(here)
            if process == processes - 1:
                print(name, summary(turns[name]), flush=True)
    return {name: summary(found) for name, found in turns.items()}


def timed(other: str, names: list[str], repeat: int, threads: int):
    """Yield a name and the turns of both versions, each in one process.  -> (name, {side: milliseconds})"""
    versions = {
        side: Version(python, names, threads) for side, python in (("this", sys.executable), ("other", other))
    }
    for name in (name for name in versions["this"].steps if name in versions["other"].steps):
        count = versions["this"].count(name)
        turns = {side: [] for side in versions}
        for turn in range(repeat):
            for side in sorted(versions, reverse=turn % 2 == 1):  # who begins alternates
                turns[side].append(1e3 * versions[side].seconds(name, count) / count)
        yield name, turns
    for version in versions.values():
        version.process.stdin.close()
        version.process.wait()


def summary(processes: list[dict]) -> dict:
    """The figures of all turns, and where there are several processes the median ratio in each"""
    turns = {side: [t for process in processes for t in process[side]] for side in ("this", "other")}
    row = {side: rounded(statistics.median(t)) for side, t in turns.items()}
    row |= {f"{side}_min": rounded(min(t)) for side, t in turns.items()}
    row["ratio"] = ratio(turns)
    row["min_ratio"] = round(row["this_min"] / row["other_min"], 4)
    return row | ({"ratios": [ratio(process) for process in processes]} if len(processes) > 1 else {})


def ratio(turns: dict) -> float:
    return round(statistics.median(a / b for a, b in zip(turns["this"], turns["other"])), 4)


def rounded(milliseconds: float) -> float:
    return float(f"{milliseconds:.5g}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tinygen.benchmarks.versions", description=__doc__)
    parser.add_argument("other", help="the Python of an environment with the other version")
    parser.add_argument("names", nargs="*", help="what to time, by default all")
    parser.add_argument("--repeat", type=int, default=31, help="turns of each version, by default 31")
    parser.add_argument("--processes", type=int, default=1, help="processes of each version, by default 1")
    parser.add_argument("--threads", type=int, default=1, help="threads of each version, by default 1")
    parser.add_argument("--json", type=Path, help="write what was measured")
    options = parser.parse_intermixed_args(arguments)
    before = machine.load()
    steps = compare(options.other, options.names, options.repeat, options.threads, options.processes)
    if options.json:
        told = {
            "machine": machine.describe(options.threads),
            "load": {"before": before, "after": machine.load()},
        }
        options.json.write_text(json.dumps(told | {"steps": steps}, indent=1) + "\n")


if __name__ == "__main__":
    main()
