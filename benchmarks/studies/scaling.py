"""How do time and memory grow with the work?  Attention over T, conv2d over batch and channels, a VAE step over batch.

`tinygen bench --scaling --json FILE` times both sides in turns, measures the peak memory of each in a process of its
own, and draws a plot next to FILE with the slope of each line: the exponent p of work^p, fitted to its upper half.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from tinygen.benchmarks import bench, machine, memory
from tinygen.benchmarks.sides import OURS, Case, Side, load_torch
from tinygen.benchmarks.step_cases import step_case
from tinygen.benchmarks.studies.scaling_cases import attention_case, conv_case
from tinygen.benchmarks.timing import interleaved, require_equal
from tinygen.run.terminal import say


def series(quick: bool = False) -> dict[str, list[tuple[int, Case]]]:
    """What grows -> [(how much, case)]"""
    doubled = lambda first, last: [first << i for i in range((last // first).bit_length())]
    step = 2 if quick else 1
    return {
        "attention over T": [(T, attention_case(1, 4, T, 64)) for T in doubled(64, 8192)[::-1][::step][::-1]],
        "conv2d over batch": [(N, conv_case(64, 64, 28, 3, N)) for N in doubled(2, 128)[::step]],
        "conv2d over channels": [(C, conv_case(C, C, 14, 3, 32)) for C in doubled(8, 256)[::step]],
        "vae step over batch": [(N, step_case("vae", N)) for N in doubled(16, 2048)[::step]],
    }


def run(settings: bench.Settings, lines: dict[str, list[tuple[int, Case]]] | None = None) -> dict:
    """Measure time and memory at every point.  -> what --json writes"""
    torch = load_torch(settings.threads) if settings.torch else None
    sides = [OURS, *([Side("torch", torch)] if torch else [])]
    before, started, measured = machine.load(), time.perf_counter(), {}
    for title, points in (lines or series(settings.quick)).items():
        measured[title] = []
        for work, case in points:
            measured[title].append({"work": work} | _point(case, sides, settings))
            say(f"{title}, {work}: {_line(measured[title][-1])}")
    names = [side.name for side in sides]
    return {
        "schema": bench.SCHEMA,
        "machine": machine.describe(settings.threads),
        "versions": machine.versions(),
        "load": {"before": before, "after": machine.load()},
        "seconds": round(time.perf_counter() - started, 1),
        "scaling": measured,
        "slopes": {title: _slopes(points, names) for title, points in measured.items()},
    }


def _point(case: Case, sides: list[Side], settings) -> dict:
    calls = {side.name: case.make(side) for side in sides}
    checked = {name: bench.checked_result(case, call) for name, call in calls.items()}
    if "torch" in checked:
        require_equal(case.name, "tinygen", checked["tinygen"], checked["torch"], "torch", case.tolerance)
    timings = interleaved(calls, 3 if settings.quick else min(settings.repeat, 7), budget=10)
    point = {"ms": {name: timing.as_json()["ms"] for name, timing in timings.items()}}
    if settings.memory and memory.available():
        point["mib"] = {
            name: memory.measure(case.memory, torch=name == "torch", threads=settings.threads, calls=3)["mib"]
            for name in calls
        }
    return point


def slope(work: list[float], values: list[float]) -> float:
    """The exponent p of values ~ work^p, by least squares of the logarithms over the upper half."""
    half = len(work) // 2
    return float(np.polyfit(np.log(work[half:]), np.log(np.maximum(values[half:], 1e-3)), 1)[0])


def _slopes(points: list[dict], names: list[str]) -> dict:
    if len(points) < 4:
        return {}
    work = [point["work"] for point in points]
    return {
        key: {name: round(slope(work, [point[key][name] for point in points]), 2) for name in names}
        for key in ("ms", "mib")
        if key in points[0]
    }


def _line(point: dict) -> str:
    parts = [
        ", ".join(f"{name} {value:.4g} {unit}" for name, value in point[unit].items())
        for unit in ("ms", "mib")
        if unit in point
    ]
    return "; ".join(parts).replace("mib", "MiB")


def text(result: dict) -> str:
    """What the command prints at the end."""
    lines = []
    for title, points in result["scaling"].items():
        lines += [title, *(f"  {point['work']:>6}  {_line(point)}" for point in points)]
        for key, slopes in result["slopes"][title].items():
            lines.append(f"  slope of {key}: " + ", ".join(f"{name} {p:.2f}" for name, p in slopes.items()))
    return "\n".join(lines)


def draw(result: dict, path: Path) -> None:
    """Plot time above and memory below, with a column for each series."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        2, len(result["scaling"]), figsize=(14, 6.5), layout="constrained", squeeze=False
    )
    for column, (title, points) in zip(axes.T, result["scaling"].items()):
        for key, unit, ax in zip(("ms", "mib"), ("ms", "MiB above imports"), column):
            ax.set(xscale="log", yscale="log", title=title, xlabel=title.split()[-1], ylabel=unit)
            ax.grid(alpha=0.3)
            for name in points[0].get(key, ()):
                p = result["slopes"][title].get(key, {}).get(name)
                label = name if p is None else f"{name}, slope {p:.2f}"
                ax.plot([q["work"] for q in points], [q[key][name] for q in points], marker="o", label=label)
            if points[0].get(key):
                ax.legend(fontsize=8)
    m = result["machine"]
    figure.suptitle(f"{m['cpu']}, {m['threads']} threads; slopes of the upper half", fontsize=10)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
