"""Run an example: its results and gradients, the operations and kernels that ran, and a check of its derivatives."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from tinygen import autograd
from tinygen.engine import backward as sweep
from tinygen.engine.primitive import Primitive
from tinygen.engine.tensor import Tensor
from tinygen.explain.examples import Example
from tinygen.face.gradcheck import measure
from tinygen.kernels.runtime.dispatch import trace

SEEDS = 3


@dataclass
class Outcome:
    """The outcome of running an example."""

    inputs: dict  # name: Tensor
    outputs: list
    primitives: list  # that were recorded, in the order in which they ran
    forward_kernels: list = field(default_factory=list)  # (kernel, variant), each once
    backward_kernels: list = field(default_factory=list)
    gradients: dict = field(default_factory=dict)  # input name: Tensor


def run_example(example: Example, seed: int) -> Outcome:
    """Run forward, and backward from sum(c · y) with c = 1, 2, 3, … over the elements of all outputs y."""
    inputs = example.tensors(seed)
    with trace() as forward:
        outputs = tensors_of(example.run(inputs))
    recorded = [y for y in outputs if y.requires_grad]
    result = Outcome(inputs, outputs, _primitives(recorded), list(dict.fromkeys(forward)))
    leaves = {name: x for name, x in inputs.items() if x.requires_grad}
    if recorded and leaves:
        with trace() as backward:
            gradients = autograd.grad(recorded, list(leaves.values()), weights(recorded), allow_unused=True)
        result.gradients = dict(zip(leaves, gradients))
        result.backward_kernels = list(dict.fromkeys(backward))
    return result


def tensors_of(value) -> list:
    values = value if isinstance(value, tuple | list) else (value,)
    return [v for v in values if isinstance(v, Tensor)]


def weights(outputs) -> list:
    """1, 2, 3, … over all elements, in the shapes of the outputs, so that all elements have different weights."""
    ends = np.cumsum([y.numel() for y in outputs])
    return [
        Tensor._wrap(np.arange(end - y.numel() + 1, end + 1).reshape(y.shape).astype(y.dtype))
        for y, end in zip(outputs, ends)
    ]


def _primitives(outputs) -> list[Primitive]:
    nodes = sweep.topological([sweep.edge_of(y) for y in outputs])
    return list(dict.fromkeys(node.op for node in reversed(nodes)))


@dataclass
class Check:
    """First and second derivatives against central differences: the largest differences and the first failures."""

    seeds: list
    seconds: float
    errors: dict  # order: largest |found - expected|
    failures: dict  # order: message

    @property
    def passed(self) -> bool:
        return not self.failures


def check(example: Example, seed: int) -> Check:
    """Compare the derivatives of an example with finite differences, for several seeds."""
    start, errors, failures = time.perf_counter(), {}, {}
    tried = list(range(seed, seed + SEEDS))
    for s in tried:
        inputs = example.tensors(s)

        def call(*values, names=tuple(inputs)):
            outputs = tensors_of(example.run(dict(zip(names, values))))
            return tuple(y for y in outputs if y.is_floating_point())

        call.__name__ = example.call
        for order in (1, 2):
            error, failure = measure(call, tuple(inputs.values()), order)
            errors[order] = max(error, errors.get(order, 0.0))
            if failure and order not in failures:
                failures[order] = f"seed {s}: {failure}"
    return Check(tried, time.perf_counter() - start, errors, failures)
