"""How soon has a fresh process taken its first training step, that of the seed VAE, with a warm compilation cache?

python -m tinygen.benchmarks.studies.first_step [--processes 7]

Prints medians over new interpreters of the seconds for: the interpreter and `import tinygen`; the data (the embedded
digits, cached on disk); the network (includes the import of numba); the first step (includes loading the compiled
code); and the second step, which has nothing left to load.  One process runs first without being counted, so that
everything is compiled and cached.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time

STAGES = "import", "data", "network", "first step", "second step"


def main(argv: list[str] | None = None) -> None:
    """Start the processes and print the medians."""
    parser = argparse.ArgumentParser(prog="first_step", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--processes", type=int, default=7, metavar="N", help="how many to measure (default 7)"
    )
    count = parser.parse_args(argv).processes
    if count < 1:
        parser.error(f"--processes: found {count}, expected 1 or more")
    print("\n".join(table([fresh_process() for _ in range(count + 1)][1:])))


def fresh_process() -> list[float]:
    """-> the seconds that each of STAGES took in a new process"""
    code = f"import tinygen.benchmarks.studies.first_step as f; f.stages({time.time()!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def table(runs: list[list[float]]) -> list[str]:
    """A line for each stage: its median, and the median of the time until its end."""
    lines = [f"{'':12} {'s':>7} {'since start':>12}   medians of {len(runs)}"]
    for i, stage in enumerate(STAGES):
        alone = statistics.median(run[i] for run in runs)
        lines.append(f"{stage:12} {alone:7.3f} {statistics.median(sum(run[: i + 1]) for run in runs):12.3f}")
    return lines


def stages(started: float) -> None:
    """What one process does; prints seconds as JSON.  started: the time.time() at which it was started"""
    marks = [started, time.time()]  # tinygen is imported by now, with this module
    from tinygen import optim
    from tinygen.benchmarks.studies.profile_vae import step
    from tinygen.data import load
    from tinygen.models import vae
    from tinygen.random import Generator

    images = load("glyphs").train_images[:128].reshape(128, vae.PIXELS)
    marks.append(time.time())
    net = vae.build(vae.Config())
    optimizer = optim.Adam(net.parameters(), 1e-3)
    marks.append(time.time())
    for i in range(2):
        step(net, optimizer, images, Generator(0), i)
        marks.append(time.time())
    print(json.dumps([round(after - before, 4) for before, after in itertools.pairwise(marks)]))


if __name__ == "__main__":
    main()
