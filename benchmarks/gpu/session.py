"""Everything to measure on a GPU that is available for a few minutes: tests, fragments, times, losses, training.

python -m tinygen.benchmarks.gpu.session --out DIR [STEP ...] [--minutes 9.5] [--quick]
python -m tinygen.benchmarks.gpu.session --merge DIR/bench.json MORE.json --out FILE.json

Each step is a process of its own with a time limit, so that one that hangs or leaves the GPU in a bad state does not
affect the others.  DIR/session.json and DIR/bench.json are rewritten after every part and DIR/session.log is appended
to, so that nothing is lost when the machine is taken away.  Run it from a checkout.  Exit code 1 if a step failed or
was cut off.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

from tinygen.benchmarks import bench
from tinygen.engine import devices
from tinygen.run.terminal import say

PYTHON = sys.executable, "-m"
PYTEST = *PYTHON, "pytest", "-q", "-ra", "-p", "no:cacheprovider", "--maxfail", "50"
ENGINE = (
    "tests/cuda/test_cuda_engine.py",
    "tests/cuda/test_cuda_devices.py",
    "tests/cuda/test_cuda_standin.py",
)
FAMILIES = {  # groups of cases that share a process
    "matmul": ("matmul",),
    "conv": ("conv2d", "conv_transpose2d"),
    "attention": ("attention",),
    "rows": ("softmax", "log_softmax", "layer_norm", "cross_entropy", "bce_with_logits", "gelu", "silu"),
    "images": (
        *("group_norm", "group_norm_silu", "batch_norm", "max_pool2d", "interpolate"),
        *("embedding", "adam"),
    ),
    "steps": ("steps",),
    "sampling": ("sampling",),
}
MODEL_STEPS = 200


@dataclass
class Session:
    """Where the results go, and how much time is left."""

    out: Path
    seconds: float
    quick: bool = False
    steps: dict = field(default_factory=dict)
    measured: list[dict] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        return self.seconds - (time.monotonic() - self.started)

    def run(self, name: str, command: tuple, limit: float) -> dict:
        """Run a command within `limit` seconds and the time left.  -> exit code (None: cut off), seconds, last lines

        Its child processes are killed with it.
        """
        limit, begin = min(limit, self.left), time.monotonic()
        log = self.out / "session.log"
        with open(log, "ab") as file:
            file.write(f"\n== {name}: {' '.join(map(str, command))}\n".encode())
            file.flush()
            start = file.tell()
            code = None
            if limit > 0:
                process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)
                try:
                    code = process.wait(limit)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        lines = log.read_bytes()[start:].decode(errors="replace").splitlines()
        result = {"command": " ".join(map(str, command)), "exit": code}
        result |= {"seconds": round(time.monotonic() - begin, 1), "last": lines[-12:]}
        if code is None:
            result["cut off"] = f"after {max(limit, 0):.0f} s"
        self.keep(name, result)
        return result

    def keep(self, name: str, result: dict) -> None:
        """Write a step's result to session.json."""
        self.steps[name] = result
        passed = {name: step["exit"] == 0 for name, step in self.steps.items()}
        _write(self.out / "session.json", {"passed": passed, "steps": self.steps})
        ending = "cut off" if result["exit"] is None else f"exit {result['exit']}"
        say(f"{name}: {ending}, {result['seconds']} s: {(result['last'] or [''])[-1][:150]}")


def tests(session: Session) -> None:
    """The tests marked `gpu`, then the engine's tests, which use a GPU if there is one."""
    session.run("tests of kernels", (*PYTEST, "-n", "4", "-m", "gpu"), 300)
    session.run("tests of the engine", (*PYTEST, "-n", "4", *ENGINE), 240)


def fragments(session: Session) -> None:
    """Check on the GPU which register of which lane holds which number: kernels/runtime/include/tensor_core.cuh."""
    session.run("fragments", (*PYTEST, "-n", "0", "-m", "gpu", "tests/cuda/test_tensor_core.py"), 90)


def bench_family(family: str):
    def step(session: Session) -> None:
        part = session.out / "bench-part.json"
        part.unlink(missing_ok=True)
        quick = ["--quick"] if session.quick else []
        command = (*PYTHON, "tinygen", "bench", "--device", "cuda", *FAMILIES[family], *quick, "--json", part)
        session.run(f"bench {family}", command, 540)
        if part.exists():  # even if it was cut off: the file is written after each case
            session.measured.append(json.loads(part.read_text(encoding="utf-8")))
            _write(session.out / "bench.json", merged(session.measured))
            part.unlink()

    return step


def curves(session: Session) -> None:
    """The losses of the VAE on both devices."""
    file = session.out / "curves.json"
    session.run("curves", (*PYTHON, "tinygen.benchmarks.gpu.loss_curves", "--json", file), 180)


def models(session: Session) -> None:
    """A short training of every model on the GPU."""
    from tinygen.models import papers

    for name in papers():
        with tempfile.TemporaryDirectory() as scratch:  # keep the number of files to copy back small
            folder = Path(scratch, "run")
            flags = "--device", "cuda", "--steps", str(MODEL_STEPS), "--out", folder
            result = session.run(f"train {name}", (*PYTHON, "tinygen", "train", name, *flags), 120)
            metrics = folder / "metrics.jsonl"
            lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.exists() else []
        session.keep(f"train {name}", result | {"metrics": [json.loads(line) for line in lines[-2:]]})


STEPS = {
    "tests": tests,
    "fragments": fragments,
    **{f"bench-{family}": bench_family(family) for family in FAMILIES},
    "curves": curves,
    "models": models,
}


def merged(measured: list[dict]) -> dict:
    """Merge results of one machine: all cases, with rates against the best of their roofs."""
    first = measured[0]
    for other in measured[1:]:
        for part in ("machine", "versions"):
            if other[part] != first[part]:
                raise ValueError(f"--merge: measured on two machines: {other[part]} and {first[part]}")
    roofs = [result["roofline"] for result in measured]
    roof = roofs[0] | {key: max(roof[key] for roof in roofs) for key in ("gflops", "gbps")}
    cases = {(case["name"], case["shape"]): case for result in measured for case in result["cases"]}
    for case in cases.values():
        work = SimpleNamespace(flops=case["flops"], bytes=case["bytes"])
        case["rates"] = {name: bench.rates(work, time["ms"], roof) for name, time in case["sides"].items()}
    return first | {
        "load": {"before": first["load"]["before"], "after": measured[-1]["load"]["after"]},
        "settings": first["settings"] | {"ladder": any(r["settings"]["ladder"] for r in measured)},
        "seconds": round(sum(result["seconds"] for result in measured), 1),
        "roofline": roof,
        "cases": list(cases.values()),
        "failed": [failure for result in measured for failure in result["failed"]],
    }


def _write(path: Path, content: dict) -> None:
    """Write a file so that a reader never sees half of it."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    new.replace(path)


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"any of {', '.join(STEPS)}; default all")
    parser.add_argument("--out", type=Path, required=True, help="output folder; with --merge, a file")
    parser.add_argument(
        "--minutes", type=float, default=9.5, help="time limit for the whole session (default 9.5)"
    )
    parser.add_argument("--quick", action="store_true", help="fewer turns, no torch.compile")
    parser.add_argument("--merge", nargs="+", type=Path, metavar="JSON", help="results of several sessions")
    arguments = parser.parse_args(argv)
    if arguments.merge:
        results = [json.loads(path.read_text(encoding="utf-8")) for path in arguments.merge]
        bench.write_json(merged(results), arguments.out)
        return 0
    unknown = [name for name in arguments.steps if name not in STEPS]
    if unknown:
        parser.error(f"unknown step {unknown[0]!r}; known: {', '.join(STEPS)}")
    if reason := devices.why_no_gpu():
        parser.error(reason)  # otherwise the tests would be skipped without a failure
    arguments.out.mkdir(parents=True, exist_ok=True)
    session = Session(arguments.out.resolve(), 60 * arguments.minutes, arguments.quick)
    for name in arguments.steps or STEPS:
        STEPS[name](session)
    return 0 if all(step["exit"] == 0 for step in session.steps.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
