"""The tables that benchmarks/report.py writes from the JSON of `tinygen bench`."""

import json
import re

import pytest
from example_results import example

from tinygen.benchmarks import pages, report


def test_the_readme_table():
    section = report.section([example()])
    assert (
        "| vae step, 64×64 | 2.00 | 8.00 | 0.25 (0.25) | channels-last 7.50 | 10 / 20 | 110 / 110 |"
        in section
    )
    assert (
        "| conv2d | 64×64 | 2.00 | 8.00 | 0.25 (0.25) | channels-last 7.50 | 500 GFLOP/s | 50 % |" in section
    )
    assert (
        "Z80, 2 of 2 cores, openblas 1 with Zen kernels; python 3.11; load 0.5 before, 0.75 after" in section
    )
    assert "no torch.compile: no compiler" in section


def test_a_table_is_written_between_its_markers():
    begin, end = pages.markers("bench", "a/file.py")
    assert (
        pages.replaced(f"a\n{begin}\nold\n{end}\nb", "bench", "a/file.py", "new")
        == f"a\n{begin}\nnew\n{end}\nb"
    )
    with pytest.raises(SystemExit, match=re.escape("a page without <!-- bench: written by a/file.py")):
        pages.replaced("no markers", "bench", "a/file.py", "new")


@pytest.fixture
def empty_pages(tmp_path, monkeypatch):
    """Two pages with empty tables, in place of the repository's"""
    for name, key in ("SPEED", "bench"), ("README", "steps"):
        path = tmp_path / f"{name}.md"
        path.write_text("\n".join(pages.markers(key, report.WRITER)) + "\n", encoding="utf-8")
        monkeypatch.setattr(pages, name, path)
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    return tmp_path


def test_the_pages_are_what_the_results_say():
    if not pages.README.exists():
        pytest.skip("not a checkout")
    assert report.main(["check"]) == 0
    for result in filter(report.under_the_roof, report.results()):  # operations, not steps alone
        assert (report.RESULTS / report.plot_name(result)).exists()


def test_check_notices_a_page_that_says_something_else(empty_pages):
    (empty_pages / "cpu-1.json").write_text(json.dumps(example()), encoding="utf-8")
    assert report.main(["check"]) == 1
    assert report.main(["write"]) == 0 and report.main(["check"]) == 0
    assert (empty_pages / "roofline-z80-2-threads.png").stat().st_size > 1000
    for page in pages.SPEED, pages.README:
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace("| ", "| 9", 1), encoding="utf-8")
        assert report.main(["check"]) == 1
        page.write_text(text, encoding="utf-8")


def test_a_result_without_rates_has_no_picture_and_stands_after_the_one_it_adds_to(empty_pages, monkeypatch):
    more = example()
    rates = {name: {} for name in more["cases"][0]["sides"]}
    unrated = {"name": "ddim sampling", "flops": 0.0, "bytes": 0.0, "rates": rates}
    more["cases"] = [more["cases"][0] | unrated]
    assert "ddim sampling" in report.section([more]) and "roofline-" not in report.section([more])
    for name, result in {"cpu-1.json": example(), "cpu-1-sampling.json": more}.items():
        (empty_pages / name).write_text(json.dumps(result), encoding="utf-8")
    drawn = []
    monkeypatch.setattr(
        report, "draw_roofline", lambda result, path: drawn.append(result["cases"][0]["name"])
    )
    report.main(["write"])
    assert drawn == ["conv2d"]
    text = pages.SPEED.read_text(encoding="utf-8")
    assert text.index("| conv2d |") < text.index("| ddim sampling |")


def test_a_table_for_the_terminal_leaves_out_empty_columns():
    assert (
        report.aligned([["a", "b", "n"], ["x", "", "10"], ["yy", "", "2"]])
        == "a    n\n------\nx   10\nyy   2"
    )
