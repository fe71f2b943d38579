"""Rows and table of mode coverage: GAN and PacGAN on ring8 and grid25 over several seeds, beside PacGAN's table 1.

python -m tinygen.benchmarks.tables.papers run ring8-pac2                   3 runs of 20,000 steps
python -m tinygen.benchmarks.tables.papers run ring8-pac2-full              the paper's 10 runs of 400,000 steps
python -m tinygen.benchmarks.tables.papers add ring8-pac2-full RUN RUN ...  the same, from runs trained one by one
"""

from __future__ import annotations

import re

from tinygen.benchmarks.tables.cells import minutes, runs_of, spread

DATA = {"ring8": "8 modes on a ring", "grid25": "25 modes on a grid"}
SOURCE = "Lin et al. 2018, arXiv 1712.04086, table 1: 10 runs of 400,000 steps, ± the standard error"
PAPER = {  # data, packing -> modes, high-quality samples, reverse KL
    ("ring8", 1): ("6.3 ± 0.5", "98.2 ± 0.2 %", "0.45 ± 0.09"),
    ("ring8", 2): ("7.9 ± 0.1", "95.6 ± 2.0 %", "0.07 ± 0.03"),
    ("ring8", 3): ("7.8 ± 0.1", "97.7 ± 0.3 %", "0.10 ± 0.02"),
    ("ring8", 4): ("7.8 ± 0.1", "95.9 ± 1.4 %", "0.07 ± 0.02"),
    ("grid25", 1): ("17.3 ± 0.8", "94.8 ± 0.7 %", "0.70 ± 0.07"),
    ("grid25", 2): ("23.8 ± 0.7", "91.3 ± 0.8 %", "0.13 ± 0.04"),
    ("grid25", 3): ("24.6 ± 0.4", "94.2 ± 0.4 %", "0.06 ± 0.02"),
    ("grid25", 4): ("24.8 ± 0.2", "93.6 ± 0.6 %", "0.04 ± 0.01"),
}


def _row(data: str, packing: int, steps: int, seeds: int, **more) -> dict:
    train = f"pacgan --data {data} --packing {packing} --steps {steps}"
    return dict(train=train, seeds=seeds, table="modes", data=data, packing=packing, **more)


ROWS = {f"{data}-pac{m}": _row(data, m, 20_000, 3) for data, m in PAPER} | {
    f"{data}-pac{m}-full": _row(data, m, 400_000, 10, days=True) for data, m in PAPER
}


def table(results: dict) -> str:
    """The table of modes; rows of 20,000 steps are shown before they are run.  results: name -> row of models.json"""
    lines = [
        "| data | packing | steps | seeds | modes | high quality | reverse KL | minutes per run (BLAS threads) "
        "| paper: modes | high quality | reverse KL |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    shown = [name for name in ROWS if name in results or not ROWS[name].get("days")]
    for name in shown:
        data, packing = ROWS[name]["data"], ROWS[name]["packing"]
        ours = measured(results[name]) if name in results else [""] * 6
        cells = [DATA[data], f"{packing}" + (" (GAN)" if packing == 1 else ""), *ours, *PAPER[data, packing]]
        lines.append("| " + " | ".join(cells) + " |")
    note = f"On 2,500 samples per run; mean over the seeds ± standard deviation. Paper: {SOURCE}."
    if set(shown) - set(results):
        note += " Empty cells: not run yet."
    return "\n".join([*lines, "", " ".join([note, *pairs(results)])])


def measured(row: dict) -> list[str]:
    """steps, seeds, modes, high quality, reverse KL, minutes a run"""
    runs = runs_of(row)
    return [
        f"{row['steps']:,}",
        f"{len(runs)}",
        spread([r["measures"]["modes"] for r in runs], ".1f"),
        spread([100 * r["measures"]["high_quality"] for r in runs], ".1f") + " %",
        spread([r["measures"]["reverse_kl"] for r in runs], ".2f"),
        minutes(row),
    ]


def pairs(results: dict) -> list[str]:
    """How often packing found at least as many modes as the plain GAN with the same data, steps and seed."""
    gains: dict = {}
    for name, row in results.items():
        plain = results.get(re.sub(r"pac\d", "pac1", name))
        if plain is None or plain is row:
            continue
        modes = {r["seed"]: r["measures"]["modes"] for r in runs_of(plain)}
        found = [r["measures"]["modes"] - modes[r["seed"]] for r in runs_of(row) if r["seed"] in modes]
        gains.setdefault(row["steps"], []).extend(found)
    return [
        f"With {steps:,} steps, packing found at least as many modes as the plain GAN of the same seed in "
        f"{sum(g >= 0 for g in found)} of {len(found)} pairs of runs, more in {sum(g > 0 for g in found)}."
        for steps, found in gains.items()
    ]
