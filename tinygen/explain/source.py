"""Source text with its location: of functions, of lambdas that share a line with others, of comments beside them."""

from __future__ import annotations

import ast
import functools
import inspect
import io
import textwrap
import tokenize
from pathlib import Path
from types import FunctionType
from typing import NamedTuple

from tinygen.engine.primitive import Primitive

ROOT = Path(__file__).parents[2]  # the folder of the package
DECLARING = {"operation", "_operation", "named"}  # decorators that say what a function is to callers


class Listing(NamedTuple):
    """A piece of source: its location `tinygen/ops/softmax.py:22`, its dedented text, its comments."""

    where: str
    text: str
    comment: str = ""


class _File(NamedTuple):
    lines: list
    tree: ast.Module
    comments: dict  # line number: the comment without its #


@functools.cache
def _read(path: str) -> _File:
    text = Path(path).read_text(encoding="utf-8")
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}
    comments = {line: c for line, c in comments.items() if not c.startswith(("fmt:", "noqa", "ruff:"))}
    return _File(text.splitlines(), ast.parse(text), comments)


def plain(function):
    """The function as written, without wrappers that export or record it: the same for all names of a function."""
    return inspect.unwrap(function)


def same(f, g) -> bool:
    return plain(f) is plain(g)


def where(function) -> str:
    """The file and line of a function, from the package's root: `tinygen/kernels/softmax/reference.py:17`."""
    if isinstance(function, type):
        return _place(function.__module__, _class_node(function).lineno)
    return _place(plain(function).__module__, plain(function).__code__.co_firstlineno)


def _place(module: str, line: int) -> str:
    return f"{module.replace('.', '/')}.py:{line}"


def _class_node(cls: type):
    """The statement that defines a class: `class ReLU` or `ReLU = …`."""
    for node in _read(inspect.getsourcefile(inspect.getmodule(cls))).tree.body:
        if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
            return node
        if isinstance(node, ast.Assign) and any(ast.unparse(t) == cls.__name__ for t in node.targets):
            return node
    raise LookupError(f"no definition of {cls.__name__} in {cls.__module__}")


def layer(cls: type) -> Listing:
    """The forward of a layer, or for a layer made from a function the line that makes it."""
    node = _class_node(cls)
    if isinstance(node, ast.ClassDef):
        return definition(cls.forward)
    lines = _read(inspect.getsourcefile(inspect.getmodule(cls))).lines
    return Listing(where(cls), "\n".join(lines[node.lineno - 1 : node.end_lineno]))


def _node(function: FunctionType):
    """The lambda or the definition of a function in its file."""
    code = function.__code__
    found = [
        node
        for node in ast.walk(_read(code.co_filename).tree)
        if isinstance(node, ast.Lambda | ast.FunctionDef) and _first_line(node) == code.co_firstlineno
    ]
    if len(found) > 1:  # several lambdas on one line
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        found = [node for node in found if tuple(_argument_names(node)) == names] or found
        same = [node for node in found if isinstance(node, ast.Lambda) and _same_code(node, code)]
        found = same or found
    return found[0]


def _first_line(node) -> int:
    return min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])


def _argument_names(node) -> list[str]:
    return [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]


def _same_code(node: ast.Lambda, code) -> bool:
    module = compile(ast.Expression(node), "", "eval")
    made = next(c for c in module.co_consts if hasattr(c, "co_code"))
    return (made.co_code, made.co_names, made.co_consts) == (code.co_code, code.co_names, code.co_consts)


def definition(function, docstring: bool = True) -> Listing:
    """The source of a function with the comment above it and its decorators, except `@operation` and `@named`.

    docstring   False leaves the docstring out
    """
    function = plain(function)
    node, file = _node(function), _read(function.__code__.co_filename)
    if isinstance(node, ast.Lambda):
        return row(function)
    rows = list(range(_first_line(node), node.end_lineno + 1))
    if not docstring and ast.get_docstring(node) is not None and len(node.body) > 1:
        first = node.body[0]
        rows = [n for n in rows if not first.lineno <= n <= first.end_lineno]
    above = _block_above(file, rows[0])
    for decorator in node.decorator_list:
        if _called(decorator) in DECLARING:
            rows = [n for n in rows if not decorator.lineno <= n <= decorator.end_lineno]
    rows = above + rows
    text = textwrap.dedent("\n".join(file.lines[n - 1] for n in rows))
    return Listing(where(function), text)


def _called(decorator) -> str:
    return ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)


def row(function) -> Listing:
    """The source of a derivative row, a lambda or a named function, with the comment that gives its reason.

    Comments above the statement, or on a line that several rows share, are in `statement_comment`.
    """
    function = plain(function)
    node, file = _node(function), _read(function.__code__.co_filename)
    if isinstance(node, ast.FunctionDef):
        return definition(function)
    text = _segment(file, node)
    statement = _statement(file, node)
    own = _comment_lines(file, statement, node) if statement else []
    return Listing(where(function), text, " ".join(file.comments[n] for n in own))


def _comment_lines(file: _File, statement, node) -> list[int]:
    """The lines with a row's own comments: above it within the statement, and on its lines if no other row shares
    them."""
    lambdas = [n for n in ast.walk(statement) if isinstance(n, ast.Lambda)]
    if sum(n.lineno <= node.end_lineno and node.lineno <= n.end_lineno for n in lambdas) > 1:
        return []
    above = _block_above(file, node.lineno, statement.lineno)
    return above + [n for n in range(node.lineno, node.end_lineno + 1) if n in file.comments]


def _block_above(file: _File, line: int, first: int = 0) -> list[int]:
    """The comment lines directly above a line and below line `first`."""
    start = line
    while start - 1 > first and file.lines[start - 2].lstrip().startswith("#"):
        start -= 1
    return [n for n in range(start, line) if n in file.comments]


def _segment(file: _File, node) -> str:
    """The text of an expression, with its continuation lines dedented to its beginning or four columns further."""
    first, _, rest = ast.get_source_segment("\n".join(file.lines), node).partition("\n")
    rest = textwrap.dedent(rest)
    closes = rest.rpartition("\n")[2].startswith((")", "]", "}"))
    return "\n".join([first, rest if closes else textwrap.indent(rest, "    ")]) if rest else first


def _statement(file: _File, node):
    """The top-level statement around an expression."""
    return next(
        (s for s in file.tree.body if s.lineno <= node.lineno and node.end_lineno <= s.end_lineno), None
    )


def statement_comment(rows) -> str:
    """The comments above `name.vjp(` and on those of its lines that belong to no single row."""
    rows = [plain(r) for r in rows if r is not None and plain(r).__name__ == "<lambda>"]
    if not rows:
        return ""
    file, nodes = _read(rows[0].__code__.co_filename), [_node(r) for r in rows]
    statement = _statement(file, nodes[0])
    if statement is None:
        return ""
    taken = {n for node in nodes for n in _comment_lines(file, statement, node)}
    inside = [
        n for n in range(statement.lineno, statement.end_lineno + 1) if n in file.comments and n not in taken
    ]
    return " ".join(file.comments[n] for n in _block_above(file, statement.lineno) + inside)


def uses(function) -> list:
    """The functions and primitives that a function's source refers to, each once, in order of appearance."""
    function = plain(function)
    known = dict(function.__globals__)
    known.update(inspect.getclosurevars(function).nonlocals)
    local = set(function.__code__.co_varnames)
    found = {}
    definition = _node(function)
    declared = [d for d in getattr(definition, "decorator_list", []) if _called(d) in DECLARING]
    skipped = {id(n) for decorator in declared for n in ast.walk(decorator)}
    for node in _in_order(definition):
        value = None
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Name) and node.id not in local:
            value = known.get(node.id)
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id not in local
        ):
            value = getattr(known.get(node.value.id), node.attr, None)
        if isinstance(value, Primitive | FunctionType):
            found[plain(value)] = value
    return list(found.values())


def _in_order(node):
    nodes = [n for n in ast.walk(node) if hasattr(n, "lineno")]
    return sorted(nodes, key=lambda n: (n.lineno, n.col_offset))


def array_calls(function) -> dict[str, list[str]]:
    """The names that a forward uses from `kernels` and from the array module: {"kernels": […], "numpy": […]}.

    array_module(x).f, xp.f and np.f are NumPy's f, and so is the method x.f of an input.
    """
    node = _node(plain(function))
    inputs = set(_argument_names(node))
    found: dict[str, dict] = {"kernels": {}, "numpy": {}}
    called = {id(n.func) for n in ast.walk(node) if isinstance(n, ast.Call)}
    for n in _in_order(node):
        if not isinstance(n, ast.Attribute):
            if isinstance(n, ast.Subscript) and isinstance(n.value, ast.Name) and n.value.id in inputs:
                found["numpy"]["x[…]"] = True
            continue
        base = n.value
        if isinstance(base, ast.Call) and ast.unparse(base.func) == "kernels.array_module":
            found["numpy"][n.attr] = True
        elif isinstance(base, ast.Attribute) and base.attr == "_data" and id(n) in called:
            found["numpy"][n.attr] = True
        elif isinstance(base, ast.Name) and base.id == "kernels" and n.attr != "array_module":
            found["kernels"][n.attr] = True
        elif isinstance(base, ast.Name) and base.id in ("xp", "np") and id(n) in called:
            found["numpy"][n.attr] = True
        elif isinstance(base, ast.Name) and base.id in inputs and id(n) in called and n.attr != "_data":
            found["numpy"][n.attr] = True
    return {kind: list(names) for kind, names in found.items()}
