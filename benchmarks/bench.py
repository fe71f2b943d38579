"""`tinygen bench`: time kernels and training steps beside PyTorch, in turns in one process, on the same threads or GPU.

Results are compared first: a case with a wrong result is not timed, and the command fails.  The measurements can be
written as JSON, from which benchmarks/report.py writes the tables and the roofline plot.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tinygen import kernels
from tinygen.benchmarks import machine, memory
from tinygen.benchmarks.conditions import saved, thread_counts, under_load
from tinygen.benchmarks.gpu import card
from tinygen.benchmarks.kernel_cases import kernel_cases, large_cases
from tinygen.benchmarks.sides import (
    OURS_ON,
    Case,
    Side,
    compile_failure,
    cupy_sides,
    load_torch,
    reference_kernels,
    seen_kernels,
    torch_sides,
)
from tinygen.benchmarks.step_cases import sampling_case, step_cases
from tinygen.benchmarks.timing import arrays, interleaved, require_equal
from tinygen.benchmarks.user_steps.cases import user_step_cases
from tinygen.run.terminal import say

SCHEMA = 1
RESULTS = Path(__file__).resolve().parent / "results"
KINDS = "kernels", "steps", "user-steps", "sampling"
CONDITIONS = "repeat", "quick", "ladder", "under_load", "one_thread"  # the settings that are written
TOO_SLOW = 4.0  # seconds for the first call of a variant, compilation included


@dataclass(frozen=True)
class Settings:
    threads: int
    repeat: int = 15
    quick: bool = False  # fewer turns, no torch.compile
    torch: bool = True
    ladder: bool = False  # time every variant of the kernels that a case calls
    memory: bool = True
    device: str = "cpu"
    under_load: bool = False  # steps also beside busy programs
    one_thread: bool = False  # steps also on one thread


def all_cases(device: str = "cpu") -> list[Case]:
    """All cases: operations, on a GPU also large ones, then training steps, user-written ones, and sampling."""
    operations = [*kernel_cases(), *(large_cases() if device == "cuda" else ())]
    return [*operations, *step_cases(), *user_step_cases(), sampling_case()]


def chosen(names: list[str], cases: list[Case]) -> list[Case]:
    """The cases with these names: of a case, of a group, or one of KINDS.  No names: all cases."""
    known = [*KINDS, *dict.fromkeys(n for case in cases for n in (case.group, case.name))]
    for name in names:
        if name not in known:
            from tinygen.run.flags import unknown

            raise ValueError(f"bench: {unknown('name', name, known)}")
    return [case for case in cases if not names or {case.name, case.group, _kind(case)} & set(names)]


def _kind(case: Case) -> str:
    if case.step:
        return "user-steps" if case.group.startswith("user-") else "steps"
    return "sampling" if case.group == "sampling" else "kernels"


def run(
    cases: list[Case],
    settings: Settings,
    keep: Callable[[dict], None] = lambda result: None,
    going_on: Callable[[dict], dict] = lambda result: {},
) -> dict:
    """Time all cases.  -> what --json writes.  `keep` gets it after each case, so that one may stop early.

    going_on: from a result without cases to an earlier one of the same conditions, whose cases are not timed again
    """
    torch = load_torch(settings.threads) if settings.torch else None
    if settings.device == "cuda" and torch is not None and not torch.cuda.is_available():
        torch, missing = None, {"torch": "the installed version sees no GPU"}
    else:
        missing = _missing(torch, settings)
    for name, reason in missing.items():
        say(f"{name}: not available: {reason}")
    started, before = time.perf_counter(), machine.load()
    conditions = {name: getattr(settings, name) for name in CONDITIONS}
    result = {
        "schema": SCHEMA,
        "source": saved.fingerprint(),
        **_place(torch, settings),
        "load": {"before": before, "after": before},
        "settings": conditions,
        "seconds": 0.0,
        "not_available": missing,
        "cases": [],
        "failed": [],
    }
    result |= going_on(result) | {"failed": []}
    started -= result["seconds"]
    done = {(row["name"], row["shape"]) for row in result["cases"]}
    cases = [case for case in cases if (case.name, case.shape) not in done]
    for i, case in enumerate(cases):
        say(f"[{i + 1}/{len(cases)}] {case.name}, {case.shape}")
        sides = torch_sides(case, torch, "torch.compile" not in missing, settings.device) if torch else []
        if settings.device == "cuda":
            sides = [*cupy_sides(case), *sides]
            card.free_memory(torch)
        _add_case(result, case, sides, settings)
        result["seconds"] = round(time.perf_counter() - started, 1)
        result["load"]["after"] = machine.load()
        keep(result)
    return result


def _add_case(result: dict, case: Case, sides: list[Side], settings: Settings) -> None:
    """Add a case to the result, or why it failed.  If a variant fails, the case is timed again without variants."""
    for attempt in (settings, replace(settings, ladder=False))[: 1 + settings.ladder]:
        try:
            row = run_case(case, sides, attempt, result["roofline"])
        except Exception as error:
            say(f"    {_message(error)}")
            result["failed"].append({"name": case.name, "shape": case.shape, "error": _message(error)})
        else:
            say(f"    {summary(row)}")
            result["cases"].append(row)
            return


def _missing(torch, settings: Settings) -> dict[str, str]:
    """What cannot be compared with, and why."""
    if torch is None:
        return {"torch": "not installed" if settings.torch else "--no-torch"}
    if settings.quick:
        return {"torch.compile": "--quick"}
    reason = compile_failure(torch, settings.device)
    return {"torch.compile": reason} if reason else {}


def _place(torch, settings: Settings) -> dict:
    """The machine, its software and its measured roofline."""
    threads, repeat = settings.threads, 3 if settings.quick else 7
    if settings.device == "cuda":
        facts = {"machine": card.describe(threads, torch), "versions": card.versions(torch)}
        return facts | {"roofline": card.roofline(threads, torch, repeat=repeat)}
    facts = {"machine": machine.describe(threads), "versions": machine.versions()}
    return facts | {"roofline": machine.roofline(threads, torch, repeat=repeat)}


def _message(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"


def run_case(case: Case, sides: list[Side], settings: Settings, roof: dict) -> dict:
    """Check and time one case: tinygen, its variants if wanted, PyTorch's ways.  -> one entry of "cases" """
    ours_on = OURS_ON[settings.device]
    on_gpu = {name: card.peak_memory(case, side) for name, side in _measured(case, sides, settings)}
    ours = case.make(ours_on)
    with seen_kernels(settings.device) as seen:
        result = checked_result(case, ours)
    errors = {}
    with reference_kernels():
        expected = checked_result(case, case.make(ours_on))
    errors["reference"] = require_equal(
        case.name, "tinygen", result, expected, "the reference", case.tolerance
    )
    calls, refused = {"tinygen": ours}, {}
    if settings.ladder and _kind(case) == "kernels":
        found, refused = rungs(case, seen, expected, ours_on)
        calls |= found
    for side in sides:
        calls[side.name] = case.make(side)
        theirs = checked_result(case, calls[side.name])
        errors[side.name] = require_equal(case.name, "tinygen", result, theirs, side.name, case.tolerance)
    timings = interleaved(calls, **_turns(settings))
    times = {name: timing.as_json() for name, timing in timings.items()}
    row = {"name": case.name, "group": case.group, "shape": case.shape, "step": case.step}
    row |= {"flops": case.flops, "bytes": case.bytes, "kernels": _taken(seen), "errors": errors}
    row |= {"sides": times} | _ratios(times) | _other_conditions(case, calls, settings)
    row["rates"] = {name: rates(case, time["ms"], roof) for name, time in times.items()}
    if refused:
        row["rungs_failed"] = refused
    if peaks := on_gpu or _peaks(case, times, settings):
        row["memory"] = peaks
    return row


def _other_conditions(case: Case, calls: dict, settings: Settings) -> dict:
    """A step beside busy programs and on one thread, if wanted."""
    found = {}
    if case.step and settings.under_load:
        found["under_load"] = under_load.measure(calls, settings.repeat)
    if case.step and settings.one_thread and settings.threads > 1:
        found["threads"] = thread_counts.measure(case.memory, settings.threads, settings.repeat)
    return found


def _peaks(case: Case, times: dict, settings: Settings) -> dict:
    """The peak memory of the case on the CPU, for tinygen and for PyTorch if it was timed."""
    if not (case.memory and settings.memory and memory.available() and settings.device == "cpu"):
        return {}
    return {
        name: memory.measure(case.memory, torch=name == "torch", threads=settings.threads)
        for name in ("tinygen", "torch")
        if name in times
    }


def _measured(case: Case, sides: list[Side], settings: Settings) -> list[tuple[str, Side]]:
    """The sides whose GPU memory is measured, which must be done before the case allocates anything else there."""
    if not (case.memory and settings.memory and settings.device == "cuda"):
        return []
    return [("tinygen", OURS_ON["cuda"]), *((side.name, side) for side in sides if side.name == "torch")]


def _turns(settings: Settings) -> dict:
    repeat = min(settings.repeat, 5) if settings.quick else settings.repeat
    if settings.device == "cuda":
        return card.turns(repeat)
    return {"repeat": repeat, "budget": 4.0} if settings.quick else {"repeat": repeat}


def checked_result(case: Case, call) -> object:
    """A copy of the result that is compared: a later call may overwrite it."""
    for _ in range(case.check_calls):
        result = call()
    return [array.copy() for array in arrays(result)]


def rungs(case: Case, seen: dict[str, dict[str, bool]], expected, side: Side) -> tuple[dict, dict]:
    """A call for each variant of the kernels of a case that have several, without those that do not take its arguments.

    -> calls, and for those that failed, why
    """
    calls, failed = {}, {}
    for kernel, variants in seen.items():
        for variant, usable in variants.items() if len(variants) > 1 else ():
            if usable is False:
                say(f"    {kernel}: {variant} does not take these arguments")
                continue
            try:
                if side.device == "cuda":
                    forced(case.make(side), kernel, variant)()  # numba needs seconds to compile
                call = forced(case.make(side), kernel, variant)
                start = time.perf_counter()
                found = checked_result(case, call)
            except Exception as error:
                say(f"    {kernel}: {variant} failed: {type(error).__name__}: {error}")
                failed[f"{kernel}={variant}"] = _message(error)
                continue
            if time.perf_counter() - start > TOO_SLOW:
                say(f"    {kernel}: {variant} takes {time.perf_counter() - start:.1f} s, too slow to repeat")
                continue
            require_equal(case.name, f"{kernel}={variant}", found, expected, "the reference", case.tolerance)
            calls[f"{kernel}={variant}"] = call
    return calls, failed


def forced(call, kernel: str, variant: str):
    """The call, with a kernel forced to one of its variants."""

    def with_variant():
        with kernels.use(**{kernel: variant}):
            return call()

    return with_variant


def _taken(seen) -> dict[str, str]:
    """The variant of each kernel that ran: the last usable one."""
    return {kernel: [v for v, usable in variants.items() if usable][-1] for kernel, variants in seen.items()}


def _ratios(times: dict) -> dict:
    """tinygen's time over each other side's: ratios of medians, and of minima, which other processes disturb less."""
    ours = times["tinygen"]
    theirs = {name: t for name, t in times.items() if name != "tinygen" and "=" not in name}
    of = lambda key: {name: round(ours[key] / t[key], 3) for name, t in theirs.items()}
    return {"ratios": of("ms"), "ratios_of_minima": of("min_ms")}


def rates(case: Case, ms: float, roof: dict) -> dict:
    """GFLOP/s, GB/s, and the time that the roofline allows for the work as a percentage of the time taken."""
    rates = {}
    if case.flops:
        rates["gflops"] = round(case.flops / ms / 1e6, 1)
    if case.bytes:
        rates["gbps"] = round(case.bytes / ms / 1e6, 1)
    if rates:
        rates["roofline"] = round(100 * least_ms(case.flops, case.bytes, roof) / ms, 1)
    return rates


def least_ms(flops: float, bytes: float, roof: dict) -> float:
    """The time that the roofline allows: that of the floating-point operations or of the bytes, whichever is longer."""
    return max(flops / roof["gflops"], bytes / roof["gbps"]) / 1e6


def summary(row: dict) -> str:
    """One line with the milliseconds of every side and the ratios."""
    times = ", ".join(f"{name} {t['ms']:.4g} ms" for name, t in row["sides"].items())
    ratios = "".join(f", {ratio:.2f} × {name}" for name, ratio in row["ratios"].items())
    return times + ratios


def write_json(result: dict, path: str | Path) -> None:
    if result["machine"].get("stand_in") and Path(path).resolve().is_relative_to(RESULTS):
        raise ValueError(f"{path}: measured on the tests' stand-in for a GPU: these are not results")
    Path(path).write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
