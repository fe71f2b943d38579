"""`with tinygen.profile():` milliseconds, calls and bytes kept for backward, per operation, forward and backward apart.

Outside the block nothing is measured and nothing is in the way: entering puts measuring functions in the place of a
few methods (SWAPPED, at the end), leaving puts back the very objects that stood there.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections import deque
from dataclasses import dataclass, field
from time import perf_counter

from tinygen.engine import backward, primitive
from tinygen.engine.memory import owner
from tinygen.engine.node import Node
from tinygen.engine.primitive import Primitive
from tinygen.engine.tensor import Tensor
from tinygen.nn.parameter import Parameter
from tinygen.optim import Optimizer
from tinygen.profile import report

TAPE = "backward, besides the rows"
_running = threading.Lock()  # held by the profile that is measuring: it swaps methods that all would share


@dataclass(slots=True)
class Tally:
    """Calls, and the seconds in them but in no measured call inside them."""

    calls: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Row:
    """What one operation (by_shape: with inputs of these shapes), the tape or an optimiser has used."""

    operation: str
    shapes: tuple | None = None
    kind: str = "operation"
    forward: Tally = field(default_factory=Tally)
    backward: Tally = field(default_factory=Tally)
    other: Tally = field(default_factory=Tally)
    kept: int = 0
    held: int = 0
    at_peak: int = 0

    def as_dict(self, wall: float) -> dict:
        tallies = self.forward, self.backward, self.other
        seconds = sum(t.seconds for t in tallies)
        shapes = {} if self.shapes is None else {"shapes": [list(shape) for shape in self.shapes]}
        return {
            "operation": self.operation,
            **shapes,
            "kind": self.kind,
            "calls": sum(t.calls for t in tallies),
            "ms": 1e3 * seconds,
            "forward_calls": self.forward.calls,
            "forward_ms": 1e3 * self.forward.seconds,
            "backward_calls": self.backward.calls,
            "backward_ms": 1e3 * self.backward.seconds,
            "kept_bytes": self.kept,
            "peak_bytes": self.at_peak,
            "share": seconds / wall if wall else 0.0,
        }


class profile:
    """Measure every operation of a block.

        with tinygen.profile():                      the table is printed to stderr when the block ends
            loss(net, x).backward()

        with tinygen.profile(show=False) as p:
            ...
        print(p.table(row_limit=10)); p.plot("profile.png"); p.to_json("profile.json")
        p.rows, p.wall_ms, p.peak_bytes

    show      print the table at the end of the block
    by_shape  a row for every combination of input shapes instead of one for the operation

    forward    a call of the operation from outside a backward pass: binding, dtypes, the kernel, recording on the tape
    backward   an operation's derivative rows or fused rule, with all the operations they call, which are not counted
               as forward calls; with create_graph=True what they record is kept by the operation they are rows of
    kept       bytes of arrays that were not held for backward until a call of the operation recorded them, and of
               those `at peak` the bytes among the most that were held at any one time.  An array counts once, with the
               first operation that saves it, a view as all the memory it keeps alive.  The memory of leaves that
               require a gradient and of Parameters is not counted: it lives anyway.

    The times exclude each other, so they add up to at most the time of the block; the rest is Python, data, and this
    measuring itself (a microsecond or two a call).  A function composed of operations (`std`, `gelu`, `batch_norm`)
    appears as those.  Only the thread that entered the block is measured.  The first call of a kernel may include its
    compilation: run a step before the block.  Entering the same profile again adds to it.
    """

    def __init__(self, show: bool = True, by_shape: bool = False) -> None:
        self.show, self.by_shape = show, by_shape
        self.seconds, self._started = 0.0, None
        self._rows: dict[tuple, Row] = {}
        self._nested: list[
            float
        ] = []  # of every measured call that is running, the seconds in those inside it
        self._backward: Row | None = None  # whose derivative is running
        self._thread, self._before = None, []
        self._memory = Memory(self._rows)

    def __enter__(self) -> profile:
        if not _running.acquire(blocking=False):
            raise RuntimeError("profile: another profile is running; expected one at a time")
        self._thread = threading.get_ident()
        for place, name, make in SWAPPED:
            original = vars(place)[name]
            self._before.append((place, name, original))
            setattr(place, name, functools.wraps(original)(make(self, original)))
        self._started = perf_counter()
        return self

    def __exit__(self, *_) -> None:
        self.seconds, self._started = self._elapsed(), None
        while self._before:
            setattr(*self._before.pop())
        self._thread = None
        _running.release()
        if self.show:
            report.show(self)

    def _elapsed(self) -> float:
        return self.seconds + (0.0 if self._started is None else perf_counter() - self._started)

    @property
    def wall_ms(self) -> float:
        """Milliseconds between entering and leaving the block."""
        return 1e3 * self._elapsed()

    @property
    def peak_bytes(self) -> int:
        """The most bytes that were held for backward at any one time."""
        self._memory.settle()
        return self._memory.peak

    @property
    def rows(self) -> list[dict]:
        """A dict for each operation, the tape and each class of optimiser (`kind`), the most time first."""
        self._memory.settle()
        rows = [row.as_dict(self._elapsed()) for row in self._rows.values()]
        return sorted(rows, key=lambda row: -row["ms"])

    def table(self, row_limit: int | None = None) -> str:
        """The rows as aligned text; those after the first `row_limit` as one line."""
        return report.table(self, row_limit)

    __str__ = table

    def __repr__(self) -> str:
        state = "running" if self._started is not None else "not entered" if not self.seconds else "done"
        return f"<profile, {state}: {len(self._rows)} rows, {self.wall_ms:.3g} ms; print it for the table>"

    def plot(self, path=None, row_limit: int = 12):
        """Bars of milliseconds and of bytes kept.  -> matplotlib's Figure, written to `path` where one is given"""
        return report.plot(self, path, row_limit)

    def to_json(self, path) -> None:
        """Write {"wall_ms", "peak_bytes", "rows"}."""
        report.to_json(self, path)

    # what the measuring functions call

    def _row(self, operation: str, shapes=None, kind: str = "operation") -> Row:
        row = self._rows.get((operation, shapes, kind))
        if row is None:
            row = self._rows[operation, shapes, kind] = Row(operation, shapes, kind)
        return row

    def _row_of(self, node: Node) -> Row:
        return self._row(node.op.name, _shapes(node.inputs) if self.by_shape else None)

    def _measured(self, tally: Tally, count: int, function, /, *args, **kwargs):
        """Call `function`; the time in it, but in no measured call inside it, goes to `tally`."""
        nested = self._nested
        nested.append(0.0)
        start = perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            seconds = perf_counter() - start
            tally.seconds += seconds - nested.pop()
            tally.calls += count
            if nested:
                nested[-1] += seconds

    def _in_backward(self, row: Row, count: int, function, /, *args):
        outer, self._backward = self._backward, row
        try:
            return self._measured(row.backward, count, function, *args)
        finally:
            self._backward = outer


# What is kept for backward


class Kept(dict):
    """What a node saves, telling the profile when the node lets go of it."""

    __slots__ = ("memories", "released")

    def __del__(self) -> None:
        self.released.append(self.memories)


class Memory:
    """Which memory the tape holds because of which row.

    Memory is known by the id of the array that owns it, which something holds as long as the id is used here.

    holders   id -> [how many nodes hold it, bytes, the row of the first]
    released  what nodes have let go of since; appended to by `Kept.__del__`, at any time and in any thread
    """

    def __init__(self, rows: dict) -> None:
        self.rows, self.holders, self.released = rows, {}, deque()
        self.now = self.peak = 0
        self.leaves: dict[int, weakref.ref] = {}

    def exclude(self, array) -> None:
        """Do not count this array's memory: a leaf's, which lives whether the tape holds it or not."""
        array = owner(array)
        key = id(array)
        if key not in self.leaves:
            self.leaves[key] = weakref.ref(array, lambda _: self.leaves.pop(key, None))

    def hold(self, row: Row, node: Node) -> None:
        self.settle()
        memories = set()
        for saved in node.saved.values():
            array = owner(getattr(saved, "array", saved))  # what `keeps` names is a bare array
            key = id(array)
            if key in self.leaves or key in memories:
                continue
            memories.add(key)
            if key not in self.holders:
                self.holders[key] = [0, array.nbytes, row]
                row.kept += array.nbytes
                row.held += array.nbytes
                self.now += array.nbytes
            self.holders[key][0] += 1
        node.saved = Kept(node.saved)
        node.saved.memories, node.saved.released = memories, self.released

    def settle(self) -> None:
        """Take note of a peak, then of what was let go of."""
        if self.now > self.peak:
            self.peak = self.now
            for row in self.rows.values():
                row.at_peak = row.held
        while self.released:
            for key in self.released.popleft():
                holder = self.holders[key]
                holder[0] -= 1
                if not holder[0]:
                    _, nbytes, row = self.holders.pop(key)
                    row.held -= nbytes
                    self.now -= nbytes


# What stands in the place of the methods inside the block: maker(profile, original) -> the measuring function


def _operation(p: profile, original):
    def __call__(op, /, *inputs, **attrs):
        if threading.get_ident() != p._thread:
            return original(op, *inputs, **attrs)
        row = p._backward
        if row is not None:
            result = original(op, *inputs, **attrs)
        else:
            row = p._row(op.name, _shapes_of_call(op, inputs, attrs) if p.by_shape else None)
            result = p._measured(row.forward, 1, original, op, *inputs, **attrs)
        for x in (*inputs, *attrs.values()):
            if isinstance(x, Tensor) and x._edge is None and (x._requires_grad or isinstance(x, Parameter)):
                p._memory.exclude(x._data)
        if result._edge is not None and result._edge.saved:
            p._memory.hold(row, result._edge)
        return result

    return __call__


def _derivative(count: int):
    """A node's rows, and (not a call of its own) what makes their results fit its inputs."""

    def make(p: profile, original):
        def measured(node, *args):
            if threading.get_ident() != p._thread:
                return original(node, *args)
            return p._in_backward(p._row_of(node), count, original, node, *args)

        return measured

    return make


def _tape(count: int):
    def make(p: profile, original):
        def measured(*args):
            if threading.get_ident() != p._thread:
                return original(*args)
            return p._in_backward(p._row(TAPE, kind="tape"), count, original, *args)

        return measured

    return make


def _step(p: profile, original):
    def step(optimizer, *args, **kwargs):
        if threading.get_ident() != p._thread:
            return original(optimizer, *args, **kwargs)
        row = p._row(f"{type(optimizer).__name__}.step", kind="optimiser")
        return p._measured(row.other, 1, original, optimizer, *args, **kwargs)

    return step


def _shapes(inputs) -> tuple:
    """The shapes of the Tensors among a node's inputs."""
    return tuple(entry[0] for entry in inputs if entry is not None)


def _shapes_of_call(op: Primitive, inputs, attrs) -> tuple:
    """What `_shapes` will find in the node of this call; () where the call is wrong and will say so."""
    if op.variadic is None and len(inputs) != len(op.input_names):
        try:
            inputs, _ = primitive.calls.bind(op, inputs, dict(attrs))
        except TypeError:
            return ()
    return tuple(x.shape for x in inputs if isinstance(x, Tensor))


SWAPPED = (
    (Primitive, "__call__", _operation),
    (Node, "input_gradients", _derivative(1)),
    (backward, "_fit", _derivative(0)),
    (backward, "_sweep", _tape(1)),
    (backward, "_accumulate", _tape(0)),
    (backward, "_own", _tape(0)),
    (Optimizer, "step", _step),
)
