"""The effect of choices in a diffusion model: short runs of ddpm that differ in one flag, beside the papers' results.

python -m tinygen.benchmarks.tables.diffusion train base v     trains these runs, in --runs (default runs/diffusion)
python -m tinygen.benchmarks.tables.diffusion measure base     measures what is still missing of these runs
python -m tinygen.benchmarks.tables.papers write               writes the tables of models/README.md
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

from tinygen.benchmarks.tables.finished_run import finished_run

RESULTS = Path(__file__).resolve().parents[1] / "results" / "diffusion.json"
STEPS, ETAS = (10, 20, 50, 100), (0.0, 0.5, 1.0)
SAMPLES, LONG = 2048, (1000, 1000)  # images; steps and images of the slowest column
GUIDANCES = (0.0, 1.0, 2.0, 4.0)
BOUND_IMAGES = 2048  # test images

TRAIN = {  # run -> its command
    "base": "ddpm --data mnist",
    "eps": "ddpm --data mnist --predict eps",
    "paper": "ddpm --data mnist --predict eps --schedule linear",
    "bound": "ddpm --data mnist --predict eps --schedule linear --loss bound",
    "conditional": "ddpm --data mnist --conditional",
    "x0-1000": "ddpm --data mnist --steps 1000",
    "v-1000": "ddpm --data mnist --predict v --steps 1000",
    "eps-1000": "ddpm --data mnist --predict eps --steps 1000",
    "small-1000": "ddpm --data mnist --predict eps --variance small --steps 1000",
    "learned-1000": "ddpm --data mnist --predict eps --variance learned --steps 1000",
    "sigmoid-1000": "ddpm --data mnist --schedule sigmoid --steps 1000",
    "dit-1000": "ddpm --data mnist --net dit --steps 1000",
    "cifar10": "ddpm --data cifar10 --steps 600",
}
VARIANCES = "eps-1000", "small-1000", "learned-1000"  # runs that differ in the variance of the steps
DRAWN = "ancestral, 50 steps"
AS_DEFAULT = "ddim, η 0, 50 steps", "guidance 1"  # the same as the default figures, not measured again
# FD of DDIM on CIFAR-10, steps 10, 20, 50, 100, 1000: Song et al. 2020, arXiv 2010.02502, table 1 (FID)
DDIM_PAPER = {
    "ddim, η 0": (13.36, 6.84, 4.67, 4.16, 4.04),
    "ddim, η 0.5": (16.66, 8.35, 5.25, 4.46, 4.29),
    "ddim, η 1": (41.07, 18.36, 8.01, 5.78, 4.73),
    "ancestral, variance β": (367.43, 133.37, 32.72, 9.99, 3.17),
}
SAMPLERS = {f"ddim, η {eta:g}": {"sampler": "ddim", "eta": eta} for eta in ETAS} | {
    "ancestral, variance β": {"sampler": "ancestral"},
    "dpm-solver++": {"sampler": "dpm-solver++"},
}


def measurements(run: str) -> Iterator[tuple[str, int, dict]]:
    """What to measure of a run: a key, the number of images, the sampler's flags."""
    every = _every_measurement(run)
    return (what for what in every if what[0] not in AS_DEFAULT)


def _every_measurement(run: str) -> Iterator[tuple[str, int, dict]]:
    yield "default", SAMPLES, {}
    if run in VARIANCES:
        yield DRAWN, SAMPLES, {"sampler": "ancestral", "sampling_steps": 50}
    if run == "base":
        yield "raw weights", SAMPLES, {"weights": "raw"}
        for name, flags in SAMPLERS.items():
            for steps in STEPS:
                yield f"{name}, {steps} steps", SAMPLES, flags | {"sampling_steps": steps}
            if name.startswith("ddim"):
                yield f"{name}, {LONG[0]} steps", LONG[1], flags | {"sampling_steps": LONG[0]}
    if run == "conditional":
        for scale in GUIDANCES:
            yield f"guidance {scale:g}", SAMPLES, {"guidance": scale}


def train(names: list[str], runs: Path) -> None:
    for name in names:
        command = [sys.executable, "-m", "tinygen", "train", *shlex.split(TRAIN[name])]
        subprocess.run([*command, "--out", runs / name], check=True, stdout=2)


def measure(names: list[str], runs: Path, keys: list[str] | None = None) -> None:
    """Measure runs and save each figure at once, so that the next call continues with what is missing."""
    from tinygen.models import ddpm
    from tinygen.models.shared import measures
    from tinygen.run.terminal import say

    for name in names:
        run = finished_run(runs / name, TRAIN[name])
        facts = {
            "command": f"tinygen train {TRAIN[name]}",
            "minutes": round(run.metrics()[-1]["seconds"] / 60, 2),
            "threads": run.facts["versions"].get("blas_threads"),
        }
        for key, n, flags in measurements(name):
            if key in _of_this_run(name, facts) or (keys and key not in keys):
                continue
            say(f"{name}: {key}")
            draw, labels = partial(ddpm.sample, run, n, **flags), ddpm.classes_asked(run.config, n, None)
            found = measures.measured(run, n, draw, None, None, labels)
            found = {k: v for k, v in found.items() if not k.endswith(("_floor", "_ceiling"))}
            if key == "default":
                found |= bound_of(run)
            row = facts | {"measures": _of_this_run(name, facts) | {key: found}}
            RESULTS.write_text(json.dumps(_in_order(_results() | {name: row}), indent=2) + "\n")


def _of_this_run(name: str, facts: dict) -> dict:
    """What is already measured of the run with these facts, not of an earlier run of the same name."""
    row = _results().get(name, {})
    return row["measures"] if facts.items() <= row.items() else {}


def bound_of(run) -> dict:
    """The bound of the averaged network on the first test images."""
    from tinygen.data import load
    from tinygen.models import ddpm
    from tinygen.models.shared.images import shape_of

    images = load(run.config.data, run.config.data_dir).test_images[:BOUND_IMAGES]
    net = ddpm.trained(run, "ema" if run.config.ema else "raw")
    return ddpm.bound(net, run.config, images.reshape(-1, *shape_of(run.config.data)))


def _results() -> dict:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def _at(results: dict, name: str) -> dict:
    """All figures of a run, with the default ones also under their other names."""
    measures = results.get(name, {}).get("measures", {})
    return measures | {key: measures["default"] for key in AS_DEFAULT if "default" in measures}


def _in_order(results: dict) -> dict:
    return {name: results[name] for name in TRAIN if name in results}


# Tables


def tables(results: dict | None = None) -> str:
    """Tables of everything measured, for models/README.md.  results: run -> row of diffusion.json"""
    results = _results() if results is None else results
    parts = [steps_table(results), choices_table(results), guidance_table(results), averages(results)]
    return "\n\n".join(part for part in parts if part) or "Not measured yet."


def steps_table(results: dict) -> str:
    """FD and KID against the number of steps, for each sampler, beside the paper's FID."""
    measures = _at(results, "base")
    every = (*STEPS, LONG[0])
    lines = []
    for name in SAMPLERS:
        found = [measures.get(f"{name}, {steps} steps") for steps in every]
        if any(found):
            cells = [f"{m['fd']:.2f} / {m['kid']:.3f}" if m else "" for m in found]
            cells.append(" / ".join(map(str, DDIM_PAPER.get(name, ()))))
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    if not lines:
        return ""
    head = "| sampler: FD / KID | " + " | ".join(f"{steps:,} steps" for steps in every) + " | paper's FID |"
    row = results["base"]
    note = (
        f"`{row['command']}` ({row['minutes']:.1f} minutes); {SAMPLES:,} images, but {LONG[1]:,} with {LONG[0]:,} "
        "steps, which alone raises FD but not KID. The paper's figures are for CIFAR-10, a network that predicts the "
        "noise, and the linear schedule: Song et al. 2020, arXiv 2010.02502, table 1."
    )
    return "\n".join([head, "|---|" + "---:|" * (len(every) + 1), *lines, "", note, "", *orderings(measures)])


def orderings(measures: dict) -> list[str]:
    """Whether the paper's orderings hold here: by FD, or by KID if the numbers of images differ."""

    def found(sampler, steps, key):
        at = measures.get(f"{sampler}, {steps} steps")
        return at and at[key]

    def told(claim, form, pairs):
        """form "with {} steps"; pairs (what to insert in it, the figure expected to be lower, the other)"""
        pairs = [(what, a < b) for what, a, b in pairs if None not in (a, b)]
        right, wrong = ([what for what, holds in pairs if holds is kind] for kind in (True, False))
        said = {"yes": right, "no": wrong}
        words = [f"{word} {form.format(', '.join(whats))}" for word, whats in said.items() if whats]
        return f"- {claim}: {'; '.join(words) or 'not measured'}."

    def compared(better, worse, every):
        pairs = [(f"{n:,}", found(better, n, "fd"), found(worse, n, "fd")) for n in every]
        return told(f"{better} better than {worse}", "with {} steps", pairs)

    few, many = STEPS[-1], LONG[0]
    etas = [name for name in SAMPLERS if name.startswith("ddim")]
    longer = [(name, found(name, many, "kid"), found(name, few, "kid")) for name in etas]
    return [
        "Do the paper's orderings hold here?",
        "",
        compared("ddim, η 0", "ddim, η 0.5", (*STEPS, many)),
        compared("ddim, η 0.5", "ddim, η 1", (*STEPS, many)),
        compared("ddim, η 1", "ancestral, variance β", STEPS[:3]),
        compared("dpm-solver++", "ddim, η 0", STEPS[:2]),
        told(f"{many:,} steps better than {few}, by KID", "for {}", longer),
    ]


def choices_table(results: dict) -> str:
    """Images and bound of every run with the default sampler; ancestral sampling of those that differ in variance."""
    lines = []
    for row in results.values():
        m = row["measures"].get("default")
        if m:
            drawn = row["measures"].get(DRAWN)
            figures = [("fd", ".2f"), ("kid", ".4f"), ("inception_score", ".2f"), ("top_probability", ".3f")]
            figures += [("precision", ".3f"), ("recall", ".3f")]
            cells = [
                f"`{row['command'].removeprefix('tinygen ')}`",
                _minutes(row),
                *(format(m[key], form) if key in m else "" for key, form in figures),
                f"{drawn['fd']:.2f}" if drawn else "",
                f"{m['bits_per_dim']:.3f} ± {m['bits_per_dim_se']:.3f}",
                f"{m['prior_kl']:.1e} + {m['steps_bits']:.3f} + {m['reconstruction_bits']:.3f}",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    if not lines:
        return ""
    head = (
        "| run | minutes (BLAS threads) | FD ↓ | KID ↓ | inception score ↑ | top probability ↑ | precision | recall "
        "| FD, 50 ancestral steps | bits/dim ↓ | prior + steps + reconstruction |"
    )
    note = (
        f"{SAMPLES:,} images by 50 steps of DDIM, which uses no variance, so that small and large variances give the "
        f"same images; of all classes for a conditional run. The bound is on {BOUND_IMAGES:,} test images with 8-bit "
        "pixels, without labels. There is no evaluator for cifar10."
    )
    return "\n".join([head, "|---|" + "---:|" * 10, *lines, "", " ".join([note, *_choices_ordered(results)])])


def _choices_ordered(results: dict) -> list[str]:
    """Whether the orderings of Ho et al. 2020 (table 2) and Nichol & Dhariwal 2021 (ImageNet 64) hold here."""
    found = {name: row["measures"].get("default") for name, row in results.items()}
    claims = (
        ("L_simple has a lower FD than the bound (Ho et al., table 2)", "paper", "bound", "fd"),
        ("the bound as a loss has the lower bound (the same table)", "bound", "paper", "bits_per_dim"),
        ("cosine has a lower FD than linear (Nichol & Dhariwal 2021, on ImageNet 64)", "eps", "paper", "fd"),
        ("cosine has a lower bound than linear (the same)", "eps", "paper", "bits_per_dim"),
        ("a learned variance has a lower bound than a fixed one", "learned-1000", "eps-1000", "bits_per_dim"),
    )
    told = [
        f"{claim}: {'yes' if found[better][key] < found[worse][key] else 'no'}"
        for claim, better, worse, key in claims
        if found.get(better) and found.get(worse)
    ]
    return [f"Do the papers' orderings hold here? {'; '.join(told)}."] if told else []


def guidance_table(results: dict) -> str:
    """Class accuracy, precision and recall against the guidance scale."""
    measures = _at(results, "conditional")
    found = {scale: measures.get(f"guidance {scale:g}") for scale in GUIDANCES}
    lines = [
        f"| {scale:g} | {100 * m['accuracy']:.1f} % | {m['precision']:.3f} | {m['recall']:.3f} | {m['fd']:.2f} |"
        for scale, m in found.items()
        if m
    ]
    if not lines:
        return ""
    rising = [m for m in (found[scale] for scale in GUIDANCES if scale >= 1) if m]
    told = [
        f"{name} {'yes' if all(a < b for a, b in pairwise(values)) else 'no'}"
        for name, values in {
            "accuracy rises with the scale from 1 on:": [m["accuracy"] for m in rising],
            "recall falls:": [-m["recall"] for m in rising],
        }.items()
        if len(values) > 1
    ]
    note = f"`{results['conditional']['command']}`; 1 is the conditional network, 0 the unconditional one."
    note += f" Do the papers' orderings hold here? {'; '.join(told)}." if told else ""
    head = "| guidance | of the requested class | precision | recall | FD |"
    return "\n".join([head, "|---:|---:|---:|---:|---:|", *lines, "", note])


def averages(results: dict) -> str:
    """The averaged weights against the last ones."""
    measures = results.get("base", {}).get("measures", {})
    if not {"default", "raw weights"} <= measures.keys():
        return ""
    ema, raw = measures["default"], measures["raw weights"]
    helps = "yes" if ema["fd"] < raw["fd"] else "no"
    return (
        f"The averaged weights of `{results['base']['command']}` have FD {ema['fd']:.2f} and KID {ema['kid']:.4f}, the "
        f"last ones {raw['fd']:.2f} and {raw['kid']:.4f}. Does averaging help? {helps}."
    )


def _minutes(row: dict) -> str:
    return f"{row['minutes']:.1f} ({row['threads']})"


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("train", "measure"))
    parser.add_argument("names", nargs="+", choices=TRAIN, metavar="RUN", help=f"any of {', '.join(TRAIN)}")
    parser.add_argument("--runs", type=Path, default=Path("runs/diffusion"), help="the folder with the runs")
    parser.add_argument("--only", nargs="*", help="measure: only these figures")
    given = parser.parse_args(argv)
    if given.action == "train":
        train(given.names, given.runs)
    else:
        measure(given.names, given.runs, given.only)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
