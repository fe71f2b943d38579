"""Peak memory of a case, measured for each side in a process of its own.

python -m tinygen.benchmarks.memory '{"case": ["step", "vae", 128], "torch": false, "threads": 2}'     prints JSON

Both sides have the same threads and malloc settings (those of the environment, which are listed, and those that
importing tinygen makes).  After 5 warm-up calls the kernel's high-water mark is reset through /proc/self/clear_refs; it
is read after 20 more.  `peak_mib` is that peak; `mib` is the peak minus what the process held after its imports
(tinygen with numba, or PyTorch).  The 40 MiB or so that numba allocates when it starts count as tinygen's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

WARM_UP, CALLS = 5, 20


def available() -> bool:
    """Whether this system has a high-water mark that can be reset."""
    return os.access("/proc/self/clear_refs", os.W_OK)


def measure(case: tuple, *, torch: bool, threads: int, calls: int = CALLS) -> dict:
    """Start a process that measures the case.  case: as for `find`"""
    from tinygen.benchmarks.machine import environment

    request = json.dumps({"case": case, "torch": torch, "threads": threads, "calls": calls})
    done = subprocess.run(
        [sys.executable, "-m", "tinygen.benchmarks.memory", request],
        env=environment(threads),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"memory of {case}: {(done.stderr.strip() or 'no message').splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def find(case):
    """["step" or "user-step", name, batch], ["attention", B, H, T, D] or ["conv2d", C, K, H, R, N] -> the Case"""
    kind, *arguments = case
    if kind == "user-step":
        from tinygen.benchmarks.user_steps.cases import user_step_case

        return user_step_case(*arguments)
    if kind == "step":
        from tinygen.benchmarks.step_cases import step_case

        return step_case(*arguments)
    from tinygen.benchmarks.studies.scaling_cases import attention_case, conv_case

    return {"attention": attention_case, "conv2d": conv_case}[kind](*arguments)


def _status(key: str) -> float:
    """VmRSS or VmHWM of this process in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def _side(torch: bool, threads: int):
    from tinygen.benchmarks.sides import OURS, Side, load_torch

    if torch:
        return Side("torch", load_torch(threads))
    import numba  # noqa: F401  compiled code, which PyTorch has built in: count it as an import on both sides

    return OURS


def main(argv: list[str]) -> None:
    request = json.loads(argv[0])
    side = _side(request["torch"], request["threads"])
    case = find(request["case"])
    before = _status("VmRSS")
    call = case.make(side)
    for _ in range(min(WARM_UP, request["calls"])):
        call()
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak to what is held now
    for _ in range(request["calls"]):
        call()
    peak = _status("VmHWM")
    malloc = {name: value for name, value in os.environ.items() if name.startswith("MALLOC_")}
    result = {"mib": peak - before, "peak_mib": peak, "imports_mib": before}
    print(json.dumps({name: round(value, 1) for name, value in result.items()} | {"malloc": malloc}))


if __name__ == "__main__":
    main(sys.argv[1:])
