"""The flags of `tinygen bench`, and a process that has the threads they ask for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tinygen.benchmarks import machine
from tinygen.benchmarks.gpu import card


def add_arguments(parser) -> None:
    """The command's flags."""
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="conv2d, softmax, vae, kernels, steps, …: with the ladder of variants",
    )
    parser.add_argument("--device", default="cpu", metavar="cpu|cuda", help="where to compute (default cpu)")
    parser.add_argument(
        "--json", metavar="FILE", help="write what was measured; --scaling: and its picture, in .png"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="default OMP_NUM_THREADS, else all cores")
    parser.add_argument("--repeat", type=int, default=15, metavar="N", help="turns of each side (default 15)")
    parser.add_argument("--quick", action="store_true", help="5 turns, no torch.compile")
    parser.add_argument("--no-torch", action="store_true", help="tinygen alone")
    parser.add_argument(
        "--scaling", action="store_true", help="time and memory as the work grows, with the slope"
    )


def bench(argv, *, names, device, json, threads, repeat, quick, no_torch, scaling) -> int:
    """Run the benchmark in this process if its libraries have the threads asked for, else in a new one."""
    threads = _threads(threads)
    if repeat < 1:
        raise ValueError(f"--repeat: found {repeat}, expected 1 or more")
    if json is not None and (Path(json).is_dir() or not Path(json).absolute().parent.is_dir()):
        raise ValueError(f"--json: {json} cannot be written")
    if scaling and names:
        raise ValueError(f"--scaling: takes no names; found {', '.join(names)}")
    if scaling and device != "cpu":
        raise ValueError(f"--scaling: measures on the CPU; found --device {device}")
    if scaling and json is not None and Path(json).suffix == ".png":
        raise ValueError(
            f"--json: found {json}, in whose place --scaling draws its picture; choose another name"
        )
    from tinygen.benchmarks import bench, report
    from tinygen.benchmarks.studies import scaling as growth

    cases = bench.chosen(names, bench.all_cases(device))
    wanted = (card if device == "cuda" else machine).environment(threads)
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        # libraries read these when they are loaded, which NumPy already is
        return subprocess.call([sys.executable, "-m", "tinygen", "bench", *argv], env=wanted)
    # one name asks about kernels: their variants; groups of everything only compare, but on a GPU
    few = bool(names) and not {"kernels", "steps"} & set(names)
    ladder = (few or device == "cuda") and not all(case.step for case in cases)
    settings = bench.Settings(threads, repeat, quick, torch=not no_torch, ladder=ladder, device=device)
    keep = (lambda result: None) if json is None else (lambda result: bench.write_json(result, json))
    result = growth.run(settings) if scaling else bench.run(cases, settings, keep)
    if scaling and json is not None:
        keep(result)
        growth.draw(result, Path(json).with_suffix(".png"))
    print(growth.text(result) if scaling else report.text(result))
    return 1 if result.get("failed") else 0


def _threads(threads: int | None) -> int:
    if threads is None:
        given = os.environ.get("OMP_NUM_THREADS", "")
        threads = int(given) if given.isdigit() and int(given) else machine.cores()
    if threads < 1:
        raise ValueError(f"--threads: found {threads}, expected 1 or more")
    return threads
