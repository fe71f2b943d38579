"""The README's table of models: one row per paper, with its one number."""

from __future__ import annotations

from tinygen.benchmarks.tables import modes
from tinygen.benchmarks.tables.cells import minutes, runs_of, spread

ROWS = {  # rows of the README's table: the measure that is shown, and what it is called
    "vae-mnist-iwae-250": ("nll", "NLL {} nats; paper {paper}"),
    "gan-mnist": ("fd", "FD {}"),
    "dcgan-mnist": ("fd", "FD {}"),
    "wgan-gp-mnist": ("fd", "FD {}"),
    "cgan-mnist": ("fd", "FD {}"),
    "ring8-pac2": ("modes", "{} of 8 modes; paper " + modes.PAPER["ring8", 2][0]),
    "ddpm-mnist-long-eta-1": ("fd", "FD {}"),
}


def table(results: dict, papers: dict) -> str:
    """One row per paper.  results: name -> row of models.json; papers: name -> the paper's measures"""
    lines = ["| model | command | minutes (threads) | measured |", "|---|---|---:|---|"]
    for name, (measure, shown) in ROWS.items():
        if name not in results:
            continue
        row, paper = results[name], papers[name]
        form = {"fd": ".2f", "nll": ".2f", "modes": ".1f"}[measure]
        value = spread([run["measures"][measure] for run in runs_of(row)], form)
        number = shown.format(value, paper=paper.get(measure, ""))
        command = f"`{row['command']}`"
        if row["eval"] != "tinygen eval RUN":
            command += f", `{row['eval'].removeprefix('tinygen ')}`"
        lines.append(f"| {row['model']} | {command} | {minutes(row)} | {number} |")
    floor = next(row["measures"]["fd_floor"] for row in results.values() if "fd_floor" in row["measures"])
    note = (
        f"FD: Fréchet distance of 10,000 images on our own classifier's features; the test set has {floor:.2f}. It is "
        "not the FID.\nMean ± standard deviation over seeds where a row has several."
    )
    return "\n".join([*lines, "", note])
