"""The recorded graph of a small program: run the program, name the vertices of its graph, write it as DOT."""

from __future__ import annotations

import ast
import contextlib
import sys
import types
import weakref
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tinygen.engine import backward
from tinygen.engine.node import Node
from tinygen.engine.primitive import Primitive
from tinygen.engine.tensor import Tensor
from tinygen.nn import Module
from tinygen.profile.watch import inputs_of, replaced


class ProgramError(ValueError):
    """The program raised an error; told in one line, with the program's line number."""


@dataclass
class Record:
    """What is known about a node only when it is recorded, by its serial number."""

    saved: dict = field(default_factory=dict)  # bytes kept for its backward
    line: dict = field(default_factory=dict)  # line of the program that made it
    inputs: dict = field(default_factory=dict)  # weak references to its inputs


@dataclass
class Vertex:
    """An operation, or a Tensor that is not the result of a recorded operation."""

    name: str
    kind: str  # "operation", "leaf" (its gradient is computed) or "constant"
    shape: tuple
    lines: list


@dataclass
class Graph:
    """Vertices in the order of computation, edges as (from, to, shape)."""

    vertices: list[Vertex]
    edges: list[tuple[int, int, tuple]]


def run_program(path: str) -> tuple[dict, Record]:
    """Run a file as `__main__`, with its output on stderr.  -> its variables, what was recorded

    Raises ProgramError if the program raises.
    """
    code = Path(path).read_bytes()
    record, module = Record(), types.ModuleType("__main__")
    module.__file__ = path
    kept = sys.argv, sys.path[:], sys.modules["__main__"]
    sys.argv, sys.path[0:0], sys.modules["__main__"] = [path], [str(Path(path).resolve().parent)], module
    try:
        with contextlib.redirect_stdout(sys.stderr), _recording(record, path):
            exec(compile(code, path, "exec"), module.__dict__)
    except SystemExit as e:
        if e.code not in (None, 0):
            raise ProgramError(f"{path}: exited with {e.code!r}") from e
    except Exception as e:
        raise ProgramError(f"{path}:{_line(e, path)}: {type(e).__name__}: {' '.join(str(e).split())}") from e
    finally:
        sys.argv, sys.path[:], sys.modules["__main__"] = kept
    return module.__dict__, record


def _line(error: Exception, path: str) -> int:
    """The last line of the program itself in an error's traceback."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return error.lineno or 1
    line, at = 1, error.__traceback__
    while at is not None:
        if at.tb_frame.f_code.co_filename == path:
            line = at.tb_lineno
        at = at.tb_next
    return line


@contextlib.contextmanager
def _recording(record: Record, path: str):
    """Note what every node keeps when it is made, since after a backward it keeps nothing."""

    def noting(call):
        def __call__(op, /, *inputs, **attrs):
            result = call(op, *inputs, **attrs)
            node = result.grad_fn
            if node is not None:
                arrays = {id(a): a for a in map(_array, node.saved.values()) if a is not None}
                record.saved[node.serial] = sum(a.nbytes for a in arrays.values())
                record.inputs[node.serial] = [
                    weakref.ref(x) if isinstance(x, Tensor) else None for x in inputs_of(op, inputs, attrs)
                ]
                record.line[node.serial] = _line_of_program(path)
            return result

        return __call__

    with replaced(Primitive, "__call__", noting):
        yield


def _line_of_program(path: str) -> int | None:
    """The line of the program that is being run at the moment."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != path:
        frame = frame.f_back
    return frame.f_lineno if frame else None


def _array(saved):
    value = getattr(saved, "array", saved)
    return value if isinstance(value, np.ndarray) else None


def result_of(variables: dict, path: str, of: str | None) -> tuple[str, Tensor]:
    """The variable to draw: `of`, else loss, else y, else the last assigned variable that has a graph."""
    if of is not None:
        if of not in variables:
            raise ValueError(f"--of: {path} has no variable {of!r}; {_candidates(variables)}")
        if not _recorded(variables[of]):
            raise ValueError(f"--of: {of} was not recorded; {_candidates(variables)}")
        return of, variables[of]
    for name in ("loss", "y", *reversed(_assigned(path))):
        if _recorded(variables.get(name)):
            return name, variables[name]
    raise ValueError(
        f"{path}: no variable at its top level is a Tensor with a graph; set requires_grad=True on one"
    )


def _recorded(value) -> bool:
    return isinstance(value, Tensor) and value.grad_fn is not None


def _candidates(variables: dict) -> str:
    names = [name for name, value in variables.items() if _recorded(value)]
    return f"recorded: {', '.join(names) or 'none'}"


def _assigned(path: str) -> list[str]:
    """The names that a file assigns at its top level, in order."""
    tree, found = ast.parse(Path(path).read_bytes()), []
    inner = {
        id(n)
        for scope in ast.walk(tree)
        if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda)
        for n in ast.walk(scope)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in inner:
            found.append((node.lineno, node.col_offset, node.id))
    return [name for _, _, name in sorted(found)]


def names_of(variables: dict) -> dict[int, str]:
    """The names of Tensors by id: of variables, and of parameters of modules that are variables."""
    found: dict[int, str] = {}
    for variable, value in variables.items():
        if variable.startswith("__"):
            continue
        if isinstance(value, Tensor):
            found.setdefault(id(value), variable)
        elif isinstance(value, Module):
            for name, parameter in (*value.named_parameters(), *value.named_buffers()):
                found[id(parameter)] = f"{variable}.{name}"
        elif isinstance(value, list | tuple | dict):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for key, item in items:
                if isinstance(item, Tensor):
                    found.setdefault(id(item), f"{variable}[{key!r}]")
    return found


def graph_of(result: Tensor, name: str, names: dict[int, str], record: Record) -> Graph:
    """The recorded computation of `result`."""
    graph = Graph([], [])
    places: dict = {}  # node or leaf -> index of its vertex
    nodes = list(reversed(backward.topological([result.grad_fn])))
    shapes = {result.grad_fn: result.shape}
    for node in nodes:
        for parent, described in zip(node.parents, node.inputs):
            if isinstance(parent, Node):
                shapes[parent] = described[0]
    for node in nodes:
        sources = [_source(graph, places, names, record, node, i) for i in range(len(node.parents))]
        lines = [node.op.name, str(shapes[node])]
        if record.saved.get(node.serial):
            lines.append(f"keeps {_bytes(record.saved[node.serial])}")
        if record.line.get(node.serial):
            lines.append(f"line {record.line[node.serial]}")
        if node is result.grad_fn:
            lines[0] = f"{name} = {lines[0]}"
        places[node] = len(graph.vertices)
        graph.vertices.append(Vertex(node.op.name, "operation", shapes[node], lines))
        for source, described in zip(sources, node.inputs):
            if source is not None:
                graph.edges.append((source, places[node], described[0]))
    return graph


def _source(graph: Graph, places: dict, names: dict, record: Record, node: Node, i: int):
    """The vertex that input i of a node comes from, added if it is new; None for a plain number.

    An input that needs no gradient has no parent in the graph; if it is still alive, the record knows it.
    """
    parent, described = node.parents[i], node.inputs[i]
    if described is None:
        return None
    kind = "constant" if parent is None else "leaf"
    if parent is None and node.serial in record.inputs:
        reference = record.inputs[node.serial][i]
        parent = reference and reference()
    key = (node, i) if parent is None else parent
    if key not in places:
        name = names.get(id(parent), kind)
        places[key] = len(graph.vertices)
        graph.vertices.append(Vertex(name, kind, described[0], [name, str(described[0])]))
    return places[key]


def _bytes(n: int) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n < 1024 or unit == "GiB":
            return f"{n:.0f} {unit}" if unit == "B" or n >= 10 else f"{n:.1f} {unit}"
        n /= 1024


STYLE = {
    "operation": 'shape=box style="rounded,filled" fillcolor="#e8eef7"',
    "leaf": 'shape=box style=filled fillcolor="#dff0d8"',
    "constant": 'shape=box style="filled,dashed" fillcolor="#f5f5f5"',
}


def dot(graph: Graph) -> str:
    """The graph in the DOT language, computed from top to bottom; edges are labeled with shapes."""
    lines = ["digraph {", "  rankdir=TB", '  node [fontname="sans-serif" fontsize=11]', "  edge [fontsize=9]"]
    for i, vertex in enumerate(graph.vertices):
        lines.append(f"  n{i} [label={_quoted(vertex.lines)} {STYLE[vertex.kind]}]")
    for a, b, shape in graph.edges:
        lines.append(f"  n{a} -> n{b} [label={_quoted([str(shape)])}]")
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(lines: list) -> str:
    escaped = [line.replace("\\", "\\\\").replace('"', '\\"') for line in lines]
    return '"' + "\\n".join(escaped) + '"'
