"""The tape: what an operation leaves behind in the forward, and how backward walks it.

A `Primitive` is a forward on arrays plus one derivative row per array input, bound by name:

    @primitive
    def exp(x):
        return kernels.exp(x)

    exp.vjp(lambda g, y: g * y)

A row sees Tensors: `g` the incoming gradient, `y` the output, an input's own name that input, `x_shape` its shape
alone, any keyword of the forward by its name, `**at` all of them.  Only what a row names is kept alive.  Rows are
written with operations, so with `create_graph=True` they are recorded in turn and gradients of any order exist.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import threading
from types import MethodType

import numpy as np

from tinygen import dtypes
from tinygen.dtypes import DtypeError, ShapeError

_serial = itertools.count()
_quiet = np.errstate(all="ignore")  # overflow and 0/0 give inf and nan without a warning, as in PyTorch


_EXPLAINED = (ValueError, IndexError, TypeError, OverflowError, ZeroDivisionError)


class _Mode(threading.local):
    recording = True


_mode = _Mode()


class _SetRecording:
    """Switch the tape on or off in this thread: for a block, or decorating a function or a generator."""

    def __init__(self, recording: bool) -> None:
        self.recording, self.before = recording, []

    def __enter__(self) -> None:
        self.before.append(_mode.recording)
        _mode.recording = self.recording

    def __exit__(self, *_) -> None:
        _mode.recording = self.before.pop()

    def __call__(self, function):
        """The function with the tape switched in every call; a generator while it runs, not while it waits."""
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def switched(*args, **kwargs):
                steps, send, value = function(*args, **kwargs), None, None
                while True:
                    with _SetRecording(self.recording):
                        try:
                            value = steps.send(send)
                        except StopIteration as end:
                            return end.value
                    try:
                        send = yield value
                    except BaseException:
                        steps.close()
                        raise

        else:

            @functools.wraps(function)
            def switched(*args, **kwargs):
                with _SetRecording(self.recording):  # a fresh one: two threads may be in here at once
                    return function(*args, **kwargs)

        return switched


def no_grad(function=None):
    """Record nothing inside `with no_grad():`; also a decorator, `@no_grad()` or `@no_grad`."""
    return _SetRecording(False) if function is None else _SetRecording(False)(function)


def enable_grad(function=None):
    """Record again inside a `no_grad` block; also a decorator."""
    return _SetRecording(True) if function is None else _SetRecording(True)(function)


def is_grad_enabled() -> bool:
    return _mode.recording


class Guard:
    """What all Tensors over one piece of memory share, so that mutate-then-backward is never silent.

    version   raised by every write through the Tensor API; backward compares it with the one it saved
    saves     how many tape entries hold this memory: while any does, item assignment is refused and `.numpy()`
              hands out a read-only view
    exposed   somebody outside may hold a writable NumPy view: what the tape saves of it is a copy
    aliased   more than one Tensor was made over this memory
    """

    __slots__ = ("aliased", "exposed", "saves", "version")

    def __init__(self) -> None:
        self.version = self.saves = 0
        self.exposed = self.aliased = False


class Saved:
    """One array kept for backward, and how to make it a Tensor of the same graph again."""

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
    """One recorded operation: its parents in the graph and the arrays its derivative rows name.

    `parents[i]` is where the gradient of input i goes: a Node, a leaf Tensor, or None when input i needs none.  A
    node never holds its own output Tensor, so there is no reference cycle.
    """

    __slots__ = ("attrs", "inputs", "op", "parents", "retained", "saved", "serial")

    def __init__(self, op, parents, inputs, attrs, saved) -> None:
        self.op, self.parents, self.inputs, self.attrs, self.saved = op, parents, inputs, attrs, saved
        self.serial = next(_serial)
        self.retained = None

    def __repr__(self) -> str:
        return f"<{self.op.name}>"

    def restore(self, name: str, record: bool):
        """The saved array `name` as a Tensor again; refuse one that was written to after the forward."""
        saved = self.saved[name]
        if saved.guard.version != saved.version:
            raise RuntimeError(
                f"backward of {self.op.name}: {self._describe(name, saved)} was changed in place after the forward "
                f"(version {saved.version}, now {saved.guard.version})"
            )
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
        """One gradient per input (None where `wanted` is None), by the fused rule or the rows."""
        op = self.op
        if self.saved is None:
            raise RuntimeError(
                f"backward through {op.name} a second time: what it saved was freed by the first; "
                "call the first with retain_graph=True"
            )
        if op.fused_rule is not None and not record:
            return self._fused(g, wanted)
        known = _RowArguments(self, g, record)
        return [None if edge is None else op.row(i)(known, i) for i, edge in enumerate(wanted)]

    def _fused(self, g, wanted: list) -> list:
        rule, names = self.op.fused_rule, self.op.fused_names
        known = _RowArguments(self, g, False)
        known["needs"] = tuple(edge is not None for edge in wanted)
        values = {name: known[name] for name in names}
        arrays = rule(**{n: v._data if isinstance(v, Tensor) else v for n, v in values.items()})
        known_arrays = [v for v in values.values() if isinstance(v, Tensor)]
        results = []
        for edge, array in zip(wanted, arrays):
            gradient = None if edge is None or array is None else Tensor._wrap(array)
            for tensor in known_arrays:
                if gradient is not None and tensor._data is array:  # the rule handed on what it was given
                    _alias(gradient, tensor)
            results.append(gradient)
        return results


class _RowArguments(dict):
    """What a row may name, made on demand."""

    __slots__ = ("node", "record")

    def __init__(self, node: Node, g, record: bool) -> None:
        super().__init__(node.attrs, g=g)
        self.node, self.record = node, record

    def __missing__(self, name: str):
        node, op = self.node, self.node.op
        if name.endswith("_shape") and name in op.shape_names:
            value = op.shape_of(node, name)
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


class Primitive:
    """An operation the tape knows: `forward` on arrays, and a derivative row for each array input.

    The forward's positional parameters are array inputs (a default of None makes one optional, `*xs` takes any
    number), its keyword-only parameters are plain values.  Callers may pass the latter by position too.  A Tensor
    among the plain values (an index, a mask) reaches the forward as its array and the rows as a Tensor, and is
    guarded like everything that is saved: never pass a bare array that somebody else could write to.

    promote   None: operands of one dtype.  "same": PyTorch's promotion.  "float": the same, integers to float32.
    keeps     names of extra arrays the forward returns after its output, for fused rules (and, where they carry no
              gradient, rows).
    """

    def __init__(self, forward, promote=None, keeps=(), name=None) -> None:
        self.forward, self.promote, self.keeps = _quiet(forward), promote, tuple(keeps)
        self.name = name or forward.__name__.strip("_")
        self.__name__, self.__qualname__ = forward.__name__, forward.__qualname__
        self.__doc__, self.__module__, self.__wrapped__ = forward.__doc__, forward.__module__, forward
        parameters = inspect.signature(forward).parameters.values()
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY)]
        self.input_names = tuple(p.name for p in positional)
        self.optional = {p.name for p in positional if p.default is None}
        self.variadic = next((p.name for p in parameters if p.kind == p.VAR_POSITIONAL), None)
        keyword = [p for p in parameters if p.kind == p.KEYWORD_ONLY]
        self.attr_names = tuple(p.name for p in keyword)
        self.attr_defaults = {p.name: p.default for p in keyword if p.default is not p.empty}
        self.shape_names = {f"{n}_shape" for n in (*self.input_names, self.variadic) if n}
        self.rows: tuple = ()
        self.needed: tuple = ()
        self.fused_rule, self.fused_names = None, ()
        self.differentiable = False

    def vjp(self, *rows) -> None:
        """Attach one row per array input (None: no gradient flows there); variadic operations give one row for all.

        That one row is also told `i`, the index of the input.
        """
        expected = 1 if self.variadic else len(self.input_names)
        if len(rows) != expected:
            raise TypeError(
                f"{self.name}.vjp: found {len(rows)} rows, expected {expected}: one per array input"
            )
        bound = [None if row is None else _bind(self, row) for row in rows]
        self.rows = tuple(row and row[0] for row in bound)
        self.sources = rows
        self.needed = tuple(row[1] if row else () for row in bound)
        self.differentiable = True

    def fused(self, rule):
        """Attach a backward kernel on arrays, returning a gradient array per input.

        Used only while nothing is being recorded; it may name what the rows name, `needs` (which inputs want a
        gradient) and the arrays in `keeps`.
        """
        self.fused_rule, self.fused_names = _quiet(rule), tuple(inspect.signature(rule).parameters)
        _check_names(self, self.fused_names, f"{self.name}.fused")
        self.fused_needed = tuple(n for n in self.fused_names if self._is_array_name(n))
        return rule

    def row(self, i: int):
        return self.rows[0] if self.variadic else self.rows[i]

    def shape_of(self, node: Node, name: str):
        if self.variadic:
            return [shape for shape, _ in node.inputs]
        entry = node.inputs[self.input_names.index(name[: -len("_shape")])]
        return entry and entry[0]

    def _is_array_name(self, name: str) -> bool:
        return name == "y" or name in self.input_names or name == self.variadic or name in self.keeps

    def __get__(self, instance, owner=None):
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def __call__(self, *inputs, **attrs):
        if self.variadic is None and (
            len(inputs) != len(self.input_names) or len(attrs) != len(self.attr_names)
        ):
            inputs, attrs = self._bind_call(inputs, attrs)
        elif self.variadic:
            attrs = {**self.attr_defaults, **attrs}
        inputs, arrays = self._operands(inputs)
        values = attrs
        if self.attr_names and any(isinstance(v, Tensor) for v in attrs.values()):
            values = {name: v._data if isinstance(v, Tensor) else v for name, v in attrs.items()}
        try:
            out = self.forward(*arrays, **values)
        except _EXPLAINED as error:
            raise self._explain(error, inputs) from error
        kept = ()
        if self.keeps:
            out, *kept = out
        if isinstance(out, np.generic):
            out = np.asarray(out)
        result = Tensor._wrap(out)
        for x in inputs:
            if isinstance(x, Tensor) and (out is x._data or (out.base is not None and _shares(out, x._data))):
                _alias(result, x)
        if _mode.recording and self.differentiable and out.dtype.kind == "f":
            self._record(result, inputs, arrays, attrs, kept)
        return result

    def _bind_call(self, inputs: tuple, attrs: dict):
        """Python's binding: surplus positional values are attributes, named inputs and defaults are filled in."""
        count = len(self.input_names)
        if len(inputs) > count:
            surplus = inputs[count:]
            if len(surplus) > len(self.attr_names):
                most = count + len(self.attr_names)
                raise TypeError(f"{self.name}: found {len(inputs)} arguments, expected at most {most}")
            for name, value in zip(self.attr_names, surplus):
                if name in attrs:
                    raise TypeError(f"{self.name}: {name} was given twice")
                attrs[name] = value
            inputs = inputs[:count]
        elif len(inputs) < count:
            inputs = list(inputs)
            for name in self.input_names[len(inputs) :]:
                if name not in attrs and name not in self.optional:
                    raise TypeError(f"{self.name}: missing argument {name!r}")
                inputs.append(attrs.pop(name, None))
        attrs = {**self.attr_defaults, **attrs}
        if len(attrs) != len(self.attr_names):
            unknown = [name for name in attrs if name not in self.attr_names]
            missing = [name for name in self.attr_names if name not in attrs]
            what = f"unknown argument {unknown[0]!r}" if unknown else f"missing argument {missing[0]!r}"
            raise TypeError(f"{self.name}: {what}")
        return inputs, attrs

    def _operands(self, inputs):
        """The inputs as (Tensors, plain numbers or None) and as arrays in the dtype the forward computes in."""
        names = self.input_names if self.variadic is None else itertools.repeat(self.variadic)
        checked, found, same = [], None, True
        for name, x in zip(names, inputs):
            if not isinstance(x, Tensor):
                if x is None and name in self.optional:
                    checked.append(None)
                    continue
                x = _operand(self, name, x)
                same = same and isinstance(x, Tensor)
            checked.append(x)
            if isinstance(x, Tensor):
                if found is None:
                    found = x._data.dtype
                elif x._data.dtype != found:
                    same = False
        if same and (self.promote != "float" or found is None or found.kind == "f"):
            return checked, [None if x is None else x._data for x in checked]
        if self.promote is None:
            return checked, self._unpromoted(checked)
        return checked, self._promoted(checked)

    def _unpromoted(self, inputs) -> list:
        found = {x._data.dtype for x in inputs if isinstance(x, Tensor)}
        if len(found) > 1 or any(not isinstance(x, Tensor) and x is not None for x in inputs):
            described = ", ".join(
                f"{name} {x._data.dtype if isinstance(x, Tensor) else type(x).__name__}"
                for name, x in zip(self._names(), inputs)
                if x is not None
            )
            raise DtypeError(f"{self.name}: expected Tensors of one dtype, found {described}")
        return [None if x is None else x._data for x in inputs]

    def _promoted(self, inputs) -> list:
        tensors = [x._data for x in inputs if isinstance(x, Tensor)]
        numbers = [x for x in inputs if x is not None and not isinstance(x, Tensor)]
        dtype = dtypes.result_type(
            [a.dtype for a in tensors if a.ndim],
            [a.dtype for a in tensors if not a.ndim],
            [dtypes.scalar_dtype(x) for x in numbers],
        )
        if self.promote == "float" and dtype.kind != "f":
            dtype = dtypes.get_default_dtype()
        return [
            None
            if x is None
            else x._data.astype(dtype, copy=False)
            if isinstance(x, Tensor)
            else self._number(x, dtype)
            for x in inputs
        ]

    def _number(self, x, dtype):
        if dtype.kind in "iu" and not np.iinfo(dtype).min <= x <= np.iinfo(dtype).max:
            raise OverflowError(f"{self.name}: the number {x} does not fit into {dtype}")
        return np.asarray(x, dtype)

    def _names(self):
        if self.variadic is None:
            return self.input_names
        return (f"{self.variadic}[{i}]" for i in itertools.count())

    def _explain(self, error: Exception, inputs) -> Exception:
        """The same error with the operation's name and every operand's shape."""
        shapes = ", ".join(
            f"{name} {x.shape if isinstance(x, Tensor) else x!r}"
            for name, x in zip(self._names(), inputs)
            if x is not None
        )
        if isinstance(error, ValueError):
            kind = ShapeError
        else:
            kind = next(
                k for k in _EXPLAINED if isinstance(error, k)
            )  # NumPy's own types cannot be made anew
        return kind(f"{self.name}: {error}; {shapes}")

    def _record(self, result, inputs, arrays, attrs, kept) -> None:
        """Make `result` part of the graph if any input is, saving only what the rows of those inputs name."""
        rows = self.rows if self.variadic is None else itertools.repeat(self.rows[0])
        parents, wanted = [], False
        for x, row in zip(inputs, rows):
            edge = None
            if row is not None and isinstance(x, Tensor) and x._requires_grad:
                edge = x._edge if x._edge is not None else x
                wanted = True
            parents.append(edge)
        if not wanted:
            return
        saved = {name: Saved(v, None) for name, v in attrs.items() if isinstance(v, Tensor)}
        if saved:
            attrs = {name: v for name, v in attrs.items() if name not in saved}
        described = [(x._data.shape, x._data.dtype) if isinstance(x, Tensor) else None for x in inputs]
        node = Node(self, tuple(parents), described, attrs, saved)
        result._edge, result._requires_grad = node, True
        for name in self._names_to_save(parents):
            if name in saved:
                continue
            if name == "y":
                saved["y"] = Saved(result, None)
            elif name in self.keeps:
                saved[name] = kept[self.keeps.index(name)]
            elif name == self.variadic:
                for i, (x, edge) in enumerate(zip(inputs, parents)):
                    saved[f"{name}{i}"] = Saved(x, edge)
            else:
                i = self.input_names.index(name)
                x = inputs[i]
                if x is not None:
                    x = x if isinstance(x, Tensor) else Tensor._wrap(arrays[i])
                    saved[name] = Saved(x, parents[i])

    def _names_to_save(self, parents):
        if self.variadic is not None:
            yield from self.needed[0]
        else:
            for parent, names in zip(parents, self.needed):
                if parent is not None:
                    yield from names
        if self.fused_rule is not None:
            yield from self.fused_needed


def primitive(forward=None, *, promote=None, keeps=(), name=None):
    """Turn a forward on arrays into a `Primitive`; see there for the options."""
    if forward is None:
        return lambda function: Primitive(function, promote, keeps, name)
    return Primitive(forward, promote, keeps, name)


def _bind(op: Primitive, row):
    """Compile a row: a function of the known values, and the arrays it needs saved."""
    parameters = inspect.signature(row).parameters.values()
    names = tuple(p.name for p in parameters if p.kind is not p.VAR_KEYWORD)
    takes_rest = any(p.kind is p.VAR_KEYWORD for p in parameters)
    _check_names(op, names, f"{op.name}.vjp")
    rest = tuple(n for n in op.attr_names if n not in names) if takes_rest else ()

    def call(known, i):
        known["i"] = i
        return row(**{name: known[name] for name in names + rest})

    return call, tuple(n for n in names if op._is_array_name(n))


def _check_names(op: Primitive, names, where: str) -> None:
    known = {"g", "y", "i", "needs", *op.input_names, *op.attr_names, *op.shape_names, *op.keeps}
    known.add(op.variadic)
    unknown = [n for n in names if n not in known]
    if unknown:
        raise TypeError(
            f"{where}: no value is called {unknown[0]!r}; known: {', '.join(sorted(filter(None, known)))}"
        )


def _operand(op: Primitive, name: str, x):
    """A Tensor or a plain Python number; NumPy arrays become Tensors that share their memory."""
    if isinstance(x, np.ndarray):
        return Tensor._from_outside(x)
    if isinstance(x, np.generic):
        return x.item()
    if isinstance(x, (bool, int, float)):
        return x
    raise TypeError(f"{op.name}: {name} is a {type(x).__name__}, expected a Tensor or a number")


def owner(array):
    """The array that owns the memory `array` looks at."""
    base = array.base
    while base is not None:
        if isinstance(base, np.ndarray):
            array = base
        base = getattr(base, "base", None)  # as_strided puts an object of its own between the two arrays
    return array


def _shares(a, b) -> bool:
    return owner(a) is owner(b)


def _alias(view, tensor) -> None:
    """Let two Tensors over the same memory share one guard."""
    if tensor._guard is None:
        tensor._guard = Guard()
    tensor._guard.aliased = True
    view._guard = tensor._guard


def _topological(roots) -> list[Node]:
    """Every node reachable from `roots`, consumers before producers, without recursion: a node's serial number is
    larger than those of all its ancestors."""
    seen, stack = set(), [r for r in roots if isinstance(r, Node)]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack.extend(p for p in node.parents if isinstance(p, Node) and p not in seen)
    return sorted(seen, key=lambda node: -node.serial)


def _useful(order: list[Node], targets: set) -> set:
    """The nodes on a path to a target: only their rows need to run."""
    useful = set()
    for node in reversed(order):
        if node in targets or any(p is not None and (p in targets or p in useful) for p in node.parents):
            useful.add(node)
    return useful


def _sweep(roots: list, seeds: list, targets, keep_graph: bool, record: bool) -> dict:
    """Push `seeds` back from `roots`; return {edge: (gradient, owned)} for every edge asked for.

    `targets` is a set of edges, or None for every leaf.  `owned` says that nothing else holds the gradient's memory:
    a buffer that is not ours is never written in place and never becomes somebody's `.grad`.
    """
    gradients: dict = {}
    order = _topological(roots)
    useful = None if targets is None else _useful(order, targets)
    found = {}
    with _SetRecording(record):
        for root, seed in zip(roots, seeds):
            _add(gradients, root, seed, False, record)
        for node in order:
            g, _ = gradients.pop(node, (None, False))
            if g is None or (useful is not None and node not in useful):
                continue
            retained = node.retained and node.retained()
            if retained is not None:
                _accumulate(retained, g, False, record)
            if targets is not None and node in targets:
                found[node] = (g, False)  # it also flows on
            wanted = [
                p if p is not None and (useful is None or p in useful or p in targets) else None
                for p in node.parents
            ]
            if not any(p is not None for p in wanted):
                continue
            row_results = node.input_gradients(g, wanted, record)
            if not keep_graph and node.saved:
                node.saved = None
            for i, parent in enumerate(wanted):
                if parent is None or row_results[i] is None:
                    continue
                gi = _fit(node, i, row_results[i])
                _add(gradients, parent, gi, _is_new(gi, i, g, row_results), record)
    found.update((edge, g) for edge, g in gradients.items() if not isinstance(edge, Node))
    return found


def _is_new(gi, i: int, g, row_results) -> bool:
    """Whether memory of a row's result is known to nobody else: not a view, not shared, not handed on from `g`."""
    array = gi._data
    if array.base is not None or gi._guard is not None or array is g._data:
        return False
    return not any(
        j != i and other is not None and other._data is array for j, other in enumerate(row_results)
    )


def _add(gradients: dict, edge, g, owned: bool, record: bool) -> None:
    """Add a contribution to the gradient of `edge`; in place only into a sum that this sweep made."""
    before, before_owned = gradients.get(edge, (None, False))
    if before is None:
        gradients[edge] = (g, owned)
    elif before_owned and not record:
        before._data += g._data
    else:
        gradients[edge] = (before + g, True)


def _fit(node: Node, i: int, g):
    """A row's result in its input's shape and dtype: summed once over the axes the input was broadcast along."""
    from tinygen import ops

    shape, dtype = node.inputs[i]
    if g._data.shape != shape:
        try:
            g = ops.sum_to(g, shape=shape)
        except ShapeError as error:
            raise ShapeError(f"backward of {node.op.name}, input {i} of shape {shape}: {error}") from None
    return g if g._data.dtype == dtype else ops.cast(g, dtype=dtype)


def _own(g, owned: bool, record: bool):
    """A gradient in memory of its own, copied if anything else may hold it: `x.grad.mul_(2)` changes no other."""
    if owned:
        return g
    if not record:
        return Tensor._wrap(g._data.copy())
    from tinygen import ops

    with _SetRecording(True):
        return ops.clone(g)


def _accumulate(tensor, g, owned: bool, record: bool) -> None:
    """Add to `tensor.grad`."""
    if tensor.grad is None:
        tensor.grad = _own(g, owned, record)
        return
    if tensor.grad.shape != g.shape:
        raise ShapeError(f"backward: found x.grad of shape {tensor.grad.shape}, expected {g.shape} as x")
    with _SetRecording(record):
        tensor.grad = tensor.grad + g


def _seeds(outputs, grad_outputs, operation: str) -> list:
    """Incoming gradients: those given, else one for each output of one element."""
    if grad_outputs is None:
        grad_outputs = [None] * len(outputs)
    if len(grad_outputs) != len(outputs):
        raise ValueError(f"{operation}: found {len(grad_outputs)} gradients for {len(outputs)} outputs")
    seeds = []
    for output, g in zip(outputs, grad_outputs):
        if not output.requires_grad:
            raise RuntimeError(
                f"{operation}: the output {output.shape} does not require a gradient: nothing was recorded"
            )
        if g is None:
            if output._data.size != 1:
                raise RuntimeError(
                    f"{operation}: found an output of shape {output.shape}, expected one element; "
                    "pass the incoming gradient for anything else"
                )
            g = Tensor._wrap(np.ones_like(output._data))
        elif g.shape != output.shape:
            raise ShapeError(f"{operation}: found a gradient of shape {g.shape}, expected {output.shape}")
        seeds.append(g.to(output.dtype))
    return seeds


def _targets(inputs, operation: str) -> list:
    """The Tensors to differentiate with respect to."""
    inputs = _as_list(inputs)
    if not inputs:
        raise ValueError(f"{operation}: found no inputs, expected at least one")
    for i, x in enumerate(inputs):
        if not x.requires_grad:
            raise RuntimeError(f"{operation}: input {i} of shape {x.shape} does not require a gradient")
    return inputs


def _edge(tensor):
    return tensor if tensor._edge is None else tensor._edge


def _as_list(x) -> list:
    return [x] if isinstance(x, Tensor) else list(x)


def backward(tensors, grad_tensors=None, retain_graph=None, create_graph: bool = False, inputs=None) -> None:
    """Add to `.grad` of every leaf the derivative of `tensors`, weighted by `grad_tensors` (ones for one element)."""
    tensors = _as_list(tensors)
    given = grad_tensors if grad_tensors is None else _as_list(grad_tensors)
    seeds = _seeds(tensors, given, "backward")
    keep = create_graph if retain_graph is None else retain_graph
    inputs = None if inputs is None else _targets(inputs, "backward")
    targets = None if inputs is None else {_edge(x) for x in inputs}
    found = _sweep([_edge(t) for t in tensors], seeds, targets, keep, create_graph)
    receivers = [(leaf, leaf) for leaf in found] if inputs is None else [(x, _edge(x)) for x in inputs]
    for tensor, edge in receivers:
        if edge in found:
            _accumulate(tensor, *found[edge], create_graph)


def grad(
    outputs,
    inputs,
    grad_outputs=None,
    retain_graph=None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple:
    """The derivatives of `outputs` with respect to `inputs`, as a tuple; `.grad` is left alone.

    create_graph   record the computation, so that the result can be differentiated again
    allow_unused   None for an input the outputs do not depend on, instead of an error
    """
    outputs, inputs = _as_list(outputs), _targets(inputs, "grad")
    given = None if grad_outputs is None else _as_list(grad_outputs)
    seeds = _seeds(outputs, given, "grad")
    keep = create_graph if retain_graph is None else retain_graph
    found = _sweep([_edge(o) for o in outputs], seeds, {_edge(x) for x in inputs}, keep, create_graph)
    found = {edge: _own(*entry, create_graph) for edge, entry in found.items()}
    result = tuple(found.get(_edge(x)) for x in inputs)
    if not allow_unused and any(g is None for g in result):
        i = next(i for i, g in enumerate(result) if g is None)
        raise RuntimeError(
            f"grad: the outputs do not depend on input {i} of shape {inputs[i].shape}; pass allow_unused=True for None"
        )
    return result


# at the end: these modules need this one, and what they define is looked up here only when it is used
from tinygen.gradcheck import GradcheckError, gradcheck, gradgradcheck  # noqa: E402, F401
from tinygen.tensor import Tensor  # noqa: E402
