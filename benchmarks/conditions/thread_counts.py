"""One thread beside several: tinygen's time for a step in two processes, which take turns.

python -m tinygen.benchmarks.conditions.thread_counts '["step", "vae", 128]'     for "5" prints the seconds of 5 steps

The number of threads is fixed when NumPy's BLAS and numba are loaded, so that each number has a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

from tinygen.benchmarks import machine, memory
from tinygen.benchmarks.sides import OURS
from tinygen.benchmarks.timing import interleaved


class Worker:
    """A process with this many threads that computes a case whenever it is asked to."""

    def __init__(self, case: tuple, threads: int) -> None:
        self.case = case
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tinygen.benchmarks.conditions.thread_counts", json.dumps(case)],
            env=machine.environment(threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, times: int = 1) -> float:
        """The seconds of this many calls"""
        try:
            print(times, file=self.process.stdin, flush=True)
            return float(self.process.stdout.readline())
        except (OSError, ValueError):
            raise RuntimeError(f"the process that should compute {self.case} ended") from None

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def measure(case: tuple, threads: int, repeat: int) -> dict:
    """Time a case on one thread and on all of them, in turns.  -> "threads" of a case

    case: as for memory.find
    """
    workers = {str(count): Worker(case, count) for count in (1, threads)}
    try:
        timings = interleaved(workers, repeat, stopwatch=lambda worker, times: worker(times))
    finally:
        for worker in workers.values():
            worker.close()
    times = {count: timing.as_json() for count, timing in timings.items()}
    return {"sides": times, "ratio": round(times[str(threads)]["ms"] / times["1"]["ms"], 3)}


def main(argv: list[str]) -> None:
    call = memory.find(json.loads(argv[0])).make(OURS)
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(line)):
            call()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
