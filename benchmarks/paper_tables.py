"""Train each model with its own command, measure it, and write the README's model table from what was measured.

python -m tinygen.benchmarks.paper_tables run vae-mnist     trains, measures, adds the row to results/models.json
python -m tinygen.benchmarks.paper_tables write             writes the table in README.md from results/models.json
python -m tinygen.benchmarks.paper_tables check             exit 1 if the README's table is not what `write` writes
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

RESULTS = Path(__file__).resolve().parent / "results" / "models.json"
README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- models: written by benchmarks/paper_tables.py -->", "<!-- /models -->"

IWAE = "Burda et al. 2015, arXiv 1509.00519: VAE, one stochastic layer, 3280 epochs, k=5000"
ROWS = {
    "vae-glyphs": dict(train="vae", paper=None),
    "vae-mnist": dict(train="vae --data mnist", paper=dict(nll=86.76, source=f"{IWAE}, another network")),
    "vae-mnist-iwae": dict(train="vae --data mnist --net iwae", paper=dict(nll=86.76, source=IWAE)),
    "vae-mnist-iwae-250": dict(
        train="vae --data mnist --net iwae --steps 150000", paper=dict(nll=86.76, source=IWAE)
    ),
}


def run(name: str) -> dict:
    """Train and measure one row in a temporary folder, draw results/NAME.png.  -> the row of models.json"""
    row = ROWS[name]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "run")
        tinygen = [sys.executable, "-m", "tinygen"]
        subprocess.run([*tinygen, "train", *shlex.split(row["train"]), "--out", folder], check=True, stdout=2)
        printed = subprocess.run([*tinygen, "eval", folder], check=True, stdout=subprocess.PIPE).stdout
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        config = json.loads((folder / "config.json").read_text())
        parameters = _parameters(folder)
        _draw(row["train"].split()[0], folder, RESULTS.with_name(f"{name}.png"))
    measures = json.loads(printed)
    return {
        "command": f"tinygen train {row['train']}",
        "eval": "tinygen eval RUN",
        "model": measures.pop("model"),
        "data": measures.pop("data"),
        "steps": measures.pop("step"),
        "minutes": round(json.loads(lines[-1])["seconds"] / 60, 2),
        "parameters": parameters,
        "measures": measures,
        "data_sha256": config["data_sha256"],
        "versions": config["versions"],
        "machine": _machine(),
    }


def _draw(model: str, folder: Path, picture: Path) -> None:
    """A strip of 60 samples of a run."""
    from tinygen import pictures
    from tinygen.run import Run

    module = importlib.import_module(f"tinygen.models.{model}")
    images = module.sample(Run.open(folder, module.Config), 60)
    picture.write_bytes(pictures.png(pictures.grid(images, columns=20)))


def _parameters(folder: Path) -> int:
    """The number of elements of the network in a run's checkpoint."""
    from tinygen import checkpoint

    arrays, _ = checkpoint.read(folder / "checkpoint.safetensors")
    return sum(math.prod(a.shape) for name, a in arrays.items() if name.startswith("net."))


def _machine() -> dict:
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), cpu)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = int(os.environ.get("OPENBLAS_NUM_THREADS", cores))
    return {"cpu": cpu, "cores": cores, "BLAS": f"{blas['name']} {blas['version']}", "BLAS threads": threads}


def _results() -> dict:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def table(results: dict) -> str:
    """The README's table.  results: row name -> row of models.json"""
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
            f"{row['minutes']:.1f} ({row['machine']['BLAS threads']})",
            f"{row['parameters']:,}",
            f"{m['neg_elbo']:.2f}",
            f"{m['nll']:.2f} ± {m['nll_se']:.2f} (k={m['k']})",
            f"{paper['nll']} ({paper['source']})" if paper else "",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    machine = next(iter(results.values()))["machine"] if results else {}
    note = ", ".join(f"{key}: {value}" for key, value in machine.items() if key != "BLAS threads")
    return "\n".join([*lines, "", f"In nats an image, on all test images. Machine: {note}."])


def written(readme: str, results: dict) -> str:
    """The README with the part between its two markers replaced by the table."""
    before, _, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"README.md: found no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{table(results)}\n{END}{after}"


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("run", "write", "check"))
    parser.add_argument("rows", nargs="*", help=f"for run: {', '.join(ROWS)} (default all)")
    arguments = parser.parse_args(argv)
    unknown = set(arguments.rows) - set(ROWS)
    if unknown:
        parser.error(f"unknown row {unknown.pop()!r}; known: {', '.join(ROWS)}")
    if not README.exists():
        parser.error(
            "run this from a checkout (pip install -e .): the results and the README are not installed"
        )
    if arguments.action == "run":
        for name in arguments.rows or ROWS:
            row = run(name)
            print(json.dumps({name: row}), flush=True)
            results = {**_results(), name: row}  # another run may have written meanwhile
            ordered = {name: results[name] for name in ROWS if name in results}
            RESULTS.write_text(json.dumps(ordered, indent=2) + "\n")
        return 0
    readme = README.read_text()
    if arguments.action == "check":
        return 0 if written(readme, _results()) == readme else 1
    README.write_text(written(readme, _results()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
