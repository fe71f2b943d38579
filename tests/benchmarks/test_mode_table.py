"""The table of modes shows the figures of results/models.json."""

import json

from tinygen.benchmarks.tables import modes as mode_table
from tinygen.benchmarks.tables import papers
from tinygen.kernels.runtime import blas
from tinygen.models import pacgan
from tinygen.run.training import Run


def row(*modes, steps=20_000):
    runs = [
        {
            "seed": i,
            "minutes": 2.0 + i,
            "threads": 1,
            "measures": dict(modes=m, high_quality=0.5 + i / 10, reverse_kl=0.1 * i),
        }
        for i, m in enumerate(modes)
    ]
    return {"steps": steps, "runs": runs, "machine": {"BLAS threads": 2}}


def test_a_row_is_the_mean_and_the_deviation_over_seeds():
    line = mode_table.table({"ring8-pac1": row(6, 7, 8)}).splitlines()[2]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:4] == ["8 modes on a ring", "1 (GAN)", "20,000", "3"]
    assert cells[4:8] == ["7.0 ± 1.0", "60.0 ± 10.0 %", "0.10 ± 0.10", "3.0 ± 1.0 (1)"]
    assert cells[8:] == ["6.3 ± 0.5", "98.2 ± 0.2 %", "0.45 ± 0.09"]


def test_one_seed_has_no_deviation_and_a_run_without_near_samples_no_divergence():
    measures = dict(modes=20, high_quality=0.5, reverse_kl=None)
    one = {"steps": 5, "minutes": 1.0, "machine": {"BLAS threads": 2}, "measures": measures}
    assert "| 20.0 | 50.0 % | none | 1.0 (2) |" in mode_table.table({"grid25-pac2": one})


def test_rows_that_were_not_run_show_the_paper_alone():
    lines = mode_table.table({"ring8-pac4-full": row(8, steps=400_000)}).splitlines()
    assert len([line for line in lines[2:] if line.startswith("|")]) == 8 + 1
    assert "| 25 modes on a grid | 2 |  |  |  |  |  |  | 23.8 ± 0.7 |" in lines[7]
    assert lines[10].startswith("| 8 modes on a ring | 4 | 400,000 | 1 | 8.0 |")
    assert lines[-1].endswith("Empty cells: not run yet.")


def test_pairs_are_of_one_seed_and_one_number_of_steps():
    results = {
        "ring8-pac1": row(6, 8, 8),
        "ring8-pac2": row(8, 8, 7),
        "grid25-pac2": row(25),  # no plain GAN to compare with
        "ring8-pac1-full": row(6, steps=400_000),
        "ring8-pac4-full": row(8, 8, steps=400_000),
    }
    said = "With {} steps, packing found at least as many modes as the plain GAN of the same seed in {} of {} pairs"
    assert [line.split(" of runs")[0] for line in mode_table.pairs(results)] == [
        said.format("20,000", 2, 3),
        said.format("400,000", 1, 1),
    ]
    assert "more in 1." in mode_table.pairs(results)[0]


def test_rows_are_added_from_runs_of_their_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(papers, "RESULTS", tmp_path / "models.json")
    monkeypatch.setitem(mode_table.ROWS, "ring8-pac1", mode_table._row("ring8", 1, 2, 2))
    monkeypatch.setitem(papers.ROWS, "ring8-pac1", mode_table.ROWS["ring8-pac1"])
    folders = []
    for seed in range(2):
        config = pacgan.Config(packing=1, steps=2, seed=seed)
        folders.append(str(pacgan.train(config, Run.create("pacgan", config, tmp_path / str(seed))).folder))
    assert papers.main(["add", "ring8-pac1", *folders]) == 0
    stored = json.loads((tmp_path / "models.json").read_text())["ring8-pac1"]
    assert [r["seed"] for r in stored["runs"]] == [0, 1] and stored["steps"] == 2
    assert [r["threads"] for r in stored["runs"]] == [blas.threads()] * 2
    assert stored["command"] == "tinygen train pacgan --data ring8 --packing 1 --steps 2"
    assert "| 1 (GAN) | 2 | 2 |" in mode_table.table({"ring8-pac1": stored})
    assert (tmp_path / "samples" / "ring8-pac1.png").read_bytes().startswith(b"\x89PNG")


def test_rows_that_take_days_are_run_by_name_only(monkeypatch):
    named = []
    monkeypatch.setattr(papers, "run", named.append)
    monkeypatch.setattr(papers, "_keep", lambda name, row: None)
    assert papers.main(["run"]) == 0
    assert "grid25-pac4" in named and not [name for name in named if name.endswith("-full")]
    assert papers.main(["run", "grid25-pac4-full"]) == 0 and named[-1] == "grid25-pac4-full"
