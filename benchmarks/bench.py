"""`tinygen bench`: kernels and training steps, timed beside PyTorch in one process, in turns, on the same threads.

A result is compared before it is timed; one that is wrong ends the benchmark.  What it prints can be written as JSON,
from which benchmarks/report.py writes the README's table and the roofline plot.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

from tinygen import kernels
from tinygen.benchmarks import machine, memory
from tinygen.benchmarks.kernel_cases import kernel_cases
from tinygen.benchmarks.sides import (
    OURS,
    Case,
    Side,
    compile_failure,
    load_torch,
    reference_kernels,
    seen_kernels,
    torch_sides,
)
from tinygen.benchmarks.step_cases import step_cases
from tinygen.benchmarks.timing import arrays, interleaved, require_equal
from tinygen.progress import say

SCHEMA = 1
TOO_SLOW = 4.0  # seconds for the first call of a variant, compilation included


@dataclass(frozen=True)
class Settings:
    threads: int
    repeat: int = 15
    quick: bool = False  # fewer turns, no torch.compile
    torch: bool = True
    ladder: bool = False  # every variant of the kernels that a case calls
    memory: bool = True


def all_cases() -> list[Case]:
    """Every case there is: operations, then training steps."""
    return [*kernel_cases(), *step_cases()]


def chosen(names: list[str], cases: list[Case]) -> list[Case]:
    """The cases of these names: of a case, of its group, "kernels" or "steps".  No name: all."""
    known = ["kernels", "steps", *dict.fromkeys(n for case in cases for n in (case.group, case.name))]
    for name in names:
        if name not in known:
            from tinygen.flags import unknown

            raise ValueError(f"bench: {unknown('name', name, known)}")
    return [
        case
        for case in cases
        if not names or {case.name, case.group, "steps" if case.step else "kernels"} & set(names)
    ]


def run(cases: list[Case], settings: Settings) -> dict:
    """Time all cases.  -> what --json writes"""
    torch = load_torch(settings.threads) if settings.torch else None
    missing = {}
    if torch is None:
        missing["torch"] = "not installed" if settings.torch else "--no-torch"
    elif settings.quick:
        missing["torch.compile"] = "--quick"
    elif reason := compile_failure(torch):
        missing["torch.compile"] = reason
    for name, reason in missing.items():
        say(f"{name}: not available: {reason}")
    before, roof = (
        machine.load(),
        machine.roofline(settings.threads, torch, repeat=3 if settings.quick else 7),
    )
    results, started = [], time.perf_counter()
    for i, case in enumerate(cases):
        say(f"[{i + 1}/{len(cases)}] {case.name}, {case.shape}")
        sides = torch_sides(case, torch, "torch.compile" not in missing) if torch else []
        results.append(run_case(case, sides, settings, roof))
        say(f"    {summary(results[-1])}")
    return {
        "schema": SCHEMA,
        "machine": machine.describe(settings.threads),
        "versions": machine.versions(),
        "load": {"before": before, "after": machine.load()},
        "settings": {"repeat": settings.repeat, "quick": settings.quick, "ladder": settings.ladder},
        "seconds": round(time.perf_counter() - started, 1),
        "not_available": missing,
        "roofline": roof,
        "cases": results,
    }


def run_case(case: Case, sides: list[Side], settings: Settings, roof: dict) -> dict:
    """Check and time one case: ours, our variants if wanted, PyTorch's ways.  -> one entry of "cases" """
    ours = case.make(OURS)
    with seen_kernels() as seen:
        result = checked_result(case, ours)
    errors = {}
    with reference_kernels():
        expected = checked_result(case, case.make(OURS))
    errors["reference"] = require_equal(
        case.name, "tinygen", result, expected, "the reference", case.tolerance
    )
    calls = {"tinygen": ours}
    if settings.ladder:
        calls |= rungs(case, seen, expected)
    for side in sides:
        calls[side.name] = case.make(side)
        theirs = checked_result(case, calls[side.name])
        errors[side.name] = require_equal(case.name, "tinygen", result, theirs, side.name, case.tolerance)
    turns = (
        {"repeat": min(settings.repeat, 5), "budget": 4.0} if settings.quick else {"repeat": settings.repeat}
    )
    timings = interleaved(calls, **turns)
    times = {name: timing.as_json() for name, timing in timings.items()}
    row = {"name": case.name, "group": case.group, "shape": case.shape, "step": case.step}
    row |= {"flops": case.flops, "bytes": case.bytes, "kernels": _taken(seen), "errors": errors}
    row |= (
        {"sides": times}
        | _ratios(times)
        | {"rates": {n: _rates(case, t["ms"], roof) for n, t in times.items()}}
    )
    if case.memory and settings.memory and memory.available():
        row["memory"] = {
            name: memory.measure(case.memory, torch=name == "torch", threads=settings.threads)
            for name in ("tinygen", "torch")
            if name in times
        }
    return row


def checked_result(case: Case, call) -> object:
    """What the call to be compared gives, copied: a later one may write over it."""
    for _ in range(case.check_calls):
        result = call()
    return [array.copy() for array in arrays(result)]


def rungs(case: Case, seen: dict[str, dict[str, bool]], expected) -> dict:
    """A call for every variant of every kernel of a case that has several; those that refuse its arguments left out."""
    calls = {}
    for kernel, variants in seen.items():
        for variant, usable in variants.items() if len(variants) > 1 else ():
            if usable is False:
                say(f"    {kernel}: {variant} does not take these arguments")
                continue
            call = forced(case.make(OURS), kernel, variant)
            start = time.perf_counter()
            found = checked_result(case, call)
            if time.perf_counter() - start > TOO_SLOW:
                say(f"    {kernel}: {variant} takes {time.perf_counter() - start:.1f} s, too long to repeat")
                continue
            require_equal(case.name, f"{kernel}={variant}", found, expected, "the reference", case.tolerance)
            calls[f"{kernel}={variant}"] = call
    return calls


def forced(call, kernel: str, variant: str):
    """The call, with one kernel by one of its variants."""

    def with_variant():
        with kernels.use(**{kernel: variant}):
            return call()

    return with_variant


def _taken(seen) -> dict[str, str]:
    """The variant that ran of each kernel: the last usable one."""
    return {kernel: [v for v, usable in variants.items() if usable][-1] for kernel, variants in seen.items()}


def _ratios(times: dict) -> dict:
    """ours / theirs for each of PyTorch's ways, of the medians and, less disturbed by others, of the minima."""
    ours, theirs = times["tinygen"], {name: t for name, t in times.items() if name.startswith("torch")}
    of = lambda key: {name: round(ours[key] / t[key], 3) for name, t in theirs.items()}
    return {"ratios": of("ms"), "ratios_of_minima": of("min_ms")}


def _rates(case: Case, ms: float, roof: dict) -> dict:
    """GFLOP/s, GB/s and the percentage of the time in which the roofline would allow this work."""
    rates = {}
    if case.flops:
        rates["gflops"] = round(case.flops / ms / 1e6, 1)
    if case.bytes:
        rates["gbps"] = round(case.bytes / ms / 1e6, 1)
    if rates:
        rates["roofline"] = round(100 * least_ms(case.flops, case.bytes, roof) / ms, 1)
    return rates


def least_ms(flops: float, bytes: float, roof: dict) -> float:
    """The time the roofline allows: its floating-point operations or its bytes, whichever take longer."""
    return max(flops / roof["gflops"], bytes / roof["gbps"]) / 1e6


def summary(row: dict) -> str:
    """One line: milliseconds of every side, ratios."""
    times = ", ".join(f"{name} {t['ms']:.4g} ms" for name, t in row["sides"].items())
    ratios = "".join(f", {ratio:.2f} × {name}" for name, ratio in row["ratios"].items())
    return times + ratios


def write_json(result: dict, path: str) -> None:
    Path(path).write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
