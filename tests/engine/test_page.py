"""The engine's page (its docstring) names every file and function that runs for tanh and backward."""

import re
from pathlib import Path

from house.trace_example import trace

import tinygen.engine

PAGE = tinygen.engine.__doc__


def steps_of_the_example():
    """The (file, function) pairs of the example.  The page stops where a kernel is called."""
    return [step for step in trace().functions if not step[0].startswith("tinygen/kernels/")]


def test_the_page_names_every_file_and_function_of_the_example():
    words = set(re.findall(r"[\w.]+", PAGE))
    missing = set()
    for path, function in steps_of_the_example():
        file, last = path.removeprefix("tinygen/"), function.rpartition(".")[2]
        if not {file, file.rpartition("/")[2]} & words:
            missing.add(file)
        if last != "<lambda>" and not {function, last} & words:
            missing.add(f"{function} of {file}")
    assert not missing, f"the page does not name {sorted(missing)}"


def test_the_way_through_the_example_is_short():
    """The goal: 8 files of 1,200 lines, 45 functions.  On 1 December 2026: 11 files of 2,297 lines, 45 functions."""
    steps = steps_of_the_example()
    assert len(steps) <= 45
    assert len({file for file, _ in steps}) <= 11


def test_no_file_is_longer_than_300_lines():
    files = Path(tinygen.engine.__path__[0]).glob("*.py")
    lengths = {file.name: len(file.read_text(encoding="utf-8").splitlines()) for file in files}
    assert lengths and max(lengths.values()) <= 300, lengths


def test_the_page_lists_the_files_in_an_order_in_which_each_needs_only_those_before():
    order = re.search(r"in this order: (.*?)\.\s", PAGE, re.DOTALL)[1].replace(" ·", "").split()
    folder = tinygen.engine.__path__[0]
    for n, name in enumerate(order):
        source = open(f"{folder}/{name}.py", encoding="utf-8").read()
        used = set(re.findall(r"from tinygen\.engine\.(\w+) import", source))
        used |= {
            w for line in re.findall(r"from tinygen\.engine import (.*)", source) for w in line.split(", ")
        }
        assert used <= set(order[:n]), f"{name} imports {used - set(order[:n])}"
        others = re.findall(r"from (tinygen[\w.]*) import (\w+)", source)
        assert all(
            "kernels" in (module + word) or module.startswith("tinygen.engine") for module, word in others
        )
