"""grad: the derivatives of some Tensors with respect to others, returned instead of added to `.grad`."""

from __future__ import annotations

import numpy as np

from tinygen.engine import sweep_ops
from tinygen.engine.backward import (
    as_list,
    checked_inputs,
    edge_of,
    in_own_memory,
    run_sweep,
    seeds_of,
    sweep,
    topological,
)
from tinygen.engine.errors import refusal
from tinygen.engine.tensor import Tensor


def grad(
    outputs,
    inputs,
    grad_outputs=None,
    retain_graph=None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool = False,
) -> tuple:
    """The derivatives of `outputs` with respect to `inputs`, as a tuple.  No leaf's `.grad` changes.

    `.grad` of an intermediate result with `retain_grad` is filled in, as in PyTorch.

    create_graph   record the computation, so that the result can be differentiated again
    only_inputs    accepted and ignored, as in PyTorch
    allow_unused   None for an input the outputs do not depend on, instead of an error
    """
    outputs, inputs = as_list(outputs), checked_inputs(inputs, "grad")
    seeds = seeds_of(outputs, grad_outputs, "grad")
    result = run_sweep(_derivatives, outputs, seeds, inputs, retain_graph, create_graph)
    for i, (x, g) in enumerate(zip(inputs, result)):
        if g is None and not allow_unused:
            raise refusal(
                "grad",
                RuntimeError,
                f"the outputs do not depend on input {i} of shape {x.shape}; pass allow_unused=True for None",
            )
    return result


def _derivatives(roots: list, seeds: list, inputs: list, keep_graph: bool, record: bool) -> tuple:
    """One for each input; None where the roots do not depend on it."""
    edges = [edge_of(x) for x in inputs]
    found = sweep(roots, seeds, set(edges), keep_graph, record)
    found = {edge: in_own_memory(g, owned, record) for edge, (g, owned) in found.items()}
    if any(edge not in found for edge in edges):
        nodes = topological(roots)
        reached = {*roots, *nodes, *(parent for node in nodes for parent in node.parents)}
        for x, edge in zip(inputs, edges):
            if (
                edge in reached and edge not in found
            ):  # constant in x: the gradient is zero, and so are its derivatives
                found[edge] = sweep_ops.flat(Tensor._wrap(np.zeros_like(x._data)), x)
    return tuple(found.get(edge) for edge in edges)
