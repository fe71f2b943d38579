"""The flags of `tinygen bench`, and a process with the number of threads that they ask for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tinygen.benchmarks import machine
from tinygen.benchmarks.gpu import card


def add_arguments(parser) -> None:
    """Add the flags of the command."""
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="what to time: conv2d, softmax, vae, kernels, steps, user-steps (the steps' networks as a user of PyTorch "
        "writes them), …; a kernel is timed with all its variants",
    )
    parser.add_argument("--device", default="cpu", metavar="cpu|cuda", help="where to compute (default cpu)")
    parser.add_argument(
        "--json", metavar="FILE", help="write the measurements here; with --scaling also a plot, as .png"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="default OMP_NUM_THREADS, else all cores")
    parser.add_argument(
        "--repeat", type=int, default=15, metavar="N", help="turns for each side (default 15)"
    )
    parser.add_argument("--quick", action="store_true", help="5 turns, no torch.compile")
    parser.add_argument("--no-torch", action="store_true", help="time tinygen alone")
    parser.add_argument(
        "--under-load", action="store_true", help="time steps also while other programs keep all cores busy"
    )
    parser.add_argument("--one-thread", action="store_true", help="time steps also on one thread")
    parser.add_argument(
        "--save",
        action="store_true",
        help="all of that, written into benchmarks/results under the name of this CPU's maker; called again after an "
        "interruption, or with other names, it adds what is missing",
    )
    parser.add_argument(
        "--scaling", action="store_true", help="time and memory as the work grows, with slopes"
    )


def bench(
    argv, *, names, device, json, threads, repeat, quick, no_torch, under_load, one_thread, save, scaling
) -> int:
    """Run the benchmark in this process if its libraries have the right number of threads, else in a new process."""
    threads = _threads(threads)
    _check(names, device, json, repeat, scaling, save, under_load or one_thread)
    from tinygen.benchmarks import bench, report
    from tinygen.benchmarks.conditions import saved
    from tinygen.benchmarks.studies import scaling as growth

    cases = bench.chosen(names, bench.all_cases(device))
    wanted = (card if device == "cuda" else machine).environment(threads)
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        # libraries read these variables when they are loaded, and NumPy already is
        return subprocess.call([sys.executable, "-m", "tinygen", "bench", *argv], env=wanted)
    # a few names: time the variants of their kernels; for all kernels or steps only on a GPU
    few = bool(names) and not {"kernels", "steps", "user-steps"} & set(names)
    ladder = (few or device == "cuda") and not all(case.step for case in cases)
    settings = bench.Settings(
        threads,
        repeat,
        quick,
        torch=not no_torch,
        ladder=ladder and not save,
        device=device,
        under_load=under_load or save,
        one_thread=one_thread or save,
    )
    if save:
        json = saved.path(threads)
    going_on = (lambda result: saved.earlier(json, result)) if save else (lambda result: {})
    keep = (lambda result: None) if json is None else (lambda result: bench.write_json(result, json))
    result = growth.run(settings) if scaling else bench.run(cases, settings, keep, going_on)
    if scaling and json is not None:
        keep(result)
        growth.draw(result, Path(json).with_suffix(".png"))
    print(growth.text(result) if scaling else report.text(result))
    return 1 if result.get("failed") else 0


def _check(names, device, json, repeat: int, scaling: bool, save: bool, more: bool) -> None:
    """Refuse flags that do not go together.  more: whether steps are timed under further conditions"""
    if repeat < 1:
        raise ValueError(f"--repeat: found {repeat}, expected 1 or more")
    if (more or save) and (scaling or device != "cpu"):
        raise ValueError("--under-load, --one-thread and --save are for steps on the CPU, without --scaling")
    if save and json is not None:
        raise ValueError("--save chooses the file itself; leave out --json")
    if json is not None and (Path(json).is_dir() or not Path(json).absolute().parent.is_dir()):
        raise ValueError(f"--json: {json} cannot be written")
    if scaling and names:
        raise ValueError(f"--scaling: takes no names; found {', '.join(names)}")
    if scaling and device != "cpu":
        raise ValueError(f"--scaling: measures on the CPU; found --device {device}")
    if scaling and json is not None and Path(json).suffix == ".png":
        raise ValueError(
            f"--json: found {json}, the name of the plot that --scaling draws; choose another name"
        )


def _threads(threads: int | None) -> int:
    if threads is None:
        given = os.environ.get("OMP_NUM_THREADS", "")
        threads = int(given) if given.isdigit() and int(given) else machine.cores()
    if threads < 1:
        raise ValueError(f"--threads: found {threads}, expected 1 or more")
    return threads
