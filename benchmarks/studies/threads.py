"""How many steps a second does `tinygen train MODEL` make on one thread and on all cores, idle and beside others?

    python -m tinygen.benchmarks.studies.threads [MODEL ...] [--seconds 4] [--rounds 2] [--nice] [--json FILE]

Every figure is a process that trains with the model's default flags: batches, random numbers, logging and the optimizer
are included, pictures and checkpoints are not.  All cores means that no variable is set, as for a new user.  "under
load" is beside one busy program on each core; --nice adds runs at the lowest priority beside them.  The five training
steps themselves, beside PyTorch's, are `tinygen bench steps --under-load --one-thread`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

from tinygen.benchmarks import machine
from tinygen.benchmarks.conditions.under_load import busy_cores

MODELS = "vae", "gan", "dcgan", "wgan", "wgan_gp", "cgan", "pacgan", "classifier", "ddpm"

# prints the steps per second of a run that it does not finish
WORKER = """
import importlib, os, sys, time
from tinygen.run.training import Run

name, folder, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
model = importlib.import_module(f"tinygen.models.{name}")

class Timed(Run):
    def steps(self, total, **options):
        started, first = None, 0
        for step in super().steps(total, **options):
            now = time.perf_counter()
            if started is None and step >= 3 and now > begun + seconds / 4:  # everything is compiled
                started, first = now, step
            elif started is not None and now > started + seconds and step >= first + 3:
                print((step - first) / (now - started), flush=True)
                os._exit(0)
            yield step

never = 10**9
fields = model.Config.__dataclass_fields__
rare = {name: never for name in ("steps", "pictures_every", "checkpoint_every") if name in fields}
config = model.Config(**rare)
begun = time.perf_counter()
model.train(config, Timed.create(name, config, folder))
"""


def steps_per_second(model: str, threads: int | None, seconds: float, nice: bool = False) -> float:
    """Train for some seconds in a new process; `threads` None sets no variable."""
    environment = {n: v for n, v in os.environ.items() if n not in machine.THREAD_VARIABLES}
    if threads is not None:
        environment |= dict.fromkeys(machine.THREAD_VARIABLES, str(threads))
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*(["nice", "-n", "19"] if nice else []), sys.executable, "-c", WORKER]
            + [model, str(Path(folder, "run")), str(seconds)],
            env=environment,
            capture_output=True,
            text=True,
        )
    if done.returncode or not done.stdout.strip():
        raise SystemExit(f"threads: training {model} failed: {done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


def measure(model: str, seconds: float, rounds: int, nice: bool) -> dict:
    """{condition: {"1": steps per second, "all": ...}}, medians of rounds that change between the two"""
    found: dict = {}
    for condition in ("idle", "under load", *(["under load, nice"] if nice else [])):
        beside = nullcontext() if condition == "idle" else busy_cores(machine.usable_cores())
        turns: dict = {"1": [], "all": []}
        with beside:
            for _ in range(rounds):
                for name, threads in (("1", 1), ("all", None)):
                    turns[name].append(steps_per_second(model, threads, seconds, "nice" in condition))
        found[condition] = {name: float(f"{statistics.median(t):.4g}") for name, t in turns.items()}
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tinygen.benchmarks.studies.threads", description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"by default all: {' '.join(MODELS)}")
    parser.add_argument(
        "--seconds", type=float, default=4, help="of every run, after the first steps; default 4"
    )
    parser.add_argument("--rounds", type=int, default=2, help="runs of each kind; default 2")
    parser.add_argument("--nice", action="store_true", help="also at the lowest priority")
    parser.add_argument(
        "--json", type=Path, help="write what was measured; models that are there already are kept"
    )
    options = parser.parse_args(arguments)
    told = {"schema": 1, "machine": machine.describe(machine.cores()), "versions": machine.versions()}
    told |= {"load": machine.load(), "train": {}}
    if options.json and options.json.exists():
        told["train"] = json.loads(options.json.read_text())["train"]
    for model in options.models or MODELS:
        found = told["train"][model] = measure(model, options.seconds, options.rounds, options.nice)
        cells = (f"{c}: {t['1']:g} on one thread, {t['all']:g} on all" for c, t in found.items())
        print(f"{model}, steps/s; " + "; ".join(cells), flush=True)
        if options.json:
            options.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
