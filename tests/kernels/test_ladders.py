"""kernels/README.md shows the ladders as they are, and its table is written by a command."""

import re
import sys

import pytest

from tinygen import kernels
from tinygen.kernels.runtime import ladders

if not ladders.PAGE.exists():
    pytest.skip("the page is not installed", allow_module_level=True)


def test_the_page_shows_the_ladders_as_they_are():
    page = ladders.PAGE.read_text(encoding="utf-8")
    assert page == ladders.written(page), f"run {sys.executable} -m tinygen.kernels.runtime.ladders"


def test_the_table_names_every_kernel_and_variant():
    rows = {
        row[1]: row for row in (re.split(r" *\| *", line)[1:-1] for line in ladders.table().splitlines()[2:])
    }
    for name, places in kernels.registry().items():
        folder, _, *cells = rows.pop(name)
        assert (ladders.PAGE.parent / folder / "reference.py").exists()
        shown = [re.findall(r"`(\w+)`", cell) for cell in cells]
        assert ["reference", *shown[0]] == places["cpu"]
        assert ["reference", *shown[1], *shown[2]] == places["cuda"]
    assert not rows


def test_the_command_writes_the_page(tmp_path, monkeypatch, capsys):
    page = tmp_path / "README.md"
    monkeypatch.setattr(ladders, "PAGE", page)
    page.write_text(f"before\n{ladders.BEGIN}an old table\n{ladders.END}\nafter\n", encoding="utf-8")
    assert ladders.main() == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("after\n") and "an old table" not in text
    page.write_text("no markers", encoding="utf-8")
    assert ladders.main() == 2 and "expected the markers" in capsys.readouterr().err
