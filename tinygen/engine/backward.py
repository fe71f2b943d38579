"""backward and grad: visit the Nodes from consumers to producers, each once; run their rows; add.

observer   None, or what a profiler puts here: observer(step, node, function, *args) is called in the place of
           function(*args) and returns what that returns.  `step` is "sweep" for a whole backward or grad (node is
           None), and inside it "rows" for one node's derivative rows or fused rule, and "fit" where a row's result is
           summed or cast to fit the input.
"""

from __future__ import annotations

import operator
import os
import threading

import numpy as np

from tinygen.engine import own
from tinygen.engine.dtypes import ShapeError
from tinygen.engine.grad_mode import SetRecording
from tinygen.engine.hooks import RemovableHandle
from tinygen.engine.memory import shares
from tinygen.engine.node import Node
from tinygen.engine.tensor import Tensor, attach

observer = None

_serial_of = operator.attrgetter("serial")
_accumulating = threading.RLock()  # a signal's handler may call backward too


def _open_lock() -> None:
    """In a forked child there is no other thread to open it."""
    global _accumulating
    _accumulating = threading.RLock()


os.register_at_fork(after_in_child=_open_lock)


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
    order = topological(roots)
    useful = None if targets is None else _useful(order, targets)
    found = {}
    with SetRecording(record):
        for root, seed in zip(roots, seeds):
            _add(gradients, root, seed, False, record)
        for node in order:
            g, g_owned = gradients.pop(node, (None, False))
            if g is None or (useful is not None and node not in useful):
                continue
            if node.hooks:
                g, g_owned = _hooked(node.hooks, g, g_owned, record), False
            retained = node.retained and node.retained()
            if retained is not None:
                _accumulate(retained, g, False, record)
            if targets is not None and node in targets:
                found[node] = (g, False)  # it also flows on
                g_owned = False
            wanted = node.parents
            if useful is not None:
                wanted = [p if p in useful or p in targets else None for p in wanted]
                if all(p is None for p in wanted):
                    continue
            if node.op.adding is not None and not record and _add_part(gradients, node, wanted[0], g):
                continue
            if observer is None:
                row_results = node.input_gradients(g, wanted, record)
            else:
                row_results = observer("rows", node, node.input_gradients, g, wanted, record)
            if not keep_graph and node.saved:
                node.saved = None
            for i, parent in enumerate(wanted):
                if parent is None or row_results[i] is None:
                    continue
                gi = row_results[i]
                shape, dtype = node.inputs[i]
                if gi._data.shape != shape or gi._data.dtype != dtype:
                    gi = _fit(node, i, gi) if observer is None else observer("fit", node, _fit, node, i, gi)
                if g_owned and not record and len(wanted) == 1 and _is_reshaped(gi, g):
                    _add(gradients, parent, Tensor._wrap(gi._data), True, record)
                else:
                    _add(gradients, parent, gi, _is_new(gi, i, g, row_results), record)
        for edge, (g, owned) in gradients.items():
            if not isinstance(edge, Node):
                hooks = getattr(edge, "_hooks", None)  # most leaves never had any, and no such attribute
                found[edge] = (_hooked(hooks, g, owned, record), False) if hooks else (g, owned)
    return found


def _hooked(hooks: dict, g, owned: bool, record: bool):
    """The gradient after the hooks, in memory that nobody else holds when they get it."""
    g = _own(g, owned, record)
    for hook in list(hooks.values()):
        result = hook(g)
        if result is None:
            continue
        if not isinstance(result, Tensor):
            raise TypeError(
                f"register_hook: the hook returned a {type(result).__name__}, expected a Tensor or None"
            )
        if result.shape != g.shape or result.dtype != g.dtype:
            raise RuntimeError(
                f"register_hook: the hook returned {result.dtype} {result.shape} for a gradient {g.dtype} {g.shape}, "
                "expected the same"
            )
        g = result
    return g


def _is_new(gi, i: int, g, row_results) -> bool:
    """Whether memory of a row's result is known to nobody else: not a view, not shared, not handed on from `g`."""
    array = gi._data
    if array.base is not None or gi._guard is not None or array is g._data:
        return False
    for j, other in enumerate(row_results):
        if j != i and other is not None and other._data is array:
            return False
    return True


def _is_reshaped(gi, g) -> bool:
    """Whether gi is all of g in another shape: g is not used again, so that its memory is then gi's alone.

    A view that NumPy made read-only (broadcast_to, also along an axis of one) is left to be copied.
    """
    array = gi._data
    if (
        array.size != g._data.size
        or not array.flags.c_contiguous
        or not getattr(array.flags, "writeable", True)
    ):
        return False
    return shares(array, g._data)


def _add(gradients: dict, edge, g, owned: bool, record: bool) -> None:
    """Add a contribution to the gradient of `edge`; in place only into a sum that this sweep made."""
    before, before_owned = gradients.get(edge, (None, False))
    if before is None:
        gradients[edge] = (g, owned)
    elif before_owned and not record:
        before._data += g._data
    elif owned and not record:
        g._data += before._data
        gradients[edge] = (g, True)
    else:
        gradients[edge] = (own.add(before, g), True)


def _add_part(gradients: dict, node: Node, edge, g) -> bool:
    """Add `g`, the gradient of a part of what `edge` stands for, to that part of a sum that this sweep made, if any."""
    before, owned = gradients.get(edge, (None, False))
    if owned:
        node.op.adding(before._data, g._data, **node.attrs)
    return owned


def _fit(node: Node, i: int, g):
    """A row's result in its input's shape and dtype: summed once over the axes the input was broadcast along."""
    shape, dtype = node.inputs[i]
    if g._data.shape != shape:
        try:
            g = own.sum_to(g, shape=shape)
        except ShapeError as error:
            raise ShapeError(f"backward of {node.op.name}, input {i} of shape {shape}: {error}") from None
    return g if g._data.dtype == dtype else own.cast(g, dtype=dtype)


def _own(g, owned: bool, record: bool):
    """A gradient in memory of its own, copied if anything else may hold it: `x.grad.mul_(2)` changes no other."""
    if owned:
        return g
    if not record:
        return Tensor._wrap(g._data.copy())
    with SetRecording(True):
        return own.clone(g)


def _accumulate(tensor, g, owned: bool, record: bool) -> None:
    """Add to `tensor.grad`, one thread at a time: of two that read, add and write at once one would be lost."""
    with _accumulating:
        if tensor.grad is None:
            tensor.grad = _own(g, owned, record)
            return
        if tensor.grad._data.shape != g._data.shape:
            raise ShapeError(f"backward: found x.grad of shape {tensor.grad.shape}, expected {g.shape} as x")
        with SetRecording(record):
            tensor.grad = own.add(tensor.grad, g)


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
        seeds.append(g if g.dtype == output.dtype else own.cast(g, dtype=output.dtype))
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


def edge_of(tensor):
    return tensor if tensor._edge is None else tensor._edge


def _as_list(x) -> list:
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
        raise NotImplementedError("backward: grad_variables is not supported; use grad_tensors")
    tensors = _as_list(tensors)
    given = grad_tensors if grad_tensors is None else _as_list(grad_tensors)
    seeds = _seeds(tensors, given, "backward")
    keep = create_graph if retain_graph is None else retain_graph
    inputs = None if inputs is None else _targets(inputs, "backward")
    _observed(_add_to_leaves, [edge_of(t) for t in tensors], seeds, inputs, keep, create_graph)


def _add_to_leaves(roots: list, seeds: list, inputs, keep_graph: bool, record: bool) -> None:
    targets = None if inputs is None else {edge_of(x) for x in inputs}
    found = _sweep(roots, seeds, targets, keep_graph, record)
    receivers = [(leaf, leaf) for leaf in found] if inputs is None else [(x, edge_of(x)) for x in inputs]
    for tensor, edge in receivers:
        if edge in found:
            _accumulate(tensor, *found[edge], record)


def _found(roots: list, seeds: list, targets: set, keep_graph: bool, record: bool) -> dict:
    """{edge: gradient} for the targets, each in memory of its own"""
    found = _sweep(roots, seeds, targets, keep_graph, record)
    return {edge: _own(g, owned, record) for edge, (g, owned) in found.items()}


def _observed(function, *args):
    return function(*args) if observer is None else observer("sweep", None, function, *args)


def grad(
    outputs,
    inputs,
    grad_outputs=None,
    retain_graph=None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool = False,
) -> tuple:
    """The derivatives of `outputs` with respect to `inputs`, as a tuple; `.grad` is left alone.

    create_graph   record the computation, so that the result can be differentiated again
    only_inputs    accepted as in PyTorch, which does not heed it either
    allow_unused   None for an input the outputs do not depend on, instead of an error
    """
    outputs, inputs = _as_list(outputs), _targets(inputs, "grad")
    given = None if grad_outputs is None else _as_list(grad_outputs)
    seeds = _seeds(outputs, given, "grad")
    keep = create_graph if retain_graph is None else retain_graph
    roots, targets = [edge_of(o) for o in outputs], {edge_of(x) for x in inputs}
    found = _observed(_found, roots, seeds, targets, keep, create_graph)
    result = tuple(found.get(edge_of(x)) for x in inputs)
    if any(g is None for g in result):
        reached = _reached(roots)
        result = tuple(
            _nothing(x, create_graph) if g is None and edge_of(x) in reached else g
            for g, x in zip(result, inputs)
        )
    if not allow_unused and any(g is None for g in result):
        i = next(i for i, g in enumerate(result) if g is None)
        raise RuntimeError(
            f"grad: the outputs do not depend on input {i} of shape {inputs[i].shape}; pass allow_unused=True for None"
        )
    return result


def _reached(roots) -> set:
    """Every edge that `roots` depend on, themselves included."""
    nodes = topological(roots)
    return {*roots, *nodes, *(parent for node in nodes for parent in node.parents)}


def _nothing(x, record: bool):
    """The derivative with respect to x of what depends on x but is flat in it: zeros, which are flat in their turn."""
    with SetRecording(record):
        return own.flat(Tensor._wrap(np.zeros_like(x._data)), x)


def register_hook(tensor, hook) -> RemovableHandle:
    """`Tensor.register_hook`: on the operation a Tensor came from, or on the leaf that it is."""
    if not tensor.requires_grad:
        raise RuntimeError(
            "register_hook: this Tensor does not require a gradient, of which a hook could be told"
        )
    if not callable(hook):
        raise TypeError(f"register_hook: found a {type(hook).__name__}, expected a function of the gradient")
    if tensor._edge is None:
        hooks = tensor._hooks = getattr(tensor, "_hooks", None) or {}
    else:
        hooks = tensor._edge.hooks = tensor._edge.hooks or {}
    handle = RemovableHandle(hooks)
    hooks[handle] = hook
    return handle


@attach
class Methods:
    """They become methods of Tensor."""

    def backward(self, gradient=None, retain_graph=None, create_graph: bool = False, inputs=None) -> None:
        """Add the derivative of this Tensor to `.grad` of every leaf it came from."""
        backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    def register_hook(self, hook) -> RemovableHandle:
        """Call hook(gradient) when the gradient of this Tensor is known; what it returns, if not None, replaces it."""
        return register_hook(self, hook)
