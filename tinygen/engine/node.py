"""What a recorded operation leaves behind: a Node, with the arrays its derivative rows name.

The Nodes are the tape.  Each refers to the Nodes its inputs came from, so a result keeps its own history alive, and
the history is freed with it.  `op` is the operation, a Primitive: the next file, whose docstring says what an
operation is, a row and a fused rule.
"""

from __future__ import annotations

import inspect
import itertools

from tinygen.engine.errors import refusal, said_by
from tinygen.engine.memory import Guard, alias
from tinygen.engine.tensor import Tensor

_serial = itertools.count()


class Saved:
    """One array kept for backward, with its version and its place in the graph (`edge`, see Tensor)."""

    __slots__ = ("array", "edge", "guard", "version")

    def __init__(self, tensor, edge) -> None:
        guard = tensor._guard
        if guard is None:
            guard = tensor._guard = Guard()
        self.array = tensor._data
        if guard.exposed:
            self.array, guard = self.array.copy(), Guard()
        self.guard, self.version, self.edge = guard, guard.version, edge
        guard.saves += 1

    def __del__(self) -> None:
        self.guard.saves -= 1


class Node:
    """One recorded operation.  It never holds its own output Tensor, so the two are no reference cycle.

    parents    for each input where its gradient goes: a Node, a leaf Tensor, or None if it needs no gradient
    inputs     for each input its (shape, dtype), or None if it was not a Tensor
    attrs      the plain values, by name
    saved      what the rows name, by name: Saved, or a bare array for the names in `op.keeps`; None once freed
    serial     larger than those of all Nodes it was computed from
    hooks      functions that see the gradient of the output (callers may add them: face/gradient_hooks.py), or None
    retained   a weak reference to the output Tensor if callers want its `.grad` (`retain_grad`), or None
    """

    __slots__ = ("attrs", "hooks", "inputs", "op", "parents", "retained", "saved", "serial")

    def __init__(self, op, parents, inputs, attrs, saved) -> None:
        self.op, self.parents, self.inputs, self.attrs, self.saved = op, parents, inputs, attrs, saved
        self.serial = next(_serial)
        self.retained = self.hooks = None

    def __repr__(self) -> str:
        return f"<{self.op.name}>"

    def restore(self, name: str, record: bool):
        """The saved array `name` as a Tensor; an error if it was written to after the forward.

        Where the rows are recorded, it gets its old place in the graph.  A leaf is not restored as the same object, so
        its place is the leaf itself: gradients of the gradient go there.
        """
        saved = self.saved[name]
        if saved.guard.version != saved.version:
            message = (
                f"backward of {self.op.name}: {self._describe(name, saved)} was changed in place after the forward "
                f"(version {saved.version}, now {saved.guard.version})"
            )
            raise said_by("backward", RuntimeError(message))
        tensor = Tensor._wrap(saved.array)
        tensor._guard = saved.guard
        if record:
            edge = self if name == "y" else saved.edge
            if edge is not None:
                tensor._edge, tensor._requires_grad = edge, True
        return tensor

    def _describe(self, name: str, saved: Saved) -> str:
        return f"{'its output' if name == 'y' else name} {saved.array.shape}"

    def input_gradients(self, g, wanted: list, record: bool) -> list:
        """One gradient per input (None where `wanted` is None), from the fused rule or the rows."""
        op = self.op
        if self.saved is None:
            message = (
                f"backward through {op.name} a second time: what it saved was freed by the first; "
                "call the first with retain_graph=True"
            )
            raise said_by("backward", RuntimeError(message))
        if op.fused_rule is not None and not record:
            return self._fused(g, wanted)
        known = RowArguments(self, g, record)
        rows = itertools.repeat(op.rows[0]) if op.variadic else op.rows
        return [None if edge is None else row(known, i) for i, (edge, row) in enumerate(zip(wanted, rows))]

    def _fused(self, g, wanted: list) -> list:
        rule, names = self.op.fused_rule, self.op.fused_names
        known = RowArguments(self, g, False)
        known["needs"] = tuple(edge is not None for edge in wanted)
        values = {name: known[name] for name in names}
        arrays = rule(**{n: v._data if isinstance(v, Tensor) else v for n, v in values.items()})
        known_arrays = [v for v in values.values() if isinstance(v, Tensor)]
        results = []
        for edge, array in zip(wanted, arrays):
            gradient = None if edge is None or array is None else Tensor._wrap(array)
            for tensor in known_arrays:
                if gradient is not None and tensor._data is array:  # the rule returned one of its arguments
                    alias(gradient, tensor)
            results.append(gradient)
        return results


class RowArguments(dict):
    """The values a row may name, each looked up on first use."""

    __slots__ = ("node", "record")

    def __init__(self, node: Node, g, record: bool) -> None:
        super().__init__(node.attrs, g=g)
        self.node, self.record = node, record

    def __missing__(self, name: str):
        node, op = self.node, self.node.op
        if name in op.shape_names:
            if op.variadic:
                value = [entry and entry[0] for entry in node.inputs]
            else:
                entry = node.inputs[op.shape_names[name]]
                value = entry and entry[0]  # None for an input that was not given
        elif op.variadic == name:
            value = [node.restore(f"{name}{i}", self.record) for i in range(len(node.inputs))]
        elif name in op.keeps:
            value = node.saved[name]
        elif name in node.saved:
            value = node.restore(name, self.record)
        else:
            value = None  # an optional input that was not given
        self[name] = value
        return value


def bind_row(op, row):
    """The row as a function of (RowArguments, index of the input), and the names of the arrays it needs saved."""
    code = row.__code__  # inspect.signature takes ten times as long, and there are hundreds of rows
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    takes_rest = code.co_flags & inspect.CO_VARKEYWORDS
    check_names(op, names, f"{op.name}.vjp")
    rest = tuple(n for n in op.attr_names if n not in names) if takes_rest else ()

    def run_row(known, i):
        known["i"] = i
        if rest:
            return row(**{name: known[name] for name in names + rest})
        return row(*[known[name] for name in names])  # passing by position is faster

    return run_row, tuple(n for n in names if op.is_array_name(n))


def check_names(op, names, where: str) -> None:
    known = {"g", "y", "i", "needs", *op.input_names, *op.attr_names, *op.shape_names, *op.keeps}
    known.add(op.variadic)
    unknown = [n for n in names if n not in known]
    if unknown:
        raise refusal(
            where,
            TypeError,
            f"no value is called {unknown[0]!r}; known: {', '.join(sorted(filter(None, known)))}",
        )
