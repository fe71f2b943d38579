"""Train each model with its own command, measure it, and write the tables of models from what was measured.

python -m tinygen.benchmarks.tables.papers run vae-mnist       trains, measures, and adds the row to results/models.json
python -m tinygen.benchmarks.tables.papers add gan-mnist RUN   the same for runs already trained, one per seed
python -m tinygen.benchmarks.tables.papers write               writes the tables in models/README.md and README.md
python -m tinygen.benchmarks.tables.papers check               exit 1 if the pages are not what `write` writes
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from tinygen.benchmarks import pages
from tinygen.benchmarks.tables import diffusion, modes, short
from tinygen.benchmarks.tables.cells import minutes, runs_of, spread
from tinygen.benchmarks.tables.finished_run import finished_run
from tinygen.kernels.runtime import blas

RESULTS = Path(__file__).resolve().parents[1] / "results" / "models.json"
WRITER = "benchmarks/tables/papers.py"
TINYGEN = [sys.executable, "-m", "tinygen"]
NETWORKS = {
    "net",
    "generator",
    "discriminator",
    "critic",
}  # the names under which models track their networks
BUFFERS = {"running_mean", "running_var", "num_batches_tracked"}

IWAE = "Burda et al. 2015, arXiv 1509.00519: VAE, one stochastic layer, 3280 epochs, k=5000"
# train: the command; seeds: the number of runs, with seeds 0, 1, ...; table: a key of TABLES (default "models");
# days: `run` trains the row only if it is named; evaluate: flags of `tinygen eval`
# passes: an inception score; the row says when each run passed it
ROWS = {
    "vae-glyphs": dict(train="vae", paper=None),
    "vae-mnist": dict(train="vae --data mnist", paper=dict(nll=86.76, source=f"{IWAE}, another network")),
    "vae-mnist-iwae": dict(train="vae --data mnist --net iwae", paper=dict(nll=86.76, source=IWAE)),
    "vae-mnist-iwae-250": dict(
        train="vae --data mnist --net iwae --steps 150000", paper=dict(nll=86.76, source=IWAE)
    ),
    "gan-mnist-seed": dict(train="gan --data mnist --recipe seed", seeds=3, table="images"),
    "gan-mnist": dict(train="gan --data mnist", seeds=3, passes=8, table="images"),
    "dcgan-mnist": dict(train="dcgan --data mnist", seeds=3, table="images"),
    "dcgan-fashion-mnist": dict(train="dcgan --data fashion-mnist", table="images"),
    "wgan-mnist": dict(train="wgan --data mnist", table="images"),
    "wgan-gp-mnist": dict(
        train="wgan-gp --data mnist --measure-every 300 --steps 6000", seeds=3, table="images"
    ),
    "cgan-mnist": dict(train="cgan --data mnist", table="images"),
    "ddpm-mnist": dict(train="ddpm --data mnist", table="images"),
    "ddpm-mnist-long": dict(train="ddpm --data mnist --steps 13000", table="images"),
    "ddpm-mnist-long-eta-1": dict(
        train="ddpm --data mnist --steps 13000",
        evaluate="--eta 1 --sampling-steps 100",
        days=True,
        table="images",
    ),
    "ddpm-fashion-mnist": dict(train="ddpm --data fashion-mnist", table="images"),
    "classifier-glyphs": dict(train="classifier", table="images"),
    "classifier-mnist": dict(train="classifier --data mnist", table="images"),
    "classifier-fashion-mnist": dict(train="classifier --data fashion-mnist --steps 6000", table="images"),
    **modes.ROWS,
}


def run(name: str) -> dict:
    """Train and measure a row once per seed, in a temporary folder.  -> the row of models.json"""
    with tempfile.TemporaryDirectory() as scratch:
        folders = []
        for seed in range(ROWS[name].get("seeds", 1)):
            folders.append(Path(scratch, f"run-{seed}"))
            command = [*TINYGEN, "train", *shlex.split(ROWS[name]["train"]), "--seed", str(seed)]
            subprocess.run([*command, "--out", folders[-1]], check=True, stdout=2)
        return row_of(name, folders)


def row_of(name: str, folders: list[Path]) -> dict:
    """Measure trained runs, one per seed; without `evaluate`, draw results/samples/NAME.png from the first."""
    runs, machine, evaluate = [], _machine(), ROWS[name].get("evaluate", "")
    for folder in folders:
        run = finished_run(folder, ROWS[name]["train"])
        command = [*TINYGEN, "eval", folder, *shlex.split(evaluate)]
        measures = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        model, data, steps = (measures.pop(key) for key in ("model", "data", "step"))
        config = json.loads((folder / "config.json").read_text())
        found = {
            "seed": config["config"]["seed"],
            "minutes": round(run.metrics()[-1]["seconds"] / 60, 2),
            "threads": config["versions"].get("blas_threads", machine["BLAS threads"]),
            "measures": measures,
        }
        if "passes" in ROWS[name] and run.config.measure_every:
            found["passed"] = _passed(run, ROWS[name]["passes"])
        runs.append(found)
    if not evaluate:
        _draw(model, folders[0], RESULTS.parent / "samples" / f"{name}.png")
    return {
        "command": f"tinygen train {ROWS[name]['train']}",
        "eval": f"tinygen eval RUN {evaluate}".rstrip(),
        "model": model,
        "data": data,
        "steps": steps,
        "parameters": _parameters(folders[0]),
        **runs[0],
        **({"runs": runs} if len(runs) > 1 else {}),
        "data_sha256": config.get("data_sha256"),  # toy data is drawn, not read
        "versions": config["versions"],
        "machine": machine,
    }


def _passed(run, score: float) -> dict:
    """When the inception score of a run was first above `score`; step and minutes are None if it never was."""
    from tinygen.models.adversarial.training import MEASURED

    first = next((line for line in run.metrics() if line.get("inception_score", 0) > score), None)
    return {
        "score": score,
        "step": first and first["step"],
        "minutes": first and round(first["seconds"] / 60, 2),
        "every": run.config.measure_every,
        "images": MEASURED,
    }


def _draw(model: str, folder: Path, picture: Path) -> None:
    """Draw a strip of 60 samples of a run, if its model draws images; for toy data, the samples over training."""
    from tinygen.run import pictures
    from tinygen.run.training import Run

    module = importlib.import_module(f"tinygen.models.{model.replace('-', '_')}")
    if not hasattr(module, "sample"):
        return
    picture.parent.mkdir(exist_ok=True)
    if ROWS[picture.stem].get("table") == "modes":
        picture.write_bytes(max(folder.glob("samples/training-*.png")).read_bytes())
        return
    images = module.sample(Run.open(folder, module.Config), 60)
    picture.write_bytes(pictures.png(pictures.grid(images, columns=20)))


def _parameters(folder: Path) -> int:
    """The number of parameters of the networks in a run's checkpoint, without moments and averages."""
    from tinygen.run import checkpoint

    arrays, _ = checkpoint.read(folder / "checkpoint.safetensors")
    counted = [name.split(".")[0] in NETWORKS and name.split(".")[-1] not in BUFFERS for name in arrays]
    return sum(math.prod(a.shape) for a, is_counted in zip(arrays.values(), counted) if is_counted)


def _machine() -> dict:
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), cpu)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    built = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    # threads: those of this process, for runs that did not record theirs
    threads = blas.threads() or cores
    return {
        "cpu": cpu,
        "cores": cores,
        "BLAS": f"{built['name']} {built['version']}",
        "BLAS threads": threads,
    }


def _results() -> dict:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def _keep(name: str, row: dict) -> None:
    """Print a row and put it into models.json, in the order of ROWS."""
    print(json.dumps({name: row}), flush=True)
    results = {**_results(), name: row}  # another process may have written meanwhile
    ordered = {name: results[name] for name in ROWS if name in results}
    RESULTS.write_text(json.dumps(ordered, indent=2) + "\n")


def likelihood_table(results: dict) -> str:
    """The rows with an ELBO and an NLL.  results: row name -> row of models.json"""
    lines = [
        "| model | data | command | minutes (BLAS threads) | parameters | −ELBO | NLL | paper's NLL |",
        "|---|---|---|---:|---:|---:|---:|---|",
    ]
    for name, row in results.items():
        m, paper = row["measures"], ROWS[name]["paper"]
        cells = [
            row["model"],
            row["data"],
            f"`{row['command']}`",
            minutes(row),
            f"{row['parameters']:,}",
            f"{m['neg_elbo']:.2f}",
            f"{m['nll']:.2f} ± {m['nll_se']:.2f} (k={m['k']})",
            f"{paper['nll']} ({paper['source']})" if paper else "",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", f"In nats per image, on all test images. {_machines(results)}"])


IMAGE_MEASURES = {  # column -> (key of `tinygen eval`, digits)
    "FD ↓": ("fd", 2),
    "KID ↓": ("kid", 4),
    "inception score ↑": ("inception_score", 2),
    "class KL ↓": ("class_kl", 3),
    "precision ↑": ("precision", 3),
    "recall ↑": ("recall", 3),
    "density ↑": ("density", 3),
    "coverage ↑": ("coverage", 3),
    "memorisation": ("memorisation", 3),
}


def images_table(results: dict) -> str:
    """For each data set: the test images (the floor), the models, and noise (the ceiling)."""
    from tinygen.metrics.images import known_limits

    columns = ["data", "images of", "seeds", "minutes (BLAS threads)", "parameters", *IMAGE_MEASURES]
    lines = [
        "| " + " | ".join(columns) + " |",
        "|---|---|---:|---:|---:" + "|---:" * len(IMAGE_MEASURES) + "|",
    ]

    def add(data, what, measures, about=("", "", "")):
        cells = [spread([m[key] for m in measures], f".{digits}f") for key, digits in IMAGE_MEASURES.values()]
        lines.append("| " + " | ".join([data, what, *about, *cells]) + " |")

    models = {name: row for name, row in results.items() if "fd" in row["measures"]}
    for data in ["mnist", *sorted({row["data"] for row in models.values()} - {"mnist"})]:
        limits = known_limits(data)
        floor, ceiling = (
            {key: limits[f"{key}_{kind}"] for key, _ in IMAGE_MEASURES.values()}
            for kind in ("floor", "ceiling")
        )
        add(data, "the test set: the floor", [floor])
        for row in models.values():
            if row["data"] == data:
                runs = runs_of(row)
                about = f"{len(runs)}", minutes(row), f"{row['parameters']:,}"
                evaluated = f", `{row['eval']}`" if row["eval"] != "tinygen eval RUN" else ""
                add(data, f"`{row['command']}`{evaluated}", [r["measures"] for r in runs], about)
        add(data, "noise: the ceiling", [ceiling])
    note = (
        "10,000 images against 10,000 training images, on the features of our own classifier: compare them only with "
        "each other; FD is not the FID. Mean ± standard deviation over the seeds."
    )
    asides = " ".join(dict.fromkeys(said for row in models.values() for said in _asides(row)))  # each once
    return "\n".join([*lines, "", note + _classifiers(results), *(["", asides] if asides else [])])


def _classifiers(results: dict) -> str:
    """A sentence about the classifiers whose features are used."""
    judges = [
        f"`{row['command']}` ({row['minutes']:.1f} minutes, test accuracy {100 * row['measures']['accuracy']:.2f} %)"
        for row in results.values()
        if "accuracy" in row["measures"] and "fd" not in row["measures"]
    ]
    return f" The classifiers: {'; '.join(judges)}." if judges else ""


def _asides(row: dict) -> list[str]:
    """A sentence for each measure that only this row's model has."""
    runs, model = runs_of(row), f"`{row['command']}`"
    images, said = row["measures"].get("images", 0), []

    def over_runs(key, form, factor=1):
        return spread([factor * run["measures"][key] for run in runs], form)

    if "grad_norm" in row["measures"]:
        slope = over_runs("grad_norm", ".3f")
        said.append(f"{model}: the mean gradient norm of the critic is {slope} at {images:,} interpolates.")
    if "loss_fd_spearman" in row["measures"]:
        said.append(
            f"{model}: the rank correlation of minus the critic's loss with FD is "
            f"{over_runs('loss_fd_spearman', '.3f')} over {row['measures']['loss_fd_checkpoints']} checkpoints."
        )
    if "accuracy" in row["measures"]:
        said.append(
            f"{model}: {over_runs('accuracy', '.1f', 100)} % of {images:,} images are of the requested class."
        )
    if "bits_per_dim" in row["measures"]:
        m = row["measures"]
        said.append(
            f"{model}: at most {m['bits_per_dim']:.3f} ± {m['bits_per_dim_se']:.3f} bits per dimension on "
            f"{m['bound_images']:,} test images (± the standard error of the estimate)."
        )
    for run in runs:
        if passed := run.get("passed"):
            when = (
                f"first above {passed['score']} at step {passed['step']:,}, after {passed['minutes']:.1f} minutes of "
                "training and measuring"
                if passed["step"]
                else f"never above {passed['score']}"
            )
            said.append(
                f"`{row['command']} --measure-every {passed['every']}`, seed {run['seed']}: the inception score of "
                f"{passed['images']:,} images is {when}."
            )
    return said


def _machines(results: dict) -> str:
    machine = next(iter(results.values()))["machine"] if results else {}
    return (
        "Machine: "
        + ", ".join(f"{key}: {value}" for key, value in machine.items() if key != "BLAS threads")
        + "."
    )


# a row's `table` -> the function that writes its part of models/README.md
TABLES = {"models": likelihood_table, "images": images_table, "modes": modes.table}


def written(results: dict) -> dict[Path, str]:
    """The pages with their tables replaced."""
    gallery, readme = (path.read_text(encoding="utf-8") for path in (pages.GALLERY, pages.README))
    for key, table in TABLES.items():
        rows = {name: row for name, row in results.items() if ROWS[name].get("table", "models") == key}
        gallery = pages.replaced(gallery, key, WRITER, table(rows))
    gallery = pages.replaced(gallery, "diffusion", WRITER, diffusion.tables())
    papers = {name: row.get("paper") or {} for name, row in ROWS.items()}
    return {
        pages.GALLERY: gallery,
        pages.README: pages.replaced(readme, "short", WRITER, short.table(results, papers)),
    }


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("run", "add", "write", "check"))
    parser.add_argument(
        "rows",
        nargs="*",
        help=f"run: any of {', '.join(ROWS)} (default all that take minutes); add: ROW RUN ...",
    )
    arguments = parser.parse_args(argv)
    if arguments.action == "add" and len(arguments.rows) < 2:
        parser.error("add: expected a row and its runs, one for each seed")
    unknown = set(arguments.rows[:1] if arguments.action == "add" else arguments.rows) - set(ROWS)
    if unknown:
        parser.error(f"unknown row {unknown.pop()!r}; known: {', '.join(ROWS)}")
    if not pages.README.exists():
        parser.error(
            "run this from a checkout (pip install -e .): the results and the pages are not installed"
        )
    if arguments.action == "add":
        name, *folders = arguments.rows
        _keep(name, row_of(name, [Path(folder) for folder in folders]))
        return 0
    if arguments.action == "run":
        for name in arguments.rows or [name for name in ROWS if not ROWS[name].get("days")]:
            _keep(name, run(name))
        return 0
    for path, text in written(_results()).items():
        if arguments.action == "write":
            path.write_text(text, encoding="utf-8")
        elif text != path.read_text(encoding="utf-8"):
            print(f"{path} is out of date: run python -m tinygen.benchmarks.tables.papers write")
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
