"""What `tinygen explain` prints, and its exit codes: 0, or 1 if a check fails."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path
from traceback import print_exception

from tinygen.explain.names import every_name
from tinygen.explain.operation import explain_operation
from tinygen.run.files import replace_file
from tinygen.run.flags import FlagError, check_output
from tinygen.run.terminal import visible


def add_arguments(parser) -> None:
    what = "softmax, F.gelu, nn.Conv2d, @, or a Python file"
    parser.add_argument("what", nargs="?", metavar="OP or GRAPH.py", help=what)
    parser.add_argument("--seed", type=int, help="seed of the example's inputs (default 0)")
    of = "GRAPH.py: the variable whose graph to draw (default loss, y, …)"
    parser.add_argument("--of", metavar="NAME", help=of)
    out = "GRAPH.py: output file in .dot, .png or .svg (default DOT on stdout)"
    parser.add_argument("-o", metavar="FILE", help=out)
    parser.add_argument("--traceback", action="store_true", help="GRAPH.py: show the traceback if it raises")


def explain(what: str | None, seed: int | None, of: str | None, o: str | None, traceback: bool) -> int:
    """Explain an operation, draw the graph of a program, or without `what` list all names."""
    is_program = (what or "").endswith(".py")
    of_program = {"--of": of, "-o": o, "--traceback": traceback or None}
    for flag, value in ({"--seed": seed} if is_program else of_program).items():
        if value is not None:
            raise FlagError(f"{flag}: {'not for a GRAPH.py' if is_program else 'only for a GRAPH.py'}")
    if is_program:
        return explain_graph(what, of, o, traceback)
    return explain_named(what, seed or 0) if what else list_names()


def explain_named(name: str, seed: int) -> int:
    """Explain one operation."""
    if seed < 0:
        raise FlagError(f"--seed: found {seed}, expected 0 or more")
    explanation = explain_operation(name, seed)
    print(explanation.text(bold=sys.stdout.isatty() and not os.environ.get("NO_COLOR")), end="")
    return 0 if explanation.passed else 1


def list_names() -> int:
    """Print every name that can be explained, by the file or the place it is in."""
    for kind, names in every_name().items():
        print(kind)
        print(textwrap.fill("  ".join(names), 100, initial_indent="  ", subsequent_indent="  "))
    return 0


def explain_graph(path: str, of: str | None, out: str | None, traceback: bool) -> int:
    """Draw the graph of a program's result: DOT on stdout, or a file in .dot, .png or .svg."""
    from tinygen.explain import drawing, graph

    if out is not None:
        check_output(out, ".dot", ".png", ".svg")
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
    kind = Path(out).suffix.lower()[1:]
    data = graph.dot(found).encode() if kind == "dot" else drawing.draw(found, kind)
    replace_file(out, [data])
    print(visible(out))
    return 0
