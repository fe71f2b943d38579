"""`with tinygen.profile():` milliseconds, calls and bytes kept for backward, per operation, forward and backward apart.

Outside the block nothing is measured and nothing is slower.  Inside, two methods are replaced (the call of a Primitive
and an optimizer's step), and backward has an observer.  The other files of this folder are imported on first use.
"""

from __future__ import annotations

import contextlib
import threading
from time import perf_counter
from typing import TYPE_CHECKING

from tinygen.engine import backward
from tinygen.engine.node import Node
from tinygen.engine.primitive import Primitive
from tinygen.engine.tensor import Tensor
from tinygen.nn.parameter import Parameter
from tinygen.optim import Optimizer

if TYPE_CHECKING:
    from tinygen.profile.rows import Row, Tally

TAPE = "backward, besides the rows"
_running = threading.Lock()  # held by the profile that is measuring, since all share the methods it replaces


class profile:
    """Measure every operation of a block.

        with tinygen.profile():                      prints a table to stderr when the block ends
            loss(net, x).backward()

        with tinygen.profile(show=False) as p:
            ...
        print(p.table(row_limit=10)); p.plot("profile.png"); p.to_json("profile.json")
        p.rows, p.wall_ms, p.peak_bytes

    show      print the table at the end of the block
    by_shape  one row per combination of input shapes instead of one per operation

    forward    calls of the operation from outside a backward pass: binding, dtypes, the kernel, recording on the tape
    backward   the operation's derivative rows or fused rule, with all the operations they call, which do not count as
               forward calls; with create_graph=True what they record counts as kept by the operation itself
    kept       bytes of arrays that a call of the operation was the first to save for backward; `at peak`: its share of
               the most that was held at any one time.  An array counts once, for the first operation that saves it,
               and a view counts as all the memory it keeps alive.  Leaves that require a gradient and Parameters do
               not count, since they stay alive anyway.

    The times do not overlap, so they add up to at most the time of the block.  The rest is Python, data, and the
    measuring itself (a microsecond or two a call).  A function composed of operations (`std`, `gelu`, `batch_norm`)
    appears as those operations.  Only the thread that entered the block is measured.  The first call of a kernel may
    include its compilation: run a step before the block.  Entering the same profile again adds to it.
    """

    def __init__(self, show: bool = True, by_shape: bool = False) -> None:
        self.show, self.by_shape = show, by_shape
        self.seconds, self._started = 0.0, None
        self._rows: dict[tuple, Row] = {}
        self._nested: list[float] = []  # per running measured call, the seconds in those inside it
        self._backward: Row | None = None  # the row whose derivative is running
        self._thread, self._watching = None, contextlib.ExitStack()
        from tinygen.profile.kept import Memory

        self._memory = Memory(self._rows)

    def __enter__(self) -> profile:
        if not _running.acquire(blocking=False):
            raise RuntimeError("profile: another profile is running; expected one at a time")
        from tinygen.profile.watch import replaced

        self._thread = threading.get_ident()
        self._watching.enter_context(replaced(Primitive, "__call__", self._operation))
        self._watching.enter_context(replaced(Optimizer, "step", self._optimizer_step))
        backward.observer = self._observe
        self._started = perf_counter()
        return self

    def __exit__(self, *_) -> None:
        self.seconds, self._started = self._elapsed(), None
        backward.observer = None
        self._watching.close()
        self._thread = None
        _running.release()
        if self.show:
            from tinygen.profile import report

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
        """A dict for each operation, the tape and each class of optimizer (`kind`), those with the most time first."""
        self._memory.settle()
        rows = [row.as_dict(self._elapsed()) for row in self._rows.values()]
        return sorted(rows, key=lambda row: -row["ms"])

    def table(self, row_limit: int | None = None) -> str:
        """The rows as an aligned table; those after the first `row_limit` in one line."""
        from tinygen.profile import report

        return report.table(self, row_limit)

    __str__ = table

    def __repr__(self) -> str:
        state = "running" if self._started is not None else "not entered" if not self.seconds else "done"
        return f"<profile, {state}: {len(self._rows)} rows, {self.wall_ms:.3g} ms; print it for the table>"

    def plot(self, path=None, row_limit: int = 12):
        """Plot bars of milliseconds and of bytes kept.  -> a matplotlib Figure, also written to `path` if given"""
        from tinygen.profile import report

        return report.plot(self, path, row_limit)

    def to_json(self, path) -> None:
        """Write {"wall_ms", "peak_bytes", "rows"}."""
        from tinygen.profile import report

        report.to_json(self, path)

    # what stands in place of the two methods, and the observer of backward

    def _operation(self, call):
        """Measure the calls of a Primitive, and the memory that they record."""

        def __call__(op, /, *inputs, **attrs):
            if threading.get_ident() != self._thread:
                return call(op, *inputs, **attrs)
            row = self._backward
            if row is not None:
                result = call(op, *inputs, **attrs)
            else:
                row = self._row(op.name, _shapes_of_call(op, inputs, attrs) if self.by_shape else None)
                result = self._measured(row.forward, 1, call, op, *inputs, **attrs)
            for x in (*inputs, *attrs.values()):
                if isinstance(x, Tensor) and x.is_leaf and (x.requires_grad or isinstance(x, Parameter)):
                    self._memory.exclude(x._data)
            node = result._edge
            if node is not None and node.saved:
                self._memory.hold(row, node)
            return result

        return __call__

    def _optimizer_step(self, call):
        def step(optimizer, *args, **kwargs):
            if threading.get_ident() != self._thread:
                return call(optimizer, *args, **kwargs)
            row = self._row(f"{type(optimizer).__name__}.step", kind="optimiser")
            return self._measured(row.other, 1, call, optimizer, *args, **kwargs)

        return step

    def _observe(self, step: str, node: Node | None, function, /, *args):
        """Measure a part of backward: a sweep, one node's rows, or the fitting of their results to the inputs."""
        if threading.get_ident() != self._thread:
            return function(*args)
        if node is None:
            row = self._row(TAPE, kind="tape")
        else:
            row = self._row(node.op.name, _shapes(node.inputs) if self.by_shape else None)
        outer, self._backward = self._backward, row
        try:
            return self._measured(row.backward, 0 if step == "fit" else 1, function, *args)
        finally:
            self._backward = outer

    def _row(self, operation: str, shapes=None, kind: str = "operation") -> Row:
        row = self._rows.get((operation, shapes, kind))
        if row is None:
            from tinygen.profile.rows import Row

            row = self._rows[operation, shapes, kind] = Row(operation, shapes, kind)
        return row

    def _measured(self, tally: Tally, count: int, function, /, *args, **kwargs):
        """Call `function`; its time, without that of measured calls inside it, is added to `tally`."""
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


def _shapes(inputs) -> tuple:
    """The shapes of the Tensors among a node's inputs."""
    return tuple(entry[0] for entry in inputs if entry is not None)


def _shapes_of_call(op: Primitive, inputs, attrs) -> tuple:
    """What `_shapes` will find in the node of this call; () if the call is wrong, which it will report itself."""
    try:
        from tinygen.profile.watch import inputs_of

        return tuple(x.shape for x in inputs_of(op, inputs, attrs) if isinstance(x, Tensor))
    except TypeError:
        return ()
