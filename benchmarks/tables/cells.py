"""Table cells for a value over several runs, and for the time that the runs took.

A row of models.json holds the figures of its first run and, if there are several runs, those of all under `runs`.
"""

from __future__ import annotations

import statistics


def runs_of(row: dict) -> list[dict]:
    """The runs of a row: seed, minutes, measures, and threads if the run recorded them."""
    return row.get("runs", [{"seed": 0, **row}])


def spread(values: list, form: str) -> str:
    """mean ± standard deviation, or just the value of a single run; a run may lack a value (None)."""
    values = [v for v in values if v is not None]
    if not values:
        return "none"
    mean = format(statistics.mean(values), form)
    return f"{mean} ± {format(statistics.stdev(values), form)}" if len(values) > 1 else mean


def minutes(row: dict) -> str:
    """Minutes of the runs (BLAS threads): 12.3 ± 0.2 (1), or one by one if the threads differ: 9.3 (2), 12.4 (1)."""
    runs = runs_of(row)
    threads = [run.get("threads", row["machine"]["BLAS threads"]) for run in runs]
    if len(set(threads)) == 1:
        return f"{spread([run['minutes'] for run in runs], '.1f')} ({threads[0]})"
    return ", ".join(f"{run['minutes']:.1f} ({n})" for run, n in zip(runs, threads))
