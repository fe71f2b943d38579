"""Tables and a plot from the measurements that `tinygen bench --json` wrote.

python -m tinygen.benchmarks.report write     the tables of benchmarks/README.md and README.md, results/roofline-*.png
python -m tinygen.benchmarks.report check     exit 1 if the pages are not what `write` writes
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from tinygen.benchmarks import machine, pages
from tinygen.benchmarks.tables import makers

RESULTS = Path(__file__).resolve().parent / "results"
MODELS = "models.json"  # of benchmarks/tables/papers.py
NO_GPU = "On a GPU: none was measured yet; `tinygen bench --device cuda` does."
WRITER = "benchmarks/report.py"


def results() -> list[dict]:
    """The committed measurements by file name, the CPU's before those of a GPU."""
    found = []
    for path in sorted(
        RESULTS.glob("*.json"), key=lambda path: (not path.name.startswith("cpu-"), path.stem)
    ):
        result = json.loads(path.read_text(encoding="utf-8")) if path.name != MODELS else {}
        if result.get("machine", {}).get("stand_in"):
            raise SystemExit(f"{path}: measured on the tests' stand-in for a GPU: these are not results")
        found += [result] if "roofline" in result and "cases" in result else []
    return found


def device(result: dict) -> str | None:
    """The name of the GPU; None for a result of the CPU."""
    return result["machine"].get("device")


def step_rows(result: dict) -> list[list[str]]:
    """Training steps: milliseconds, ratio to PyTorch eager, under load, on one thread, peak memory."""
    head = [
        "step",
        "tinygen ms",
        "PyTorch ms",
        "ratio",
        "PyTorch's other modes",
        "under load, mean ms",
        "one thread ms",
        "peak MiB" if device(result) else "peak MiB above imports",
        "peak MiB in all",
    ]
    rows = [head]
    for case in result["cases"]:
        if case["step"]:
            memory = case.get("memory", {})
            cells = [f"{case['name']}, {case['shape']}", *_times(case), _others(case)]
            cells += [_under_load(case), _one_thread(case)]
            rows.append([*cells, _pair(memory, "mib"), _pair(memory, "peak_mib")])
    return rows


def kernel_rows(result: dict) -> list[list[str]]:
    """Operations: milliseconds, ratio, rate and share of the roof; cuBLAS and tinygen's other variants, if timed."""
    head = ["operation", "shape", "tinygen ms", "PyTorch ms", "ratio", "PyTorch's other modes"]
    rows = [[*head, "cuBLAS ms", "rate", "of the roof", "tinygen's variants"]]
    for case in result["cases"]:
        if not case["step"]:
            cells = [case["name"], case["shape"], *_times(case), _others(case), _cublas(case)]
            rows.append([*cells, *_rate(case["rates"]["tinygen"]), _variants(case)])
    return rows


def ladder_rows(result: dict) -> list[list[str]]:
    """Variants of kernels from slow to fast, as they are registered, followed by PyTorch."""
    rows = [["operation", "shape", "by", "ms", "min ms", "spread", "rate", "of the roof"]]
    for case in result["cases"]:
        for name, time in case["sides"].items():
            by = (
                f"{name} ({', '.join(case['kernels'].values())})"
                if name == "tinygen" and case["kernels"]
                else name
            )
            cells = [case["name"], case["shape"], by, _ms(time["ms"]), _ms(time["min_ms"])]
            rows.append([*cells, f"{100 * time['spread']:.0f} %", *_rate(case["rates"][name])])
    return rows


def _times(case) -> list[str]:
    ours, theirs = case["sides"]["tinygen"], case["sides"].get("torch")
    if theirs is None:
        return [_ms(ours["ms"]), "", ""]
    return [
        _ms(ours["ms"]),
        _ms(theirs["ms"]),
        f"{case['ratios']['torch']:.2f} ({case['ratios_of_minima']['torch']:.2f})",
    ]


def _others(case) -> str:
    """ "channels-last 7.5, compile 8.1" """
    return ", ".join(
        f"{name.removeprefix('torch').strip(' .')} {_ms(time['ms'])}"
        for name, time in case["sides"].items()
        if name.startswith("torch") and name != "torch"
    )


def _under_load(case) -> str:
    """ "9.8 / 12.1 (0.81)": tinygen's and PyTorch's mean beside busy programs"""
    load = case.get("under_load")
    if load is None:
        return ""
    means = " / ".join(map(_ms, load["mean_ms"].values()))
    return f"{means} ({load['ratio']:.2f})" if "ratio" in load else means


def _one_thread(case) -> str:
    """ "5.1 (0.62)": tinygen's time on one thread, and that on all threads over it, timed in turns"""
    threads = case.get("threads")
    return f"{_ms(threads['sides']['1']['ms'])} ({threads['ratio']:.2f})" if threads else ""


def _cublas(case) -> str:
    time = case["sides"].get("cuBLAS")
    return f"{_ms(time['ms'])} ({case['ratios']['cuBLAS']:.2f})" if time else ""


def _variants(case) -> str:
    """ "naive 8.1, tiled 2.2": the variants, slow to fast, with the kernel's name if a case has several kernels."""
    rungs = [(*name.split("="), time) for name, time in case["sides"].items() if "=" in name]
    several = len({kernel for kernel, _, _ in rungs}) > 1
    return ", ".join(
        f"{f'{kernel} ' if several else ''}{variant} {_ms(time['ms'])}" for kernel, variant, time in rungs
    )


def _pair(memory: dict, key: str) -> str:
    values = [f"{memory[name][key]:.0f}" for name in ("tinygen", "torch") if key in memory.get(name, ())]
    return " / ".join(values)


def _rate(rates: dict) -> list[str]:
    if not rates:
        return ["", ""]
    rate = f"{rates['gflops']:.0f} GFLOP/s" if "gflops" in rates else f"{rates['gbps']:.1f} GB/s"
    return [rate, f"{rates['roofline']:.0f} %"]


def _ms(ms: float) -> str:
    return f"{ms:#.3g}".rstrip(".") if ms < 1000 else f"{ms:.0f}"


def aligned(rows: list[list[str]]) -> str:
    """Rows for a terminal: the first is the head; numbers are right-aligned; empty columns are left out."""
    keep = [i for i in range(len(rows[0])) if any(row[i] for row in rows[1:])]
    rows = [[row[i] for i in keep] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(keep))]
    right = [all(row[i][:1].isdigit() or not row[i] for row in rows[1:]) for i in range(len(keep))]
    lines = [
        "  ".join(f"{cell:>{w}}" if r else f"{cell:<{w}}" for cell, w, r in zip(row, widths, right)).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def markdown(rows: list[list[str]]) -> str:
    """Rows as a Markdown table; empty columns are left out."""
    keep = [i for i in range(len(rows[0])) if any(row[i] for row in rows[1:])]
    lines = ["| " + " | ".join(row[i] for i in keep) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(keep), *lines[1:]])


def text(result: dict) -> str:
    """What `tinygen bench` prints at the end."""
    parts = [rows for rows in (step_rows(result), kernel_rows(result)) if len(rows) > 1]
    if result["settings"]["ladder"]:
        parts = [ladder_rows(result)]
    failed = [f"NOT MEASURED: {f['name']}, {f['shape']}: {f['error']}" for f in result.get("failed", ())]
    return "\n\n".join(
        [
            *map(aligned, parts),
            *failed,
            "ratio: tinygen's time over PyTorch's, of medians (of minima).  " + conditions(result),
        ]
    )


def conditions(result: dict) -> str:
    """The machine, its load, and its roof."""
    m, roof, load = result["machine"], result["roofline"], result["load"]
    missing = "; ".join(f"no {name}: {reason}" for name, reason in result["not_available"].items())
    facts = [
        _gpu(m)
        if device(result)
        else f"{m['cpu']}, {m['threads']} of {m['cores']} cores, {m['BLAS']} with {m['BLAS core']} kernels",
        ", ".join(f"{name} {version}" for name, version in result["versions"].items() if version),
        f"load {load['before'][0]} before, {load['after'][0]} after" if load["before"] else "load unknown",
        f"roof: {roof['gflops']:.0f} GFLOP/s (sgemm {roof['sgemm']}), {roof['gbps']:.0f} GB/s (copy, "
        f"{roof['copy_megabytes']} MiB)",
    ]
    busy = load["before"] and load["before"][0] > m["cores"] / 2
    note = (
        " The machine was busy: ratios are rough, times and shares of the roof mean little." if busy else ""
    )
    failed = [f"not measured because they failed: {', '.join(names)}"] if (names := _failures(result)) else []
    return "; ".join(facts + ([missing] if missing else []) + failed) + "." + note


def _gpu(m: dict) -> str:
    """The GPU, its software, and where TF32 was on, without which no comparison is fair."""
    tf32 = [name for name, on in m["tf32"].items() if on]
    words = [
        f"{m['device']}, driver {m['driver']}, CUDA {m['CUDA runtime']}",
        f"TF32 on in {' and '.join(tf32)}" if tf32 else f"TF32 off (tinygen, {', '.join(m['tf32'])})",
        "CUDA events around each call, with the L2 cache emptied before",
    ]
    return "; ".join(words + (["NOT A GPU: the tests' stand-in on the CPU"] if m["stand_in"] else []))


def _failures(result: dict) -> list[str]:
    return list(dict.fromkeys(failure["name"] for failure in result.get("failed", ())))


def section(measured: list[dict]) -> str:
    """The tables of benchmarks/README.md."""
    if not measured:
        return "Not measured yet on an idle machine."
    parts = []
    for result in measured:
        parts += [markdown(rows) for rows in (step_rows(result), kernel_rows(result)) if len(rows) > 1]
        parts.append(f"Medians, timed in turns. {conditions(result)}")
        if under_the_roof(result):
            parts.append(f"![operations under the measured roof](results/{plot_name(result)})")
    note = (
        "ratio: tinygen's time over PyTorch eager's, below 1 is faster; ratio of minima in brackets. Under load: "
        "tinygen's / PyTorch's mean while other programs keep every core busy (ratio). One thread: in brackets, the "
        "time on all threads over it. Peaks: tinygen's / PyTorch's. Of the roof: the time that the measured roofline "
        "allows for this work, over the time taken; above 100 % if data stays in the cache, or if an algorithm needs "
        "fewer operations than the direct one."
    )
    return "\n\n".join([*parts, note] if any(map(device, measured)) else [*parts, note, NO_GPU])


def under_the_roof(result: dict) -> list[dict]:
    """The operations that the roofline plot shows."""
    return [case for case in result["cases"] if not case["step"] and case["flops"] and case["bytes"]]


def plot_name(result: dict) -> str:
    """The name of the roofline plot of a result in benchmarks/results."""
    m = result["machine"]
    where = (device(result) or f"{machine.maker(m['cpu'])} {m['threads']} threads").lower()
    return f"roofline-{re.sub('[^a-z0-9]+', '-', where)}.png"


def written(measured: list[dict]) -> dict[Path, str]:
    """The pages with their tables replaced."""
    tables = {pages.SPEED: ("bench", section), pages.README: ("steps", makers.table)}
    return {
        path: pages.replaced(path.read_text(encoding="utf-8"), key, WRITER, table(measured))
        for path, (key, table) in tables.items()
    }


def draw_roofline(result: dict, path: Path) -> None:
    """Plot every operation that has flops under the measured roof: GFLOP/s over operations per byte, log-log."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    roof = result["roofline"]
    figure, axes = plt.subplots(figsize=(9, 5.5), layout="constrained")
    cases = under_the_roof(result)
    intensity = [case["flops"] / case["bytes"] for case in cases]
    ends = [min([*intensity, 1]) / 2, max([*intensity, 100]) * 2]
    knee = roof["gflops"] / roof["gbps"]
    xs = [ends[0], knee, ends[1]]
    axes.plot(xs, [min(roof["gflops"], x * roof["gbps"]) for x in xs], color="black", label="measured roof")
    groups = list(dict.fromkeys(case["group"] for case in cases))
    for i, group in enumerate(groups):
        sides = ("tinygen", "o", f"C{i}"), ("torch", "o", "none"), ("cuBLAS", "s", "none")
        for side, marker, face in sides:
            points = [
                (x, case["rates"][side]["gflops"])
                for x, case in zip(intensity, cases)
                if case["group"] == group and side in case["rates"]
            ]
            if points:
                label = group if side == "tinygen" else None
                axes.scatter(*zip(*points), marker=marker, edgecolors=f"C{i}", facecolors=face, label=label)
    axes.scatter([], [], marker="o", edgecolors="gray", facecolors="none", label="PyTorch, the same work")
    axes.set(xscale="log", yscale="log", xlabel="floating-point operations a byte", ylabel="GFLOP/s")
    cpu = f"{result['machine']['cpu']}, {result['machine']['threads']} threads"
    axes.set_title(device(result) or cpu, fontsize=10)
    axes.legend(fontsize=8, loc="lower right")
    axes.grid(alpha=0.3, which="both")
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("write", "check"))
    arguments = parser.parse_args(argv)
    if not pages.README.exists():
        parser.error("run this from a checkout (pip install -e .): the pages are not installed")
    measured = results()
    for path, text in written(measured).items():
        if arguments.action == "write":
            path.write_text(text, encoding="utf-8")
        elif text != path.read_text(encoding="utf-8"):
            print(f"{path} is out of date: run python -m tinygen.benchmarks.report write")
            return 1
    if arguments.action == "check":
        return 0
    for result in filter(under_the_roof, measured):
        draw_roofline(result, RESULTS / plot_name(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
