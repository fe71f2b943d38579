"""What a training step costs the host when it trains on a GPU: launches, waits, copies, Python.  No GPU is needed.

python -m tinygen.benchmarks.host_cost [MODEL ...] [--steps N] [--by operation|kernel|line] [--json FILE]
python -m tinygen.benchmarks.host_cost --write      the table in benchmarks/README.md, from results/host-cost*.json

Each model's own `train` runs with its default flags on the tests' stand-in for cupy, so this needs a checkout.  Some
steps are left out, then N are counted, none of which writes a line of metrics.jsonl.

Launches, waits of the host ("sync"), copies and allocations are counted by the stand-in where cupy would make them
(tests/support/standins/cupy/_counters.py).  CUDA variants are chosen as for a GPU and their Python runs; a launch is
counted instead of made, and the CPU's kernels compute the result.  cupy's launches are a lower bound: one for each
ufunc, copy, fill, reduction and product, a few for what cupy composes of several.

Python milliseconds are the processor time of a step on its thread, without the time inside the stand-in, whose
arithmetic a GPU would do, and without that of the CPU's kernels; the median over the steps.  They come from a second
run with a batch of 8: arithmetic on full batches would drive Python out of the caches, where with a GPU it stays
(ddpm: 32 ms a step instead of 47).  Cupy's own time in a call, some microseconds, is not in it; what is too much is
about 0.7 us a call to enter the stand-in and to read the clock.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tinygen.benchmarks import machine, pages
from tinygen.benchmarks.report import aligned, markdown
from tinygen.models import papers
from tinygen.run.flags import make_config
from tinygen.run.training import Run

SUPPORT = pages.ROOT / "tests" / "support"
RESULTS = Path(__file__).resolve().parent / "results"
BEFORE, AFTER = RESULTS / "host-cost-before.json", RESULTS / "host-cost.json"
WRITER = "benchmarks/host_cost.py"
LEFT_OUT, COUNTED = 5, 20  # steps; a GAN's watch looks at every tenth
TIMED = {"batch": 8}
FLAGS = {"ddpm (dit)": ("ddpm", {"net": "dit"})}  # cases besides the models with their default flags
PLACES = {  # which frame of the stack a launch is ascribed to: the innermost one whose module begins like this
    "operation": tuple(f"tinygen.{room}" for room in "engine ops nn optim random data run models".split()),
    "line": ("tinygen.models", "tinygen.run"),
}
HEAD = "model", "own launches", "cupy's launches", "sync", "copies to", "KiB to", "pinned", "copies from"
HEAD += "allocations", "Python ms"


def cases() -> dict[str, tuple[str, dict]]:
    """Name -> model and the flags that differ from its defaults."""
    return {model: (model, {}) for model in papers()} | FLAGS


class _Enough(Exception):
    """The steps are counted; leaves `train` before it draws pictures."""


class _CountedRun(Run):
    """A run whose `steps` counts what happens in `counted` steps, then stops."""

    counted, before_step, after_step = COUNTED, staticmethod(lambda: None), staticmethod(lambda: None)

    def steps(self, total: int, **options):
        for step in super().steps(total, **options):
            if step > LEFT_OUT:
                self.after_step()
            if step == LEFT_OUT + self.counted:
                raise _Enough
            if step >= LEFT_OUT:
                self.before_step()
            yield step


def measured(model: str, flags: dict, steps: int = COUNTED, by: str | None = None) -> dict:
    """The numbers of one model, each a mean per step but for the median `python_ms`, and the launches by source."""
    return counted(model, flags, steps, by) | {"python_ms": counted(model, flags | TIMED, steps)["python_ms"]}


def counted(model: str, flags: dict, steps: int, by: str | None = None) -> dict:
    """`measured`, but for the batch of TIMED."""
    module = importlib.import_module(f"tinygen.models.{model.replace('-', '_')}")
    with _stand_in() as cupy, tempfile.TemporaryDirectory() as folder:
        counters, seconds, sources = cupy.counters, [], Counter()

        def before():
            if not seconds:
                counters.clear()
                if by:
                    counters.listeners.append(lambda *event: _ascribe(sources, by, *event))
            seconds.append(counters.seconds - time.thread_time())

        def after():
            seconds[-1] += time.thread_time() - counters.seconds

        config = make_config(module.Config, flags)
        run = _CountedRun.create(model, config, Path(folder, "run"), device="cuda")
        run.counted, run.before_step, run.after_step = steps, before, after
        try:
            module.train(config, run)
        except _Enough:
            pass
        finally:
            counters.listeners.clear()
        each = _per_step(counters, steps) | {"python_ms": round(1e3 * statistics.median(seconds), 2)}
    if by:
        each["by"] = {name: n / steps for name, n in sources.most_common()}
    return each


def _stand_in():
    if not SUPPORT.is_dir():
        raise SystemExit(
            "host_cost: counts on the tests' stand-in for cupy: run it from a checkout (pip install -e .)"
        )
    if str(SUPPORT.parent) not in sys.path:
        sys.path.append(str(SUPPORT.parent))
    return importlib.import_module("support.gpu").stand_in("counted")


def _per_step(counters, steps: int) -> dict:
    kinds = importlib.import_module("cupy._counters")
    names = {
        "own_launches": kinds.OWN,
        "cupy_launches": kinds.LAUNCH,
        "synchronizations": kinds.WAIT,
        "copies_to_device": kinds.TO_DEVICE,
        "copies_from_device": kinds.FROM_DEVICE,
        "allocations": kinds.ALLOCATION,
    }
    found = {name: counters.total(kind) / steps for name, kind in names.items()}
    copied = {name: n for (kind, name), n in counters.bytes.items() if kind == kinds.TO_DEVICE}
    found["pinned_copies"] = counters.counts[kinds.TO_DEVICE, kinds.PINNED] / steps
    return found | {"bytes_to_device": sum(copied.values()) / steps}


def _ascribe(sources: Counter, by: str, kind: str, name: str, number: int, nbytes: int) -> None:
    """Add an event to its source, but allocations, of which there is one for nearly each launch."""
    if kind == "allocation":
        return
    source = "" if by == "kernel" else f"{_source(sys._getframe(2), PLACES[by], by == 'line')}: "
    sources[f"{source}{kind} {name}"] += number


def _source(frame, places: tuple, line: bool) -> str:
    while frame is not None:
        module, code = frame.f_globals.get("__name__", ""), frame.f_code
        if module.startswith(places):
            place = f"{module.removeprefix('tinygen.')}.{getattr(code, 'co_qualname', code.co_name)}"
            return f"{place}:{frame.f_lineno}" if line else place
        frame = frame.f_back
    return "elsewhere"


def rows(found: dict[str, dict]) -> list[list[str]]:
    """The table of one measurement."""
    return [[*HEAD], *([name, *_cells(each)] for name, each in found.items())]


def _cells(each: dict) -> list[str]:
    keys = "own_launches cupy_launches synchronizations copies_to_device".split()
    cells = [_number(each[key]) for key in keys] + [_number(each["bytes_to_device"] / 1024)]
    rest = "pinned_copies copies_from_device allocations python_ms".split()
    return cells + [_number(each[key]) for key in rest]


def _number(x: float) -> str:
    return f"{x:,.0f}" if x >= 100 or x == int(x) else f"{x:.1f}"


def compared(before: dict, after: dict) -> str:
    """The table of benchmarks/README.md: each number before and after."""
    table = [[*HEAD]]
    for name, each in after["models"].items():
        pairs = zip(_cells(before["models"].get(name, each)), _cells(each))
        table.append([name, *(f"{old} → {new}" for old, new in pairs)])
    machine = after["machine"]
    notes = [
        f"Per step, before ({before['commit']}) → now.",
        "sync: the host waits for the device. KiB to: copied to the device; pinned: as many of these copies start from",
        "pinned memory.",
        f"Python: without cupy's own time; {machine['cpu']}, python {machine['python']}.",
    ]
    notes += [after["note"]] if "note" in after else []
    return f"{markdown(table)}\n\n{' '.join(notes)}"


def page() -> str:
    """benchmarks/README.md with its table replaced."""
    before, after = (json.loads(path.read_text(encoding="utf-8")) for path in (BEFORE, AFTER))
    return pages.replaced(
        pages.SPEED.read_text(encoding="utf-8"), "host-cost", WRITER, compared(before, after)
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tinygen.benchmarks.host_cost", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"one or more of {', '.join(cases())}")
    parser.add_argument("--steps", type=int, default=COUNTED, metavar="N", help="steps to count (default 20)")
    parser.add_argument("--by", choices=["operation", "kernel", "line"], help="also list who launches")
    parser.add_argument(
        "--json", metavar="FILE", help="write the numbers here; models it has already are kept"
    )
    parser.add_argument("--write", action="store_true", help="only write the table of benchmarks/README.md")
    given = parser.parse_args(argv)
    if given.write:
        pages.SPEED.write_text(page(), encoding="utf-8")
        return 0
    if unknown := [name for name in given.models if name not in cases()]:
        parser.error(f"no model {unknown[0]!r}; known: {', '.join(cases())}")
    found = {}
    for name in given.models or cases():
        found[name] = measured(*cases()[name], steps=given.steps, by=given.by)
        sources = found[name].pop("by", {})
        print(
            "\n".join([aligned(rows({name: found[name]})), *(f"{n:8.2f}  {s}" for s, n in sources.items())]),
            "\n",
        )
        if given.json:
            _keep(Path(given.json), found)
    print(aligned(rows(found)))
    return 0


def _keep(path: Path, found: dict) -> None:
    kept = json.loads(path.read_text(encoding="utf-8"))["models"] if path.exists() else {}
    facts = machine.describe(1)
    place = {"cpu": facts["cpu"], **machine.versions(), "load": machine.load()}
    described = {"commit": _commit(), "machine": place, "models": kept | found}
    path.write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")


def _commit() -> str:
    command = "git", "-C", str(pages.ROOT), "rev-parse", "--short", "HEAD"
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
