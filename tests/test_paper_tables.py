"""The README's model tables are what `paper_tables write` makes of the measured rows."""

import copy

import pytest

from tinygen.benchmarks import paper_tables
from tinygen.models import classifier
from tinygen.run import Run


def test_the_readme_holds_the_tables_of_the_measured_rows():
    if not paper_tables.README.exists():
        pytest.skip("no checkout")
    assert paper_tables.main(["check"]) == 0


def image_row(*values):
    keys = [key for key, _ in paper_tables.IMAGE_MEASURES.values()]
    runs = [{"seed": i, "minutes": 2.0 + i, "measures": dict.fromkeys(keys, v)} for i, v in enumerate(values)]
    row = {
        "command": "tinygen train gan",
        "data": "mnist",
        "parameters": 1234,
        "machine": {"BLAS threads": 2},
    }
    return row | copy.deepcopy(runs[0]) | ({"runs": runs} if len(runs) > 1 else {})


def test_rows_of_several_seeds_show_mean_and_deviation_between_floor_and_ceiling():
    text = paper_tables.images_table({"three": image_row(1.0, 2.0, 6.0), "one": image_row(0.5)})
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line
    ]
    names = [row[1] for row in rows[2:]]
    assert names == ["the test set: the floor", *["`tinygen train gan`"] * 2, "noise: the ceiling"]
    three, one = rows[3], rows[4]
    assert three[2:6] == ["3", "3.0 ± 1.0 (2)", "1,234", "3.00 ± 2.65"] and three[7] == "3.00 ± 2.65"
    assert one[2:6] == ["1", "2.0 (2)", "1,234", "0.50"]


def test_each_row_names_a_table_and_a_command():
    for name, row in paper_tables.ROWS.items():
        assert row.get("table", "models") in paper_tables.TABLES, name
        assert row["train"].split()[0] not in ("tinygen", "train"), name


def test_a_run_of_another_command_is_not_added(tmp_path, monkeypatch):
    monkeypatch.setitem(
        paper_tables.ROWS, "row", {"train": "classifier --steps 2 --batch 10", "table": "images"}
    )

    def trained(name, **options):
        config = classifier.Config(**{"steps": 2, "batch": 10, "seed": 5} | options)
        return classifier.train(config, Run.create("classifier", config, tmp_path / name)).folder

    paper_tables._refuse_another_command("row", trained("right"))
    with pytest.raises(SystemExit, match=r"lr is 0\.1, the row row has 0\.003"):
        paper_tables._refuse_another_command("row", trained("wrong", lr=0.1))
    with pytest.raises(SystemExit, match="steps is 1, the row row has 2"):
        paper_tables._refuse_another_command("row", trained("short", steps=1))
