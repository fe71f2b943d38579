"""Writing to a Tensor in place: the values, and what the graph records of it.

The graph itself never changes.  A write computes its result out of place and gives the Tensor that result's place in
the graph.  Every other view of the same memory becomes the result of the operation `overwritten`: its old elements
where they were kept, the new ones elsewhere.  So gradients of any order are exact, and versions reveal saved values
that have changed.
"""

from __future__ import annotations

import weakref

import numpy as np

from tinygen import kernels
from tinygen.engine import dtypes
from tinygen.engine.dtypes import DtypeError, ShapeError
from tinygen.engine.errors import refusal
from tinygen.engine.grad_mode import is_grad_enabled
from tinygen.engine.memory import is_shared, other_views
from tinygen.engine.primitive import primitive
from tinygen.engine.sweep_ops import cast, clone
from tinygen.engine.tensor import Tensor
from tinygen.ops.elementwise.choice import keep
from tinygen.ops.index.gather import put_at
from tinygen.ops.index.getitem import assign, getitem_at, steps
from tinygen.ops.shape.reshape import expand, reshape
from tinygen.ops.tensor.conversion import as_tensor


@primitive
def _lay(x, *, layout, size):
    """The elements of a view, laid out in the memory that it shows, with zeros elsewhere.  layout.shape -> (size,)"""
    return kernels.lay(x, layout, size)


@primitive
def _pick(x, *, layout):
    """The elements that a view shows of a piece of memory.  (size,) -> layout.shape"""
    return kernels.pick(x, layout)


_lay.vjp(lambda g, layout: _pick(g, layout=layout))
_pick.vjp(lambda g, x_shape, layout: _lay(g, layout=layout, size=x_shape[0]))


@primitive
def _overwritten(x, values, *, kept, own, written, size):
    """A view after another view of the same `size` elements of memory was overwritten with `values`

    kept, own   where x keeps its elements, and its layout; written: the layout of the view that was overwritten
    """
    return kernels.array_module(x).where(kept, x, kernels.pick(kernels.lay(values, written, size), own))


# each element comes from one of the two: x keeps those that no value overwrote
_overwritten.vjp(
    lambda g, kept: keep(g, mask=kept),
    lambda g, own, written, size: _pick(_lay(g, layout=own, size=size), layout=written),
)


def _after_write(view, values, places):
    """`view` in the graph, after `values` were written to another view; `places` comes from kernels.common_layout."""
    size, own, written = places
    ones = kernels.array_module(values._data).ones(values.shape, np.bool_)
    kept = Tensor._wrap(~kernels.pick(kernels.lay(ones, written, size), own))
    return _overwritten(view, values, kept=kept, own=own, written=written, size=size)


def is_recorded(operation: str, x, *others) -> bool:
    """Whether the graph has to record a write to x that involves `others`."""
    if not is_grad_enabled():
        return False
    if x._family is not None and x._family.unrecorded:
        raise refusal(
            operation,
            RuntimeError,
            f"x {x.shape} is a view, made under no_grad, of a Tensor that requires a gradient, which "
            "would miss the write; write under no_grad, or take the view outside of it",
        )
    return any(isinstance(t, Tensor) and t._requires_grad for t in (x, *others, *other_views(x)))


def _operand(operation: str, x, *others):
    """x as the input of an operation that will overwrite it: a copy, if the write would change what is saved."""
    return clone(x) if is_shared(x) and is_recorded(operation, x, *others) else x


def in_place(name: str, operation, input, *args, **named):
    """operation(input, ...), written into input."""
    return take_over(input, name, operation(_operand(name, input, *args, *named.values()), *args, **named))


def take_over(x, operation: str, result):
    """Give x the values of `result`, which `operation` computed out of place, and its place in the graph."""
    if result.shape != x.shape:
        raise refusal(operation, ShapeError, f"the result {result.shape} does not fit into x {x.shape}")
    if dtypes.category(result.dtype) > dtypes.category(x.dtype):
        raise refusal(
            operation, DtypeError, f"a result of dtype {result.dtype} cannot be stored in x {x.dtype}"
        )
    if not is_recorded(operation, x, result):
        return x._write(result._data)
    views = [(view, kernels.common_layout(view._data, x._data)) for view in other_views(x)]
    views = [(view, places) for view, places in views if places is not None]
    if any(t._edge is None and t._requires_grad for t in (x, *(view for view, _ in views))):
        raise refusal(
            operation,
            RuntimeError,
            "a leaf that requires a gradient, or a view of it, cannot be changed in place; use no_grad()",
        )
    if result.dtype != x.dtype:
        result = cast(result, dtype=x.dtype)
    elif result._data.base is not None or is_shared(result):
        result = clone(result)
    if not result._requires_grad and x._requires_grad:  # the old values have gradient 0, not none
        everything = kernels.common_layout(x._data, x._data)
        result = result if everything is None else _after_write(x, result, everything)
    if is_shared(x):
        x._write(result._data)
        for view, places in views:
            _move_in_graph(view, _after_write(view, result, places))
    else:
        x._point_at(result._data)
        x._guard = result._guard
    _move_in_graph(x, result)
    return x


def _move_in_graph(x, result) -> None:
    """Give x the place that `result` has, and a retained gradient with it."""
    if x._edge is not None and x._edge.retained is not None and result._edge is not None:
        if x._edge.retained() is x:
            x._edge.retained, result._edge.retained = None, weakref.ref(x)
    x._edge, x._requires_grad = result._edge, result._requires_grad


def set_item(x, places, value) -> None:
    """x[places] = value, recorded: the value is copied into a view of that part"""
    operation, part = "x[...] = value", x
    path = steps(places, x._data)
    kind = kernels.array_module(x._data).ndarray
    arrays = path.pop() if path and any(isinstance(i, kind) for i in path[-1]) else None
    for step in path:
        part = getitem_at(part, index=step)
    if arrays is None:
        take_over(part, operation, _fitted(value, part, part.shape))
    else:
        value = _fitted(value, part, part._data[arrays].shape)
        take_over(part, operation, put_at(_operand(operation, part, value), value, index=arrays))


def _fitted(value, x, shape: tuple):
    """The assigned value as a Tensor of x's dtype, in the shape of the elements it overwrites."""
    if not isinstance(value, Tensor):
        numbers = np.empty(shape, x.dtype)
        assign(numbers, (), value)
        return as_tensor(numbers).to(x.device)
    lead = value.ndim - len(shape)
    if lead > 0 and all(n == 1 for n in value.shape[:lead]):
        value = reshape(value, value.shape[lead:])
    try:
        return expand(value.to(x), shape)
    except ShapeError:
        raise ShapeError(
            f"x[...] = value: found value {value.shape}, expected a shape that broadcasts to {shape}"
        ) from None
