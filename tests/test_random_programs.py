"""Random programs: expressions put together from the case table, values and gradients as PyTorch's.

A program is a list of steps; each step calls one case.  A floating input of the case is its own array, which lies off
every kink, plus a small periodic function of an earlier result: the call stays valid, and everything computed before
flows into it.  All results are summed with random weights and differentiated with respect to the first inputs, once
or twice.  TINYGEN_RANDOM_PROGRAMS=100000 runs as many (1,000 by default).
"""

import os

import numpy as np
import pytest
from cases import CASES
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from test_ops import assert_same, ours, theirs

import tinygen
from tinygen.autograd import grad
from tinygen.nn import functional

torch = pytest.importorskip("torch", reason="parity needs torch")

BLOCKS = 20  # tests, so that workers share the programs
PROGRAMS = int(os.environ.get("TINYGEN_RANDOM_PROGRAMS", 1000))
USABLE = [k for k, c in CASES.items() if c.inputs and c.parity and (c.second or not c.grad)]
SIDES = {
    "tinygen": (tinygen, functional, ours, grad),
    "torch": (torch, torch.nn.functional, theirs, torch.autograd.grad),
}

roots = st.lists(
    st.lists(st.integers(1, 4), max_size=3).flatmap(
        lambda shape: st.integers(0, 2**16).map(lambda n: np.random.default_rng(n).normal(size=shape))
    ),
    min_size=1,
    max_size=3,
)


def fed(T, base, make, source):
    """`base` + 0.08 sin(7 source), the source's elements in order, over again where they are too few."""
    count = int(np.prod(base.shape))
    places = make(np.arange(count) % source.numel())
    values = source.reshape(-1)[places].reshape(base.shape)
    largest = float(abs(source.detach()).max())
    return make(base) + 0.08 * T.sin(values * (7 / max(1.0, largest / 10)))


def execute(side, arrays, program):
    """Run a program on one side.  -> first inputs, results of all steps"""
    T, F, make, _ = SIDES[side]
    leaves = [make(a, True) for a in arrays]
    pool, results = list(leaves), []
    for key, choice in program:
        case = CASES[key]
        inputs = []
        for i, (base, maker) in enumerate(zip(case.arrays(), case.inputs)):
            feed = base.dtype.kind == "f" and case.leaves[i] and not getattr(maker, "exact", False)
            source = pool[(choice * (i + 1) + i) % len(pool)]
            source = source if case.grad else source.detach()
            inputs.append(fed(T, base, make, source) if feed else make(base))
        outputs = (case.call if side == "tinygen" else case.torch)(T, F, *inputs)
        outputs = list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
        if not case.grad:
            outputs = [y.detach() for y in outputs]  # PyTorch refuses only at backward
        results += outputs
        pool += [y for y in outputs if y.dtype == T.float64 and y.numel() and T.isfinite(y).all()]
    return leaves, results


def derivatives(side, leaves, results, twice):
    """The gradient of the results, weighted at random, and the gradient of that."""
    _, _, make, derive = SIDES[side]
    random = np.random.default_rng(0)
    outputs = [y for y in results if y.requires_grad]
    if not outputs:
        return []
    weights = [make(random.standard_normal(tuple(y.shape))).to(y.dtype) for y in outputs]
    first = derive(outputs, leaves, weights, create_graph=True, allow_unused=True)
    if not twice:
        return list(first)
    again = [(g, make(random.standard_normal(tuple(x.shape)))) for g, x in zip(first, leaves)]
    again = [(g, w) for g, w in again if g is not None and g.requires_grad]
    if not again:
        return list(first)
    second = derive([g for g, _ in again], leaves, [w for _, w in again], allow_unused=True)
    return [*first, *second]


def check(keys, number, programs):
    """Compare the results and derivatives of random programs of the cases `keys` on both sides."""
    steps = st.lists(st.tuples(st.sampled_from(keys), st.integers(0, 999)), min_size=2, max_size=7)

    @seed(number)
    @settings(
        max_examples=programs,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(roots, steps, st.booleans())
    def same(arrays, program, twice):
        sides = {}
        for side in SIDES:
            leaves, results = execute(side, arrays, program)
            sides[side] = results, derivatives(side, leaves, results, twice)
        for what, found, expected in zip(("result", "gradient"), *sides.values()):
            assert len(found) == len(expected)
            for k, (a, b) in enumerate(zip(found, expected)):
                assert_same(a, b, 1e-7, f"{what} {k}")

    same()


@pytest.mark.parametrize("block", range(BLOCKS))
def test_random_programs(block):
    check(USABLE, block, -(-PROGRAMS // BLOCKS))


def test_a_wrong_rule_is_found(monkeypatch):
    rule = tinygen.tanh.rows[0]
    monkeypatch.setattr(tinygen.tanh, "rows", (lambda known, i: rule(known, i) * 1.001,))
    with pytest.raises(AssertionError, match="gradient"):
        check(["tanh", "mul", "matmul"], 0, 30)
