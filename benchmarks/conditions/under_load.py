"""A step while other programs want the cores: the mean time beside programs that never sleep, one on each core."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tinygen.benchmarks import machine
from tinygen.benchmarks.timing import interleaved

# ends by itself if the benchmark is killed
BUSY = """
import os, sys
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {int(sys.argv[1])})
print("busy", flush=True)
parent = os.getppid()
while os.getppid() == parent:
    sum(range(100_000))
"""
TURN = 0.3  # seconds; many of the scheduler's time slices, because a program that has slept is served first


@contextmanager
def busy_cores(cores: list[int]) -> Iterator[None]:
    """Keep these cores busy, each with a Python loop in a process of its own."""
    programs = []
    try:
        for core in cores:
            command = [sys.executable, "-c", BUSY, str(core)]
            programs.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        for program in programs:
            program.stdout.readline()  # it has started
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()
            program.stdout.close()


def measure(calls: dict[str, Callable[[], object]], repeat: int, *, turn: float = TURN) -> dict:
    """Time tinygen and PyTorch eager in turns beside one busy program on each core.  -> "under_load" of a case

    Means, because a step that is interrupted now and then takes its mean time in a long run, not its median.
    """
    cores = machine.usable_cores()
    with busy_cores(cores):
        timings = interleaved(
            {name: calls[name] for name in ("tinygen", "torch") if name in calls}, repeat, turn=turn
        )
    times = {name: round(1e3 * timing.mean, 4) for name, timing in timings.items()}
    result = {"programs": len(cores), "turns": len(timings["tinygen"].samples), "mean_ms": times}
    return result | ({"ratio": round(times["tinygen"] / times["torch"], 3)} if "torch" in times else {})
