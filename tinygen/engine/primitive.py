"""Primitive: an operation the tape knows, as a forward on arrays and one derivative row per array input.

    @primitive
    def exp(x):
        return kernels.exp(x)

    exp.vjp(lambda g, y: g * y)

A row sees Tensors: `g` the incoming gradient, `y` the output, an input's own name that input, `x_shape` its shape
alone, any keyword of the forward by its name, `**at` all of them.  Only what a row names is kept alive.  Rows are
written with operations, so with `create_graph=True` they are recorded in turn and gradients of any order exist.
"""

from __future__ import annotations

import inspect
import itertools
from types import MethodType

import numpy as np

from tinygen.engine import devices, dtypes
from tinygen.engine.devices import CUDA, DeviceError
from tinygen.engine.dtypes import DtypeError, ShapeError
from tinygen.engine.grad_mode import this_thread
from tinygen.engine.memory import join, shares
from tinygen.engine.node import Node, Saved
from tinygen.engine.tensor import Tensor
from tinygen.face.keywords import ELSEWHERE, refuse_elsewhere

_quiet = np.errstate(all="ignore")  # overflow and 0/0 give inf and nan without a warning, as in PyTorch


_EXPLAINED = (ValueError, DtypeError, IndexError, TypeError, OverflowError, ZeroDivisionError)


class Primitive:
    """An operation the tape knows: `forward` on arrays, and a derivative row for each array input.

    The forward's positional parameters are array inputs (a default of None makes one optional, `*xs` takes any
    number), its keyword-only parameters are plain values.  Callers may pass the latter by position too.  A Tensor
    among the plain values (an index, a mask) reaches the forward as its array and the rows as a Tensor, and is
    guarded like everything that is saved: never pass a bare array that somebody else could write to.

    promote   None: operands of one dtype.  "same": PyTorch's promotion.  "float": the same, integers to float32.
    tensors   names of inputs that callers may not give as numbers; the only input of an operation never is one
    bools     False: no input may be a Tensor of bools
    keeps     names of extra arrays the forward returns after its output, for fused rules (and, where they carry no
              gradient, rows).
    """

    def __init__(self, forward, promote=None, keeps=(), name=None, tensors=(), bools=True) -> None:
        self.bools = bools
        self.forward, self.promote, self.keeps = _quiet(forward), promote, tuple(keeps)
        self.name = name or forward.__name__.strip("_")
        self.__name__, self.__qualname__ = forward.__name__, forward.__qualname__
        self.__doc__, self.__module__, self.__wrapped__ = forward.__doc__, forward.__module__, forward
        signature = inspect.signature(forward)
        parameters = signature.parameters.values()
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY)]
        self.input_names = tuple(p.name for p in positional)
        self.public_names = tuple("input" if name == "x" else name for name in self.input_names)
        self.__signature__ = signature.replace(
            parameters=[p.replace(name="input") if p.name == "x" else p for p in parameters]
        )
        self.tensors = {*tensors, *(self.input_names if len(positional) == 1 else ())}
        self.optional = {p.name for p in positional if p.default is None}
        self.variadic = next((p.name for p in parameters if p.kind == p.VAR_POSITIONAL), None)
        keyword = [p for p in parameters if p.kind == p.KEYWORD_ONLY]
        self.attr_names = tuple(p.name for p in keyword)
        self.attr_defaults = {p.name: p.default for p in keyword if p.default is not p.empty}
        self.shape_names = {f"{n}_shape" for n in (*self.input_names, self.variadic) if n}
        self.rows: tuple = ()
        self.needed: tuple = ()
        self.fused_rule, self.fused_names = None, ()
        self.adding = None
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
        gradient) and the arrays in `keeps`.  A parameter with a default is None where no row of an input that wants
        a gradient names it: nothing is kept alive for its sake.
        """
        parameters = inspect.signature(rule).parameters
        self.fused_rule, self.fused_names = _quiet(rule), tuple(parameters)
        _check_names(self, self.fused_names, f"{self.name}.fused")
        self.fused_needed = tuple(
            n for n, p in parameters.items() if self._is_array_name(n) and p.default is p.empty
        )
        return rule

    def adds(self, rule):
        """Attach to an operation that picks a part of its only input: rule(total, g, **attributes) adds g to that part.

        Used where a gradient of the whole is there already, instead of another one that is zero outside the part.
        """
        self.adding = rule
        return rule

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

    def __reduce__(self) -> str:
        return self.__qualname__  # by the name it has in its module, as functions are; a copy is itself

    def __call__(self, *inputs, **attrs):
        if self.variadic is None and (
            len(inputs) != len(self.input_names) or len(attrs) != len(self.attr_names)
        ):
            inputs, attrs = self._bind_call(inputs, attrs)
        elif self.variadic:
            attrs = {**self.attr_defaults, **attrs}
        inputs, arrays = self._operands(inputs)
        values = attrs
        if self.attr_names:
            values = {name: v._data if isinstance(v, Tensor) else v for name, v in attrs.items()}
        if devices.in_use:
            arrays = self._on_one_device(inputs, arrays, attrs)
        try:
            out = self.forward(*arrays, **values)
        except MemoryError as error:
            raise devices.out_of_memory(self.name, error, self._shapes(inputs)) from error
        except _EXPLAINED as error:
            raise self._explain(error, inputs) from error
        kept = ()
        if self.keeps:
            out, *kept = out
        if isinstance(out, np.generic):
            out = np.asarray(out)
        result, view, needed = Tensor._wrap(out), out.base is not None, False
        for x in inputs:
            if isinstance(x, Tensor):
                needed = needed or x._requires_grad
                if out is x._data or (view and shares(out, x._data)):
                    join(result, x)
        if needed and self.differentiable and this_thread.recording and out.dtype.kind == "f":
            self._record(result, inputs, arrays, attrs, kept)
        return result

    def _bind_call(self, inputs: tuple, attrs: dict):
        """Python's binding: surplus positional values are attributes, named inputs and defaults are filled in."""
        count = len(self.input_names)
        if len(inputs) > count:
            surplus = inputs[count:]
            if len(surplus) > len(self.attr_names):
                raise TypeError(f"{self.name}: found {len(inputs)} arguments, expected {self._expected()}")
            for name, value in zip(self.attr_names, surplus):
                if name in attrs:
                    raise TypeError(f"{self.name}: found {name} twice, expected {self._expected()}")
                attrs[name] = value
            inputs = inputs[:count]
        elif len(inputs) < count:
            inputs = list(inputs)
            for name, shown in zip(self.input_names[len(inputs) :], self.public_names[len(inputs) :]):
                if name not in attrs and shown not in attrs and name not in self.optional:
                    raise TypeError(f"{self.name}: missing argument {shown!r}; expected {self._expected()}")
                inputs.append(attrs.pop(shown if shown in attrs else name, None))
        for name in [name for name in attrs if name in ELSEWHERE and name not in self.attr_names]:
            refuse_elsewhere(self.name, name, attrs.pop(name))
        attrs = {**self.attr_defaults, **attrs}
        if len(attrs) != len(self.attr_names):
            unknown = [name for name in attrs if name not in self.attr_names]
            missing = [name for name in self.attr_names if name not in attrs]
            what = f"unknown argument {unknown[0]!r}" if unknown else f"missing argument {missing[0]!r}"
            raise TypeError(f"{self.name}: {what}; expected {self._expected()}")
        return inputs, attrs

    def _operands(self, inputs):
        """The inputs as (Tensors, plain numbers or None) and as arrays in the dtype the forward computes in."""
        arrays, dtype = [], None
        for x in inputs:
            if not isinstance(x, Tensor):
                return self._mixed(inputs)
            arrays.append(x._data)
            if dtype is None:
                dtype = x._data.dtype
            elif x._data.dtype != dtype:
                return self._mixed(inputs)
        if self.promote == "float" and dtype.kind != "f":
            return self._mixed(inputs)
        return inputs, arrays

    def _mixed(self, inputs):
        """`_operands` where an input is no Tensor or the dtypes are not the one the forward computes in."""
        inputs = [
            x if isinstance(x, Tensor) else self._operand(name, x) for name, x in zip(self._names(), inputs)
        ]
        if self.promote is None:
            return inputs, self._unpromoted(inputs)
        if not self.bools and any(isinstance(x, Tensor) and x._data.dtype.kind == "b" for x in inputs):
            raise DtypeError(f"{self.name}: found a Tensor of bools, expected numbers; use ~x or logical_not")
        dtype = self._promoted([x for x in inputs if x is not None])
        return inputs, [
            None
            if x is None
            else x._data.astype(dtype, copy=False)
            if isinstance(x, Tensor)
            else self._number(x, dtype)
            for x in inputs
        ]

    def _operand(self, name: str, x):
        """A Tensor or a plain Python number."""
        if x is None and name in self.optional:
            return None
        if name in self.tensors:
            if not isinstance(x, Tensor):
                raise TypeError(
                    f"{self.name}: {self._shown(name)} is a {type(x).__name__}, expected a Tensor"
                )
        if isinstance(x, np.generic):
            return x.item()
        if isinstance(x, (bool, int, float)):
            return x
        raise TypeError(
            f"{self.name}: {self._shown(name)} is a {type(x).__name__}, expected a Tensor or a number"
        )

    def _expected(self) -> str:
        return f"{self.name}{self.__signature__}"

    def _shown(self, name: str) -> str:
        """An input's name to callers, PyTorch's."""
        return self.public_names[self.input_names.index(name)] if self.variadic is None else name

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

    def _promoted(self, inputs) -> np.dtype:
        tensors = [x._data for x in inputs if isinstance(x, Tensor)]
        if all(a.dtype == tensors[0].dtype and a.dtype.kind == "f" for a in tensors) and tensors:
            return tensors[0].dtype  # no number is of a higher category
        dtype = dtypes.result_type(
            [a.dtype for a in tensors if a.ndim],
            [a.dtype for a in tensors if not a.ndim],
            [dtypes.scalar_dtype(x) for x in inputs if not isinstance(x, Tensor)],
        )
        return dtypes.get_default_dtype() if self.promote == "float" and dtype.kind != "f" else dtype

    def _on_one_device(self, inputs, arrays, attrs):
        """Refuse Tensors of two devices.  As in PyTorch, one number on the CPU goes with those on a GPU."""
        if all(a is None or isinstance(a, devices.HOST) for a in arrays) and not any(
            isinstance(v, Tensor) and v.is_cuda for v in attrs.values()
        ):
            return arrays
        told = [*zip(self._names(), inputs), *attrs.items()]
        found = [(name, x) for name, x in told if isinstance(x, Tensor)]
        if any(not x.is_cuda and (x.ndim or x._requires_grad) for _, x in found):
            described = ", ".join(f"{name} {x.shape} on {x.device}" for name, x in found)
            raise DeviceError(f"{self.name}: found {described}, expected one device; use x.to('{CUDA}')")
        return [a[()] if isinstance(a, np.ndarray) else a for a in arrays]  # 0-d: cupy takes NumPy's scalars

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
        shapes = self._shapes(inputs)
        if devices.in_use and not isinstance(error, DeviceError) and "<class 'numpy.ndarray'>" in str(error):
            return DeviceError(f"{self.name}: found arrays on cpu and {CUDA}, expected one device; {shapes}")
        if isinstance(error, ValueError):
            kind = ShapeError
        else:
            kind = next(
                k for k in _EXPLAINED if isinstance(error, k)
            )  # NumPy's own types cannot be made anew
            if kind is TypeError and ("ufunc" in str(error) or "numpy" in str(error)):
                kind = DtypeError  # this is how NumPy refuses a dtype
        return kind(f"{self.name}: {error}; {shapes}")

    def _shapes(self, inputs) -> str:
        return ", ".join(
            f"{name} {x.shape if isinstance(x, Tensor) else x!r}"
            for name, x in zip(self._names(), inputs)
            if x is not None
        )

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
                    x = x if isinstance(x, Tensor) else Tensor._wrap(np.asarray(arrays[i]))
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


def primitive(forward=None, *, promote=None, keeps=(), name=None, tensors=(), bools=True):
    """Turn a forward on arrays into a `Primitive`; see there for the options."""
    if forward is None:
        return lambda function: Primitive(function, promote, keeps, name, tensors, bools)
    return Primitive(forward, promote, keeps, name, tensors, bools)


def _bind(op: Primitive, row):
    """Compile a row: a function of the known values, and the arrays it needs saved."""
    parameters = inspect.signature(row).parameters.values()
    names = tuple(p.name for p in parameters if p.kind is not p.VAR_KEYWORD)
    takes_rest = any(p.kind is p.VAR_KEYWORD for p in parameters)
    _check_names(op, names, f"{op.name}.vjp")
    rest = tuple(n for n in op.attr_names if n not in names) if takes_rest else ()

    def call(known, i):
        known["i"] = i
        if rest:
            return row(**{name: known[name] for name in names + rest})
        return row(*[known[name] for name in names])  # by position is quicker

    return call, tuple(n for n in names if op._is_array_name(n))


def _check_names(op: Primitive, names, where: str) -> None:
    known = {"g", "y", "i", "needs", *op.input_names, *op.attr_names, *op.shape_names, *op.keeps}
    known.add(op.variadic)
    unknown = [n for n in names if n not in known]
    if unknown:
        raise TypeError(
            f"{where}: no value is called {unknown[0]!r}; known: {', '.join(sorted(filter(None, known)))}"
        )
