"""Two installed versions of tinygen: do they train, resume, evaluate and draw to the same bits?

    python -m tinygen.benchmarks.same_bits OTHER_PYTHON [--models vae gan] [--losses 100] [--threads 1] [--json FILE]

OTHER_PYTHON is the interpreter of an environment in which the other version is installed.  For each model:

losses, checkpoint   `tinygen train MODEL` with its default flags, stopped after 100 steps: every number that a step
                     logs, and every tensor and number of the checkpoint
resumed              a short run that the other version made and stopped half way is finished by both
eval, sample         what both print about the other version's finished run, and the image that they draw

Both versions are used through the command line alone.  Seconds, versions and the words in pictures may differ.
Exits with 1 where anything else does.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors import safe_open

from tinygen.benchmarks import machine

# FILE STOP ARGUMENTS...: `tinygen ARGUMENTS` that writes all bits of what each step logs to FILE, and gets SIGTERM in
# step STOP.  metrics.jsonl has the means of 100 steps.
WORKER = """
import importlib, os, runpy, signal, sys, typing
file, stop, *arguments = sys.argv[1:]
if arguments[0] == "train":
    train = importlib.import_module("tinygen.models." + arguments[1].replace("-", "_")).train
    Run = typing.get_args(typing.get_type_hints(train)["run"])[0]
    log, lines = Run.log, open(file, "w")
    def log_too(run, **values):
        for name, value in values.items():
            number = float(value.item() if hasattr(value, "item") else value)
            print(run.done, name, number.hex(), number, file=lines, flush=True)
        log(run, **values)
        if run.done == int(stop) and not stopped:
            stopped.append(True)
            os.kill(os.getpid(), signal.SIGTERM)
    Run.log, stopped = log_too, []
sys.argv = ["tinygen", *arguments]
runpy.run_module("tinygen", run_name="__main__")
"""
STOPPED = 128 + 15  # the exit code after SIGTERM
STEPS = 40  # of the short run, which is stopped half way
SHORT = {"ddpm": ["--width", "8"], "wgan-gp": ["--critic-steps", "2"]}  # flags of the short run
EVAL = {"vae": ["--k", "5"], "ddpm": ["--sampling-steps", "5"]}
SAMPLE = {"ddpm": ["--sampling-steps", "5"]}
IMAGES = "1000"  # that are evaluated; 896 are the fewest that image measures take


@dataclass
class Version:
    """One installed version, and the folder in which it works."""

    python: str
    folder: Path
    threads: int

    def __call__(self, *arguments: str, stop: int = 0, expected: int = 0) -> tuple[str, list[str]]:
        """Run `tinygen ARGUMENTS`, stopped in step `stop`.  -> what it prints, and the lines of what it logs"""
        losses = self.folder / "losses"
        losses.unlink(missing_ok=True)
        done = subprocess.run(
            [self.python, "-c", WORKER, losses, str(stop), *arguments],
            capture_output=True,
            text=True,
            env=machine.environment(self.threads),
            cwd=self.folder,  # and not where a folder named tinygen may be
        )
        if done.returncode != expected:
            raise SystemExit(
                f"same_bits: {self.python}: tinygen {' '.join(arguments)} exits with {done.returncode}, "
                f"expected {expected}:\n{done.stderr[-2000:]}"
            )
        return done.stdout, losses.read_text().splitlines() if losses.exists() else []


@dataclass
class Report:
    """What was compared, and what differs."""

    checks: list[dict] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    def add(self, model: str, check: str, compared: str, differences: list[str]) -> None:
        now = time.perf_counter()
        self.checks.append(
            {
                "model": model,
                "check": check,
                "compared": compared,
                "differences": differences,
                "seconds": round(now - self.started, 1),
            }
        )
        self.started = now
        result = f"DIFFERENT: {'; '.join(differences[:3])}" if differences else "same"
        more = f"; and {len(differences) - 3} more" if len(differences) > 3 else ""
        print(f"{model:8} {check:11} {compared:55} {result}{more}", flush=True)

    def different(self) -> list[dict]:
        return [check for check in self.checks if check["differences"]]


# Comparing


def different_lines(this: list[str], other: list[str]) -> list[str]:
    """Where two logs differ: STEP NAME BITS NUMBER in each line"""
    found = [f"step {a}, other {b}" for a, b in zip(this, other) if a != b]
    if len(this) != len(other):
        found.append(f"{len(this)} numbers, other {len(other)}")
    return found


def tensors(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    """A checkpoint's tensors and its metadata without the seconds"""
    with safe_open(path, "np") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}
        meta = json.loads(file.metadata()["tinygen"])
    return arrays, {name: value for name, value in meta.items() if name != "seconds"}


def different_checkpoints(this: Path, other: Path) -> tuple[str, list[str]]:
    """How much two checkpoints hold, and where they differ"""
    (a, a_meta), (b, b_meta) = tensors(this), tensors(other)
    found = [f"{name}: only in one" for name in sorted(a.keys() ^ b.keys())]
    for name in sorted(a.keys() & b.keys()):
        x, y = a[name], b[name]
        if (x.dtype, x.shape) != (y.dtype, y.shape):
            found.append(f"{name}: {x.dtype} {x.shape}, other {y.dtype} {y.shape}")
        elif x.tobytes() != y.tobytes():
            bits = [np.frombuffer(array.tobytes(), f"V{array.itemsize}") for array in (x, y)]
            found.append(f"{name}: {np.count_nonzero(bits[0] != bits[1])} of {x.size} elements")
    for name in sorted(a_meta.keys() | b_meta.keys()):
        if a_meta.get(name) != b_meta.get(name):
            found.append(f"metadata: {name}")
    size = sum(x.nbytes for x in a.values())
    return f"{len(a)} tensors, {size:,} bytes, {len(a_meta)} metadata", found


def different_folders(this: Path, other: Path) -> list[str]:
    """Where two finished runs differ: files, config, metrics, the sheet of samples"""
    names = [{str(path.relative_to(run)) for path in run.rglob("*")} for run in (this, other)]
    found = [f"{name}: only in one" for name in sorted(names[0] ^ names[1])]
    for name in ("config.json", "metrics.jsonl"):
        lines = [json_lines(run / name) for run in (this, other)]
        found += [name] if lines[0] != lines[1] else []
    for name in sorted(name for name in names[0] & names[1] if name.startswith("samples/samples-")):
        found += [name] if (this / name).read_bytes() != (other / name).read_bytes() else []
    return found


def json_lines(path: Path) -> list[dict]:
    """The objects in a file of JSON, without what two runs never share"""
    text = path.read_text()
    objects = (
        [json.loads(text)] if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]
    )
    return [{name: o[name] for name in o if name not in ("seconds", "versions")} for o in objects]


# The checks


def check_beginning(model: str, this: Version, other: Version, flags: list[str], losses: int, report: Report):
    """The first losses of the default run, and what it has then become"""
    logs = []
    for version in (this, other):
        train = ["train", model, *flags, "--out", str(version.folder / f"{model}-begun")]
        logs.append(version(*train, stop=losses, expected=STOPPED)[1])
    report.add(model, "losses", f"{len(logs[0])} numbers of {losses} steps", different_lines(*logs))
    report.add(
        model,
        "checkpoint",
        *different_checkpoints(
            *(v.folder / f"{model}-begun" / "checkpoint.safetensors" for v in (this, other))
        ),
    )


def check_resumed(model: str, this: Version, other: Version, flags: list[str], report: Report):
    """A run that the other version began, finished by both"""
    train = ["train", model, "--steps", str(STEPS), *flags, *SHORT.get(model, [])]
    runs = [version.folder / f"{model}-resumed" for version in (this, other)]
    other(*train, "--out", str(runs[1]), stop=STEPS // 2, expected=STOPPED)
    shutil.copytree(runs[1], runs[0])
    logs = [v("train", model, "--resume", "--out", str(run))[1] for v, run in zip((this, other), runs)]
    compared, found = different_checkpoints(*(run / "checkpoint.safetensors" for run in runs))
    found = different_lines(*logs) + found + different_folders(*runs)
    report.add(model, "resumed", f"{len(logs[0])} numbers, {compared}", found)


def check_finished(model: str, this: Version, other: Version, data: list[str], report: Report):
    """What both say of the run that the other version finished, and what they draw"""
    run = other.folder / f"{model}-resumed"
    copies = [version.folder / f"{model}-finished" for version in (this, other)]
    for copy in copies:
        shutil.copytree(run, copy)
    said = [
        version("eval", str(copy), "--samples", IMAGES, *data, *EVAL.get(model, []))[0]
        for version, copy in zip((this, other), copies)
    ]
    numbers = [json.loads(text) for text in said]
    found = [
        f"{name}: {numbers[0].get(name)}, other {numbers[1].get(name)}"
        for name in numbers[0] | numbers[1]
        if numbers[0].get(name) != numbers[1].get(name)
    ]
    if said[0] != said[1] and not found:
        found = ["the text"]
    report.add(model, "eval", f"{len(numbers[0])} entries of {IMAGES} images", found)
    drawn = []
    for version, copy in zip((this, other), copies):
        out = version.folder / f"{model}.png"
        version("sample", str(copy), "-n", "16", "-o", str(out), *SAMPLE.get(model, []))
        drawn.append(out.read_bytes())
    report.add(
        model, "sample", f"{len(drawn[0]):,} bytes", [] if drawn[0] == drawn[1] else ["the PNG's bytes"]
    )


def compare(options, folder: Path) -> Report:
    """All checks of all models, in `folder`"""
    versions = []
    for side, python in (("this", sys.executable), ("other", options.other)):
        folder.joinpath(side).mkdir()
        versions.append(Version(python, folder / side, options.threads))
    report, data = Report(), ["--data-dir", options.data_dir] if options.data_dir else []
    for model in options.models:
        flags = ["--data", options.data, *data]
        check_beginning(model, *versions, flags, options.losses, report)
        check_resumed(model, *versions, flags, report)
        check_finished(model, *versions, data, report)
    return report


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tinygen.benchmarks.same_bits", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("other", help="the Python of an environment with the other version")
    parser.add_argument("--models", nargs="+", default=["vae", "gan", "wgan-gp", "ddpm"], metavar="MODEL")
    parser.add_argument("--losses", type=int, default=100, help="steps of the default run, by default 100")
    parser.add_argument("--data", default="glyphs", help="data set, by default glyphs")
    parser.add_argument("--data-dir", help="where its files are")
    parser.add_argument("--threads", type=int, default=1, help="threads of each version, by default 1")
    parser.add_argument("--json", type=Path, help="write what was compared and found")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        report = compare(options, Path(folder))
    if options.json:
        told = {"machine": machine.describe(options.threads), "data": options.data, "checks": report.checks}
        options.json.write_text(json.dumps(told, indent=1) + "\n")
    different = report.different()
    names = ", ".join(f"{check['model']} {check['check']}" for check in different)
    print(
        f"{len(report.checks)} checks: "
        + (f"{len(different)} differ: {names}" if different else "all the same bits")
    )
    if different:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
