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
from tinygen.engine.calls import Calls
from tinygen.engine.dtypes import DtypeError
from tinygen.engine.errors import refusal
from tinygen.engine.grad_mode import this_thread
from tinygen.engine.memory import join, share_memory
from tinygen.engine.node import Node, Saved, bind_row, check_names
from tinygen.engine.tensor import Tensor

_quiet = np.errstate(all="ignore")  # overflow and 0/0 give inf and nan without a warning, as in PyTorch


class Primitive:
    """An operation that the tape knows.

    The forward's positional parameters are its array inputs (a default of None makes one optional, `*xs` takes any
    number), its keyword-only parameters are plain values, which callers may also pass by position.  A Tensor among
    the plain values (an index, a mask) reaches the forward as its array and the rows as a Tensor, and is guarded like
    everything that is saved: never pass a bare array that something else may write to.

    promote   None: operands of one dtype.  "same": PyTorch's promotion.  "float": the same, integers to float32
    keeps     names of extra arrays that the forward returns after its output, for the fused rule or the rows; no
              gradient flows through them
    tensors   names of inputs that callers may not give as numbers; an operation's only input is always a Tensor
    bools     False: no input may be a Tensor of bools
    """

    def __init__(self, forward, promote=None, keeps=(), name=None, tensors=(), bools=True) -> None:
        self.forward, self.promote, self.keeps, self.bools = _quiet(forward), promote, tuple(keeps), bools
        self.name = name or forward.__name__.strip("_")
        self.__name__, self.__qualname__ = forward.__name__, forward.__qualname__
        self.__doc__, self.__module__, self.__wrapped__ = forward.__doc__, forward.__module__, forward
        code, defaults = forward.__code__, forward.__defaults__ or ()
        count, end = code.co_argcount, code.co_argcount + code.co_kwonlyargcount
        self.input_names, self.attr_names = code.co_varnames[:count], code.co_varnames[count:end]
        self.variadic = code.co_varnames[end] if code.co_flags & inspect.CO_VARARGS else None
        self.attr_defaults = forward.__kwdefaults__ or {}
        self.optional = {
            n for n, value in zip(reversed(self.input_names), reversed(defaults)) if value is None
        }
        self.tensors = {*tensors, *(self.input_names if count == 1 else ())}
        self.takes_numbers = promote is not None and not self.tensors
        self.shape_names = {f"{n}_shape": i for i, n in enumerate((*self.input_names, self.variadic)) if n}
        self.rows, self.sources, self.needed, self.differentiable = (), (), (), False
        self.fused_rule, self.fused_names, self.fused_needed = None, (), ()
        self.adding = None

    def __getattr__(self, name: str):
        """`__signature__`, with PyTorch's name for x; on demand, as `import tinygen` makes every Primitive."""
        if name != "__signature__":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        signature = inspect.signature(self.forward)
        shown = [p.replace(name="input") if p.name == "x" else p for p in signature.parameters.values()]
        self.__signature__ = signature.replace(parameters=shown)
        return self.__signature__

    def vjp(self, *rows) -> None:
        """Attach one row per array input (None: no gradient flows there).

        A variadic operation has one row for all inputs, which may name `i`, the index of the input.  A row never
        writes to what it is given; it may return that, but no other array kept elsewhere: backward may add to it.
        """
        expected = 1 if self.variadic else len(self.input_names)
        if len(rows) != expected:
            raise TypeError(
                f"{self.name}.vjp: found {len(rows)} rows, expected {expected}: one per array input"
            )
        bound = [(None, ()) if row is None else bind_row(self, row) for row in rows]
        self.rows, self.needed = zip(*bound)
        self.sources, self.differentiable = rows, True

    def fused(self, rule):
        """Attach a backward kernel on arrays, which returns a gradient array per input.

        It runs instead of the rows while nothing is recorded.  It may name what the rows name, `needs` (which inputs
        want a gradient) and the arrays in `keeps`.  A parameter with a default is None unless a row whose gradient is
        wanted names that array too.  What vjp says of rows holds here, and no result may be a view of another.
        """
        parameters = inspect.signature(rule).parameters
        self.fused_rule, self.fused_names = _quiet(rule), tuple(parameters)
        check_names(self, self.fused_names, f"{self.name}.fused")
        required = (n for n, p in parameters.items() if p.default is p.empty)
        self.fused_needed = tuple(n for n in required if self.is_array_name(n))
        return rule

    def adds(self, rule):
        """Attach to an operation that picks a part of its input: rule(total, g, **attributes) adds g to that part.

        It runs where there is a gradient of the whole already, which avoids building a mostly-zero gradient.
        """
        self.adding = rule
        return rule

    def is_array_name(self, name: str) -> bool:
        return name == "y" or name in self.input_names or name == self.variadic or name in self.keeps

    def __get__(self, instance, owner=None):
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def __reduce__(self) -> str:
        return self.__qualname__  # pickled by its name in its module, like a function; a copy is itself

    # the forward

    def __call__(self, *inputs, **attrs):
        if self.variadic is not None:
            attrs = {**self.attr_defaults, **attrs}
        elif len(inputs) != len(self.input_names) or len(attrs) != len(self.attr_names):
            inputs, attrs = calls.bind(self, inputs, attrs)
        inputs, arrays = self._operands(inputs)
        values = attrs
        if self.attr_names:
            values = {name: v._data if isinstance(v, Tensor) else v for name, v in attrs.items()}
        if devices.in_use:
            arrays = calls.on_one_device(self, inputs, arrays, attrs)
        try:
            out = self.forward(*arrays, **values)
        except Exception as error:
            calls.explain(self, error, inputs, values)
            raise
        kept = ()
        if self.keeps:
            out, *kept = out
        if isinstance(out, np.generic):
            out = np.asarray(out)
        result, view, wants_grad = Tensor._wrap(out), out.base is not None, False
        for x in inputs:
            if isinstance(x, Tensor):
                wants_grad = wants_grad or x._requires_grad
                if out is x._data or (view and share_memory(out, x._data)):
                    join(result, x)
        if wants_grad and self.differentiable and this_thread.recording and out.dtype.kind == "f":
            self._record(result, inputs, arrays, attrs, kept)
        return result

    def _operands(self, inputs):
        """The inputs, and their arrays in the dtype that the forward computes in.

        Quick where every input is a Tensor of one dtype, or a Python number beside floating ones.
        """
        arrays, dtype, numbers = [], None, False
        for x in inputs:
            if isinstance(x, Tensor):
                array = x._data
                if dtype is None:
                    dtype = array.dtype
                elif array.dtype != dtype:
                    return self._promoted(inputs)
                arrays.append(array)
            elif type(x) is float or type(x) is int:
                arrays.append(x)
                numbers = True
            else:
                return self._promoted(inputs)
        if dtype is None or (dtype.kind != "f" and (numbers or self.promote == "float")):
            return self._promoted(inputs)
        if numbers:
            if not self.takes_numbers:
                return self._promoted(inputs)
            arrays = [np.asarray(x, dtype) if x is array else array for x, array in zip(inputs, arrays)]
        return inputs, arrays

    def _promoted(self, inputs):
        """`_operands` of any inputs: PyTorch's promotion."""
        inputs = [x if isinstance(x, Tensor) else calls.operand(self, i, x) for i, x in enumerate(inputs)]
        given = [x for x in inputs if x is not None]
        tensors = [x._data for x in given if isinstance(x, Tensor)]
        if self.promote is None:
            if len(tensors) < len(given) or len({a.dtype for a in tensors}) > 1:
                raise calls.dtypes_differ(self, inputs)
            return inputs, [None if x is None else x._data for x in inputs]
        if not self.bools and any(a.dtype.kind == "b" for a in tensors):
            raise refusal(
                self.name, DtypeError, "found a Tensor of bools, expected numbers; use ~x or logical_not"
            )
        dtype = dtypes.result_type(
            [a.dtype for a in tensors if a.ndim],
            [a.dtype for a in tensors if not a.ndim],
            [dtypes.scalar_dtype(x) for x in given if not isinstance(x, Tensor)],
        )
        if self.promote == "float" and dtype.kind != "f":
            dtype = dtypes.get_default_dtype()
        return inputs, [None if x is None else self._as(dtype, x) for x in inputs]

    def _as(self, dtype, x):
        if isinstance(x, Tensor):
            return x._data.astype(dtype, copy=False)
        if dtype.kind in "iu" and not np.iinfo(dtype).min <= x <= np.iinfo(dtype).max:
            raise refusal(self.name, OverflowError, f"the number {x} does not fit into {dtype}")
        return np.asarray(x, dtype)

    # the tape

    def _record(self, result, inputs, arrays, attrs, kept) -> None:
        """Leave a Node if an input wants a gradient, saving only what the rows of those inputs name."""
        rows = self.rows if self.variadic is None else itertools.repeat(self.rows[0])
        parents, any_parent = [], False
        for x, row in zip(inputs, rows):
            edge = None
            if row is not None and isinstance(x, Tensor) and x._requires_grad:
                edge = x._edge if x._edge is not None else x
                any_parent = True
            parents.append(edge)
        if not any_parent:
            return
        saved = {}
        if attrs:
            saved = {name: Saved(v, None) for name, v in attrs.items() if isinstance(v, Tensor)}
            attrs = {name: v for name, v in attrs.items() if name not in saved} if saved else attrs
        described = [(x._data.shape, x._data.dtype) if isinstance(x, Tensor) else None for x in inputs]
        node = Node(self, tuple(parents), described, attrs, saved)
        result._edge, result._requires_grad = node, True
        names = self.needed[0]
        if len(self.needed) > 1:
            names = [n for parent, row in zip(parents, self.needed) if parent is not None for n in row]
        for name in (*names, *self.fused_needed):
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


calls = Calls()  # tinygen/face/primitive_calls.py puts its own here


def primitive(forward=None, *, promote=None, keeps=(), name=None, tensors=(), bools=True):
    """Turn a forward on arrays into a `Primitive`; see there for the options."""
    if forward is None:
        return lambda function: Primitive(function, promote, keeps, name, tensors, bools)
    return Primitive(forward, promote, keeps, name, tensors, bools)
