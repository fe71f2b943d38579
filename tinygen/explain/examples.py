"""An example call of every operation, on inputs that are small enough to print and away from kinks.

`explain` shows it, reads from its graph what the operation consists of, and checks its derivatives.  Operations declare
their examples (ops/declaration.py).  A function of one Tensor, or of two of which the second is called `other`, needs
none unless it is picky about its values: `name(x)` and `name(x, other)` are the default.
"""

from __future__ import annotations

import inspect
import zlib
from typing import NamedTuple

import numpy as np

from tinygen import nn, random, tensor
from tinygen.nn import functional as F
from tinygen.ops.declaration import DECLARED, real, whole

# how the inputs are drawn; ops/declaration.py says what they are
DRAWN = {
    "real": lambda rng, shape: np.round(rng.integers(-6, 6, shape) / 2 + rng.uniform(0.1, 0.4, shape), 2),
    "positive": lambda rng, shape: np.round(rng.integers(0, 4, shape) / 2 + rng.uniform(0.1, 0.4, shape), 2),
    "probability": lambda rng, shape: np.round(rng.uniform(0.1, 0.9, shape), 2),
    "distinct": lambda rng, shape: _distinct(rng, shape),
    "whole": lambda rng, shape: rng.integers(0, 3, shape),
    "truth": lambda rng, shape: np.resize(rng.permutation([True, False, True, False]), shape),
    "exactly": lambda rng, numbers: np.array(numbers),
}


def _distinct(rng, shape: tuple):
    n = int(np.prod(shape))
    numbers = (rng.permutation(n) - n // 2) * 0.3 + rng.uniform(0.05, 0.2, n)
    return np.round(numbers, 2).reshape(shape)


class Example(NamedTuple):
    """A call as it is written, and the inputs that it names."""

    call: str
    inputs: dict

    def arrays(self, seed: int) -> dict:
        rng = np.random.default_rng([seed, zlib.crc32(self.call.encode())])
        return {name: np.asarray(DRAWN[x.kind](rng, x.values)) for name, x in self.inputs.items()}

    def tensors(self, seed: int) -> dict:
        """The inputs as Tensors; floating ones require a gradient unless they are `constant`."""
        return {
            name: tensor(array, requires_grad=array.dtype.kind == "f" and not self.inputs[name].constant)
            for name, array in self.arrays(seed).items()
        }

    def run(self, values: dict):
        """The call on these values, with the same random numbers at every call."""
        import tinygen

        state = random.get_state()
        random.manual_seed(0)
        try:
            return eval(self.call, {"tinygen": tinygen, "F": F, "nn": nn, **values})
        finally:
            random.set_state(state)


EXAMPLES = {
    declared.name: Example(*declared.example) for declared in DECLARED if declared.example is not None
} | {  # not operations
    "Tensor.to": Example("tinygen.ops.cast(x, dtype=tinygen.float64)", {"x": real(2, 3)}),
    "Tensor.__getitem__": Example("x[index, 1:]", {"x": real(3, 3), "index": whole(2)}),
    "nn.MultiheadAttention": Example(
        "nn.MultiheadAttention(2, 1, dtype=tinygen.float64)(query, key, value)[0]",
        {"query": real(2, 1, 2), "key": real(3, 1, 2), "value": real(3, 1, 2)},
    ),
    "nn.Identity": Example("nn.Identity()(x)", {"x": real(2, 3)}),
}


def example_of(name: str, function) -> Example:
    """The example of an operation, by its name as `every_name` lists it.

    Raises LookupError where it needs one and none was declared.
    """
    if name in EXAMPLES:
        return EXAMPLES[name]
    place, _, short = name.rpartition(".")
    if place == "F" and short in EXAMPLES:
        call, inputs = EXAMPLES[short]
        return Example(call.replace("tinygen.", "F.", 1), inputs)
    call = name if place == "F" else f"tinygen.{name}"
    parameters = () if isinstance(function, type) else inspect.signature(function).parameters.values()
    required = [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    if len(required) == 1:
        return Example(f"{call}(x)", {"x": real(2, 3)})
    if len(required) == 2 and required[1] == "other":
        return Example(f"{call}(x, other)", {"x": real(2, 3), "other": real(3)})
    raise LookupError(f"{name} has no example: give one to its @operation, see tinygen/ops/declaration.py")
