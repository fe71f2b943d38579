"""The tables of models are what `tables.papers write` makes of the measured rows."""

import copy
import json
from types import SimpleNamespace

import pytest

from tinygen.benchmarks import pages
from tinygen.benchmarks.tables import papers
from tinygen.benchmarks.tables.cells import minutes
from tinygen.benchmarks.tables.finished_run import finished_run
from tinygen.kernels.runtime import blas
from tinygen.models import classifier, gan
from tinygen.models.adversarial import training
from tinygen.run.training import Run


def test_the_pages_hold_the_tables_of_the_measured_rows():
    if not pages.README.exists():
        pytest.skip("no checkout")
    assert papers.main(["check"]) == 0


def image_row(*values):
    keys = [key for key, _ in papers.IMAGE_MEASURES.values()]
    runs = [{"seed": i, "minutes": 2.0 + i, "measures": dict.fromkeys(keys, v)} for i, v in enumerate(values)]
    row = {
        "command": "tinygen train gan",
        "eval": "tinygen eval RUN",
        "data": "mnist",
        "parameters": 1234,
        "machine": {"BLAS threads": 2},
    }
    return row | copy.deepcopy(runs[0]) | ({"runs": runs} if len(runs) > 1 else {})


def test_rows_of_several_seeds_show_mean_and_deviation_between_floor_and_ceiling():
    text = papers.images_table({"three": image_row(1.0, 2.0, 6.0), "one": image_row(0.5)})
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line
    ]
    names = [row[1] for row in rows[2:]]
    assert names == ["the test set: the floor", *["`tinygen train gan`"] * 2, "noise: the ceiling"]
    three, one = rows[3], rows[4]
    assert three[2:6] == ["3", "3.0 ± 1.0 (2)", "1,234", "3.00 ± 2.65"] and three[7] == "3.00 ± 2.65"
    assert one[2:6] == ["1", "2.0 (2)", "1,234", "0.50"]


def test_minutes_stand_beside_the_threads_that_they_were_trained_with():
    row = image_row(1.0, 2.0, 6.0)
    for run, threads in zip(row["runs"], (1, 1, 1)):
        run["threads"] = threads
    assert minutes(row) == "3.0 ± 1.0 (1)"  # the machine's 2 threads are for runs that recorded none
    row["runs"][1]["threads"] = 2
    assert minutes(row) == "2.0 (1), 3.0 (2), 4.0 (1)"
    del row["runs"][2]["threads"]
    assert minutes(row) == "2.0 (1), 3.0 (2), 4.0 (2)"
    assert " | 2.0 (1), 3.0 (2), 4.0 (2) | " in papers.images_table({"row": row})


def test_measures_of_a_single_model_are_below_the_table():
    def sentences(*rows):
        text = papers.images_table({str(i): row for i, row in enumerate(rows)})
        return text.split("the seeds.")[1].strip()

    assert sentences(image_row(1.0)) == ""
    critic, labels = image_row(1.0), image_row(1.0, 2.0)
    critic["measures"] |= dict(images=9000, grad_norm=1.0354, loss_fd_spearman=0.7144, loss_fd_checkpoints=20)
    for run, accuracy in zip(labels["runs"], (0.97, 0.98)):
        run["measures"] |= dict(images=5000, accuracy=accuracy)
    labels["measures"] = labels["runs"][0]["measures"]
    assert sentences(critic, labels) == (
        "`tinygen train gan`: the mean gradient norm of the critic is 1.035 at 9,000 interpolates. "
        "`tinygen train gan`: the rank correlation of minus the critic's loss with FD is 0.714 over 20 checkpoints. "
        "`tinygen train gan`: 97.5 ± 0.7 % of 5,000 images are of the requested class."
    )
    bound = image_row(1.0)
    bound["measures"] |= dict(bits_per_dim=1.2345, bits_per_dim_se=0.0123, bound_images=8000)
    assert sentences(bound) == (
        "`tinygen train gan`: at most 1.234 ± 0.012 bits per dimension on 8,000 test images (± the "
        "standard error of the estimate)."
    )
    assert sentences(bound, bound) == sentences(bound)  # two rows of one run: mentioned once
    one, never = image_row(1.0), image_row(1.0, 2.0)
    one["passed"] = dict(score=8, step=9000, minutes=3.41, every=1000, images=5000)
    never["runs"][1]["passed"] = dict(score=8, step=None, minutes=None, every=700, images=5000)
    assert sentences(one, never) == (
        "`tinygen train gan --measure-every 1000`, seed 0: the inception score of 5,000 images is first above 8 at "
        "step 9,000, after 3.4 minutes of training and measuring. "
        "`tinygen train gan --measure-every 700`, seed 1: the inception score of 5,000 images is never above 8."
    )


def test_when_an_inception_score_was_passed_is_read_from_the_run(tmp_path):
    config = gan.Config(steps=400, measure_every=100)
    run = Run.create("gan", config, tmp_path / "run")
    lines = [(100, 60.0, 8.0), (200, 120.0, 8.1), (300, 180.0, 7.9), (400, 240.0, 8.5)]
    text = "".join(
        json.dumps({"step": step, "seconds": seconds, "inception_score": score}) + "\n"
        for step, seconds, score in lines
    )
    run.path("metrics.jsonl").write_text('{"step": 50, "seconds": 9.0, "loss": 1.0}\n' + text)
    expected = {"score": 8, "step": 200, "minutes": 2.0, "every": 100, "images": 5000}
    assert papers._passed(run, 8) == expected
    assert papers._passed(run, 9) == expected | {"score": 9, "step": None, "minutes": None}


def test_rows_of_the_seeds_that_the_issue_asks_for():
    rows = papers.ROWS
    assert {name for name in rows if rows[name].get("seeds") == 3 and rows[name]["table"] == "images"} == {
        *["gan-mnist-seed", "gan-mnist", "dcgan-mnist", "wgan-gp-mnist"]
    }


def test_added_runs_keep_their_own_threads_and_may_have_been_measured(tmp_path, monkeypatch):
    """Of three runs, one recorded its threads, one was measured in training, and one predates both."""
    keys = [key for key, _ in papers.IMAGE_MEASURES.values()]
    printed = {"model": "gan", "data": "glyphs", "step": 2, "images": 5} | dict.fromkeys(keys, 1.0)
    monkeypatch.setattr(papers.subprocess, "run", lambda *a, **k: SimpleNamespace(stdout=json.dumps(printed)))
    monkeypatch.setattr(papers, "_draw", lambda *a: None)
    monkeypatch.setattr(papers, "RESULTS", tmp_path / "models.json")
    monkeypatch.setitem(papers.ROWS, "row", {"train": "gan --steps 2 --batch 8", "seeds": 3, "passes": 8})
    monkeypatch.setattr(training, "load_evaluator", lambda name: None)
    monkeypatch.setattr(training, "quick_measures", lambda *a: {"fd": 1.0, "inception_score": 8.5})
    monkeypatch.setattr(training, "MEASURED", 10)
    folders = []
    for seed in range(3):
        config = gan.Config(steps=2, batch=8, seed=seed, measure_every=2 if seed == 1 else None)
        folders.append(gan.train(config, Run.create("gan", config, tmp_path / str(seed))).folder)
    for folder, threads in zip(folders, (7, None)):
        saved = json.loads((folder / "config.json").read_text())
        saved["versions"]["blas_threads"] = threads
        if threads is None:
            del saved["versions"]["blas_threads"]
        (folder / "config.json").write_text(json.dumps(saved))
    monkeypatch.setattr(blas, "threads", lambda: 5)
    row = papers.row_of("row", folders)
    assert (
        [run["threads"] for run in row["runs"][:2]]
        == [7, 5]
        == [row["threads"], row["machine"]["BLAS threads"]]
    )
    assert [run.get("passed", {}).get("step") for run in row["runs"]] == [None, 2, None]
    assert "passed" not in row["runs"][0] and json.loads(json.dumps(row)) == row


def test_a_row_may_be_evaluated_with_flags(tmp_path, monkeypatch):
    keys = [key for key, _ in papers.IMAGE_MEASURES.values()]
    printed = {"model": "gan", "data": "mnist", "step": 2, "images": 5} | dict.fromkeys(keys, 1.0)
    asked, others = [], papers.subprocess.run

    def run(command, **given):
        start, rest = command[: len(papers.TINYGEN)], command[len(papers.TINYGEN) :]
        if start != papers.TINYGEN:
            return others(command, **given)
        asked.append(rest)
        return SimpleNamespace(stdout=json.dumps(printed))

    monkeypatch.setattr(papers.subprocess, "run", run)
    monkeypatch.setattr(papers, "_draw", None)
    monkeypatch.setitem(papers.ROWS, "row", {"train": "gan --steps 2 --batch 8", "evaluate": "--samples 900"})
    config = gan.Config(steps=2, batch=8)
    folder = gan.train(config, Run.create("gan", config, tmp_path / "run")).folder
    row = papers.row_of("row", [folder])
    assert asked == [["eval", folder, "--samples", "900"]]
    table = papers.images_table({"row": row})
    assert "| `tinygen train gan --steps 2 --batch 8`, `tinygen eval RUN --samples 900` | 1 |" in table


def test_each_row_names_a_table_and_a_command():
    for name, row in papers.ROWS.items():
        assert row.get("table", "models") in papers.TABLES, name
        assert row["train"].split()[0] not in ("tinygen", "train"), name


def test_a_run_of_another_command_is_not_added(tmp_path):
    command = "classifier --steps 2 --batch 10"

    def trained(name, **options):
        config = classifier.Config(**{"steps": 2, "batch": 10, "seed": 5} | options)
        return classifier.train(config, Run.create("classifier", config, tmp_path / name)).folder

    assert finished_run(trained("right"), command).config.seed == 5
    with pytest.raises(SystemExit, match=rf"lr is 0\.1, that of `train {command}` is 0\.003"):
        finished_run(trained("wrong", lr=0.1), command)
    with pytest.raises(SystemExit, match=r"steps is 1, that of .* is 2"):
        finished_run(trained("short", steps=1), command)
    run = trained("stopped")
    lines = (run / "metrics.jsonl").read_text().splitlines()
    (run / "metrics.jsonl").write_text(lines[-1].replace('"step": 2', '"step": 1') + "\n")
    with pytest.raises(SystemExit, match=f"stands at step 1, `train {command}` ends at 2"):
        finished_run(run, command)
