"""The derivatives of primitives: the comments and the source of their rows."""

from __future__ import annotations

import inspect

from tinygen.engine.primitive import Primitive
from tinygen.explain import source
from tinygen.explain.names import is_public
from tinygen.explain.page import Page


def derivatives(page: Page, primitives: list) -> None:
    """One block per input of every primitive, the fused backward rules, and the helpers that rows call."""
    page.section("Derivatives")
    with_rows = [op for op in primitives if op.differentiable]
    if not with_rows:
        page.prose(f"{primitives[0].__name__} has no derivative rows: nothing is recorded.")
        return
    page.prose(
        "Let L be a number computed from the result. Backward hands every recorded primitive g = ∂L/∂y, y its output, "
        "and each row turns it into ∂L/∂(one input). A row is given what it names:"
    )
    page.table(_glossary(with_rows), indent=6)
    page.prose(
        "Only what it names is kept in memory until then. Rows are written with operations, so they are themselves "
        "recorded and differentiated: second derivatives need no rows of their own."
    )
    if any(len(op.input_names) > 1 or op.promote for op in with_rows):
        page.prose(
            "Where the forward broadcast an input, the tape sums the row's result back to the input's shape."
        )
    helpers: dict = {}
    for op in primitives:
        _primitive(page, op, helpers)
    _helpers(page, helpers, primitives)


def _glossary(primitives) -> list[tuple[str, str]]:
    """The meaning of the names that occur in these rows."""
    seen: dict[str, set] = {}
    for op in primitives:
        for row in op.sources:
            for p in inspect.signature(row).parameters.values() if row else ():
                seen.setdefault(_kind(op, p), set()).add("**" + p.name if p.kind is p.VAR_KEYWORD else p.name)
    variadic = any(op.variadic for op in primitives)
    words = {
        "g": "∂L/∂y, the incoming gradient, in the shape of y",
        "y": "the output of the forward",
        "inputs": "an input of the forward",
        "shapes": "the shapes of all inputs, without their numbers"
        if variadic
        else "an input's shape, without its numbers",
        "options": "what the forward was called with besides",
        "rest": "all that the forward was called with besides",
        "kept": "an array that the forward kept beside its output",
        "i": "which of the inputs the row is asked for",
    }
    declared = [name for op in primitives for name in (*op.input_names, *op.attr_names)]
    order = {name: n for n, name in reversed(list(enumerate(declared)))}

    def place(name: str) -> int:
        return order.get(name.removesuffix("_shape"), 0)

    return [(", ".join(sorted(seen[kind], key=place)), what) for kind, what in words.items() if kind in seen]


def _kind(op: Primitive, parameter) -> str:
    name = parameter.name
    if parameter.kind is parameter.VAR_KEYWORD:
        return "rest"
    if name in op.input_names or name == op.variadic:
        return "inputs"
    if name in ("g", "y", "i"):
        return name
    if name in op.shape_names:
        return "shapes"
    return "kept" if name in op.keeps else "options"


def _primitive(page: Page, op: Primitive, helpers: dict) -> None:
    page.blank()
    inputs = [f"*{op.variadic}"] if op.variadic else op.input_names
    options = f"; {', '.join(op.attr_names)}" if op.attr_names else ""
    page.prose(f"y = {op.__name__}({', '.join(inputs)}{options})")
    if not op.differentiable:
        page.prose("No rows: no gradient flows through it.", 4)
        return
    _rows(page, op)
    for row in filter(None, op.sources):
        _collect(row, helpers)
    if op.fused_rule is not None:
        rule = source.plain(op.fused_rule)
        listing = source.row(rule)
        page.entry("fused", "the same at once, in a backward without create_graph=True", listing.where)
        page.code(listing.text, 8)
        if listing.comment:
            page.prose(listing.comment, 8)


def _rows(page: Page, op: Primitive) -> None:
    """A block for each input: the comment beside its row, if any, and the row."""
    comment = source.statement_comment(op.sources)
    if comment:
        page.prose(comment, 4)
    for name, row in zip([f"{op.variadic}[i]"] if op.variadic else op.input_names, op.sources):
        if row is None:
            page.entry(f"∂L/∂{name}", "none: no gradient flows to this input")
            continue
        listing = source.row(row)
        page.entry(f"∂L/∂{name}", where=listing.where)
        if listing.comment:
            page.prose(listing.comment, 8)
        page.code(listing.text, 8)


def _collect(row, helpers: dict) -> None:
    """Collect the functions that a row calls and that are not public, and those that they call."""
    for f in source.uses(row):
        if f.__module__.startswith("tinygen.ops") and not is_public(f) and source.plain(f) not in helpers:
            helpers[source.plain(f)] = f
            _collect(f, helpers)


def _helpers(page: Page, helpers: dict, primitives: list) -> None:
    left = [f for f in helpers.values() if not any(f is op for op in primitives)]
    if left:
        page.blank()
        page.prose("The rows call, beside public operations:")
    for f in left:
        page.listing(source.definition(f))
        if isinstance(f, Primitive) and f.differentiable:
            _rows(page, f)
