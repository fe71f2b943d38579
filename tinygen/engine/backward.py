"""backward: visit consumers before producers, run their derivative rows, add.

A gradient travels with a bool, `owned`: whether nothing else holds its memory.  Only such memory is added to in place,
and only such memory becomes a Tensor's `.grad`.

observer   None, or what a profiler puts here: observer(step, node, function, *args) is called instead of
           function(*args) and returns what that returns.  `step` is "sweep" for a whole backward or grad (node is
           None), and inside it "rows" for a node's derivative rows or fused rule, and "fit" where a row's result is
           summed or cast to fit its input.
"""

from __future__ import annotations

import operator

import numpy as np

from tinygen.engine import memory, sweep_ops
from tinygen.engine.dtypes import ShapeError
from tinygen.engine.errors import refusal, said_by
from tinygen.engine.grad_mode import this_thread
from tinygen.engine.memory import share_memory
from tinygen.engine.node import Node
from tinygen.engine.tensor import Tensor, attach

observer = None
_serial_of = operator.attrgetter("serial")
_NOTHING = None, False


def sweep(roots: list, seeds: list, targets, keep_graph: bool, record: bool) -> dict:
    """Push `seeds` back from `roots`; return {edge: (gradient, owned)} for the leaves, or for the set `targets`."""
    order, gradients, found = topological(roots), {}, {}
    reach = None if targets is None else _on_paths(order, targets)
    for root, seed in zip(roots, seeds):
        _add(gradients, root, seed, False, record)
    for node in order:
        g, owned = gradients.pop(node, _NOTHING)
        if g is None or (reach is not None and node not in reach):
            continue
        if node.hooks or node.retained or (targets and node in targets):
            g, owned = _hand_over(node, g, owned, targets, found, record)
        wanted = node.parents if reach is None else [p if p in reach else None for p in node.parents]
        if reach is not None and all(p is None for p in wanted):
            continue
        if node.op.adding is not None and not record:
            whole, whole_owned = gradients.get(wanted[0], _NOTHING)
            if whole_owned:  # g is the gradient of a part of it
                node.op.adding(whole._data, g._data, **node.attrs)
                continue
        _pass_on(node, g, owned, wanted, gradients, record)
        if node.saved and not keep_graph:
            node.saved = None
    for leaf, (g, owned) in gradients.items():
        if not isinstance(leaf, Node):
            hooks = getattr(leaf, "_hooks", None)  # most leaves never had any hooks: the slot is empty
            found[leaf] = (_hooked(hooks, in_own_memory(g, owned, record)), False) if hooks else (g, owned)
    return found


def _pass_on(node: Node, g, owned: bool, wanted, gradients: dict, record: bool) -> None:
    """Run the node's rows on its gradient g, and add what they give to the gradients of its inputs."""
    if observer is None:
        results = node.input_gradients(g, wanted, record)
    else:
        results = observer("rows", node, node.input_gradients, g, wanted, record)
    for i, (edge, gi) in enumerate(zip(wanted, results)):
        if edge is None or gi is None:
            continue
        shape, dtype = node.inputs[i]
        if gi._data.shape != shape or gi._data.dtype != dtype:
            gi = _fit(node, i, gi) if observer is None else observer("fit", node, _fit, node, i, gi)
        if owned and not record and len(wanted) == 1 and _is_reshaped(gi, g):
            _add(gradients, edge, Tensor._wrap(gi._data), True, record)
        else:
            _add(gradients, edge, gi, _is_new(gi, i, g, results), record)


def _fit(node: Node, i: int, g):
    """A row's result in its input's shape and dtype: summed over the axes along which the input was broadcast."""
    shape, dtype = node.inputs[i]
    if g._data.shape != shape:
        try:
            g = sweep_ops.sum_to(g, shape=shape)
        except ShapeError as error:
            raise said_by(
                "backward", ShapeError(f"backward of {node.op.name}, input {i} of shape {shape}: {error}")
            ) from None
    return g if g._data.dtype == dtype else sweep_ops.cast(g, dtype=dtype)


def topological(roots) -> list[Node]:
    """Every node reachable from `roots`, consumers before producers, without recursion: a node's serial number is
    larger than those of all its ancestors."""
    seen, stack = set(), [r for r in roots if isinstance(r, Node)]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack.extend(p for p in node.parents if isinstance(p, Node) and p not in seen)
    return sorted(seen, key=_serial_of, reverse=True)


def _on_paths(order: list[Node], targets: set) -> set:
    """The targets, and the nodes on a path to one: only their rows need to run."""
    reach = set(targets)
    for node in reversed(order):
        if any(p is not None and p in reach for p in node.parents):
            reach.add(node)
    return reach


def edge_of(tensor):
    """Where the gradient of a Tensor goes: the node it came from, or the leaf itself"""
    return tensor if tensor._edge is None else tensor._edge


def _add(gradients: dict, edge, g, owned: bool, record: bool) -> None:
    """Add to the gradient of `edge`."""
    before, before_owned = gradients.get(edge, _NOTHING)
    if before is None:
        gradients[edge] = (g, owned)
    elif before_owned and not record:
        sweep_ops.add_to(before, g)
    elif owned and not record:
        sweep_ops.add_to(g, before)
        gradients[edge] = (g, True)
    else:
        gradients[edge] = (sweep_ops.add(before, g), True)


def _is_new(gi, i: int, g, results) -> bool:
    """Whether a row's result has memory of its own: it is no view, not shared, and not g itself."""
    array = gi._data
    if array.base is not None or gi._guard is not None or array is g._data:
        return False
    others = (r for j, r in enumerate(results) if j != i and r is not None)
    return len(results) == 1 or all(other._data is not array for other in others)


def _is_reshaped(gi, g) -> bool:
    """Whether a row only reshaped g: gi is a view of all of it.  Nothing uses g after this, so gi may own its memory.

    A view that NumPy made read-only (broadcast_to, even where nothing repeats) does not count: it is copied later.
    """
    array = gi._data
    if array.base is None and array is not g._data:
        return False
    if array.size != g._data.size or not array.flags.c_contiguous:
        return False
    return getattr(array.flags, "writeable", True) and share_memory(array, g._data)


# giving gradients to callers


def _hand_over(node: Node, g, owned: bool, targets, found: dict, record: bool):
    """Give a node's gradient to hooks, `retain_grad` and `grad` where they asked for it.  It also flows on."""
    if node.hooks:
        g, owned = _hooked(node.hooks, in_own_memory(g, owned, record)), False
    retained = node.retained and node.retained()
    if retained is not None:
        _accumulate(retained, g, False, record)
    if targets is not None and node in targets:
        found[node], owned = (g, False), False
    return g, owned


def _hooked(hooks: dict, g):
    """The gradient after the hooks; what a hook returns, unless None, replaces it."""
    for hook in list(hooks.values()):
        result = hook(g)
        g = g if result is None else result
    return g


def in_own_memory(g, owned: bool, record: bool):
    """A gradient in memory of its own, copied if anything else may hold it: `x.grad.mul_(2)` changes no other."""
    if owned:
        return g
    return sweep_ops.clone(g) if record else Tensor._wrap(g._data.copy())


def _accumulate(tensor, g, owned: bool, record: bool) -> None:
    """Add to `tensor.grad`, one thread at a time: otherwise one of two concurrent updates would be lost.

    As in PyTorch `.grad` stays the same Tensor and its memory is written to, unless the sum has to be recorded.
    """
    with memory.lock:
        before = tensor.grad
        if before is None:
            tensor.grad = in_own_memory(g, owned, record)
        elif before._data.shape != g._data.shape:
            message = f"found x.grad of shape {before.shape}, expected {g.shape} as x"
            raise refusal("backward", ShapeError, message)
        elif record or before._requires_grad or before._data.dtype != g._data.dtype:
            tensor.grad = sweep_ops.add(before, g)
        else:
            before._touch()
            sweep_ops.add_to(before, g)


# what callers use


def as_list(x) -> list:
    return [x] if isinstance(x, Tensor) else list(x)


def backward(
    tensors,
    grad_tensors=None,
    retain_graph=None,
    create_graph: bool = False,
    grad_variables=None,
    inputs=None,
) -> None:
    """Add to `.grad` of every leaf the derivative of `tensors`, weighted by `grad_tensors` (ones for one element)."""
    if grad_variables is not None:
        raise refusal("backward", NotImplementedError, "grad_variables is not supported; use grad_tensors")
    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    seeds = seeds_of(tensors, grad_tensors, "backward")
    inputs = None if inputs is None else checked_inputs(inputs, "backward")
    run_sweep(_add_to_leaves, tensors, seeds, inputs, retain_graph, create_graph)


def run_sweep(function, tensors: list, seeds: list, inputs, retain_graph, record: bool):
    """Run a whole backward or grad, with recording on or off."""
    roots, keep_graph = [edge_of(t) for t in tensors], record if retain_graph is None else retain_graph
    before, this_thread.recording = this_thread.recording, bool(record)
    try:
        if observer is not None:
            return observer("sweep", None, function, roots, seeds, inputs, keep_graph, record)
        return function(roots, seeds, inputs, keep_graph, record)
    finally:
        this_thread.recording = before


def _add_to_leaves(roots: list, seeds: list, inputs, keep_graph: bool, record: bool) -> None:
    """Add what the sweep finds to `.grad`: of every leaf, or of each of `inputs` once, however often it is named."""
    if inputs is None:
        for leaf, (g, owned) in sweep(roots, seeds, None, keep_graph, record).items():
            _accumulate(leaf, g, owned, record)
        return
    tensors = {edge_of(x): x for x in inputs}
    found = sweep(roots, seeds, set(tensors), keep_graph, record)
    for edge, tensor in tensors.items():
        retained = getattr(edge, "retained", None)
        if edge in found and (retained is None or retained() is not tensor):  # else the sweep has added it
            _accumulate(tensor, *found[edge], record)


def seeds_of(outputs: list, given, operation: str) -> list:
    """Incoming gradients: those given, else one for each output of one element."""
    given = [None] * len(outputs) if given is None else as_list(given)
    if len(given) != len(outputs):
        raise refusal(operation, ValueError, f"found {len(given)} gradients for {len(outputs)} outputs")
    seeds = []
    for output, g in zip(outputs, given):
        if not output._requires_grad:
            raise refusal(
                operation,
                RuntimeError,
                f"the output {output.shape} does not require a gradient: nothing was recorded",
            )
        if g is None:
            if output._data.size != 1:
                message = f"found an output of shape {output.shape}, expected one element"
                message += "; pass the incoming gradient for anything else"
                raise refusal(operation, RuntimeError, message)
            g = Tensor._wrap(np.ones_like(output._data))
        elif g.shape != output.shape:
            message = f"found a gradient of shape {g.shape}, expected {output.shape}"
            raise refusal(operation, ShapeError, message)
        dtype = output._data.dtype
        seeds.append(g if g._data.dtype == dtype else sweep_ops.cast(g, dtype=dtype))
    return seeds


def checked_inputs(inputs, operation: str) -> list:
    """The Tensors to differentiate with respect to."""
    inputs = as_list(inputs)
    if not inputs:
        raise refusal(operation, ValueError, "found no inputs, expected at least one")
    for i, x in enumerate(inputs):
        if not x.requires_grad:
            raise refusal(
                operation, RuntimeError, f"input {i} of shape {x.shape} does not require a gradient"
            )
    return inputs


@attach
class Methods:
    """They become methods of Tensor."""

    def backward(self, gradient=None, retain_graph=None, create_graph: bool = False, inputs=None) -> None:
        """Add the derivative of this Tensor to `.grad` of every leaf it came from."""
        backward(self, gradient, retain_graph, create_graph, inputs=inputs)
