"""What `tinygen explain` prints, and its exit codes: 0, 1 where a check fails."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path
from traceback import print_exception

from tinygen.explain.names import every_name
from tinygen.explain.operation import explain_operation
from tinygen.run.files import replace_file
from tinygen.run.flags import FlagError
from tinygen.run.terminal import visible


def explain_named(name: str, seed: int) -> int:
    """One operation."""
    if seed < 0:
        raise FlagError(f"--seed: found {seed}, expected 0 or more")
    explanation = explain_operation(name, seed)
    print(explanation.text(bold=sys.stdout.isatty() and not os.environ.get("NO_COLOR")), end="")
    return 0 if explanation.passed else 1


def list_names() -> int:
    """Every name that can be explained, by the file or the place it is in."""
    for kind, names in every_name().items():
        print(kind)
        print(textwrap.fill("  ".join(names), 100, initial_indent="  ", subsequent_indent="  "))
    return 0


def explain_graph(path: str, of: str | None, out: str | None, traceback: bool) -> int:
    """The graph of a program's result: DOT on stdout, or a file in .dot, .png or .svg."""
    from tinygen.explain import drawing, graph

    kind = _kind(out)
    try:
        variables, record = graph.run_program(path)
    except graph.ProgramError as error:
        if traceback:
            print_exception(error.__cause__)
        raise
    name, result = graph.result_of(variables, path, of)
    found = graph.graph_of(result, name, graph.names_of(variables), record)
    if out is None:
        print(graph.dot(found), end="")
        return 0
    data = graph.dot(found).encode() if kind == "dot" else drawing.draw(found, kind)
    replace_file(out, [data])
    print(visible(out))
    return 0


def _kind(out: str | None) -> str:
    """dot, png or svg, by the name of the file; refused before the program has run."""
    if out is None:
        return "dot"
    path = Path(out)
    kind = path.suffix.lower()[1:]
    if kind not in ("dot", "png", "svg"):
        raise FlagError(f"-o: found {out}, expected a name that ends in .dot, .png or .svg")
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise FlagError(f"-o: {out} cannot be written")
    return kind
