"""Random programs, built from the case table: values and gradients are PyTorch's.

A program is a list of steps; each step calls one case.  A floating input of the case is its own array, which avoids
all kinks, plus a small periodic function of an earlier result: the call stays valid, and all earlier results
flow into it.  Between the calls, views are taken of earlier results, and results and views are written to: in place,
item by item, with `inplace=True`, under no_grad and through detach.  All results are summed with random weights and
differentiated with respect to the first inputs, once or twice.

A write that PyTorch refuses is left out on both sides.  If a saved array was changed, backward is refused by
both sides or by one, as they do not always save the same.  Derivatives are compared if both sides return them.
TINYGEN_RANDOM_PROGRAMS=100000 runs that many (default: 3,000).
"""

import os
from collections import Counter

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

BLOCKS = 20  # number of tests, so that workers share the programs
PROGRAMS = int(os.environ.get("TINYGEN_RANDOM_PROGRAMS", 3000))
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
    """`base` + 0.08 sin(7 source), with the source's elements in order, repeated as needed."""
    count = int(np.prod(base.shape))
    places = make(np.arange(count) % source.numel())
    values = source.reshape(-1)[places].reshape(base.shape)
    largest = float(abs(source.detach()).max())
    return make(base) + 0.08 * T.sin(values * (7 / max(1.0, largest / 10)))


VIEWS = [
    lambda T, y, k: y.unsqueeze(-1),
    lambda T, y, k: y[k % y.shape[0]],
    lambda T, y, k: y[: y.shape[0] // 2 + 1],
    lambda T, y, k: y[..., ::2],
    lambda T, y, k: y.transpose(0, -1),
    lambda T, y, k: y.unsqueeze(0).expand(2, *y.shape),
    lambda T, y, k: y.permute(tuple(reversed(range(y.ndim)))),
    lambda T, y, k: y.narrow(-1, 0, 1).squeeze(-1),
    lambda T, y, k: y.detach(),
]


def _no_grad(T, write, *args):
    with T.no_grad():
        write(*args)


# writes to y; x has y's shape and depends on the leaves
WRITES = {
    "add_": lambda T, F, y, x, k: y.add_(x, alpha=0.5),
    "mul_": lambda T, F, y, x, k: y.mul_(0.3 + 0.1 * x),
    "mul_ by a number": lambda T, F, y, x, k: y.mul_(0.7),
    "-=": lambda T, F, y, x, k: y.__isub__(x),
    "div_": lambda T, F, y, x, k: y.div_(2 + x * x),
    "copy_": lambda T, F, y, x, k: y.copy_(x),
    "zero_": lambda T, F, y, x, k: y.zero_(),
    "tanh_": lambda T, F, y, x, k: y.tanh_(),
    "masked_fill_": lambda T, F, y, x, k: y.masked_fill_(x > 0.1, 0.2),
    "lerp_": lambda T, F, y, x, k: y.lerp_(x, 0.3),
    "addcmul_": lambda T, F, y, x, k: y.addcmul_(x, x, value=0.4),
    "relu": lambda T, F, y, x, k: F.relu(y, inplace=True),
    "leaky_relu": lambda T, F, y, x, k: F.leaky_relu(y, 0.1, inplace=True),
    "elu": lambda T, F, y, x, k: F.elu(y, inplace=True),
    "silu": lambda T, F, y, x, k: F.silu(y, inplace=True),
    "hardtanh": lambda T, F, y, x, k: F.hardtanh(y, -0.77, 0.83, inplace=True),
    "y[i] = number": lambda T, F, y, x, k: y.__setitem__(k % y.shape[0], 0.3),
    "y[i] = x[j]": lambda T, F, y, x, k: y.__setitem__(k % y.shape[0], x[-1]),
    "y[..., ::2] = x": lambda T, F, y, x, k: y.__setitem__((Ellipsis, slice(None, None, 2)), x[..., ::2]),
    "y[mask] = number": lambda T, F, y, x, k: y.__setitem__(x > 0, 0.25),
    "y[mask] = x[mask]": lambda T, F, y, x, k: y.__setitem__(x > 0, x[x > 0]),
    "y[list] = x[0]": lambda T, F, y, x, k: y.__setitem__([k % y.shape[0]], x[:1]),
    "y[0] *= number": lambda T, F, y, x, k: y[0].mul_(1.2),
    "y[:, 0] += x": lambda T, F, y, x, k: y[:, 0].add_(x[:, 0]),
    "y.t() -= x": lambda T, F, y, x, k: y.t().sub_(x.t()),
    "no_grad add_": lambda T, F, y, x, k: _no_grad(T, y.add_, 0.5),
    "no_grad y[i]": lambda T, F, y, x, k: _no_grad(T, y.__setitem__, 0, 0.4),
    "detach mul_": lambda T, F, y, x, k: y.detach().mul_(0.9),
    "no_grad view": lambda T, F, y, x, k: _no_grad(T, lambda: y[0].mul_(0.9)),
}


class ReadOnly(Exception):
    """Memory to which only PyTorch can write."""


def rewrite(T, F, make, pool, how, choice) -> None:
    """Take one view, which joins the pool, or write to one result in the pool."""
    y = pool[choice % len(pool)]
    if isinstance(how, int):
        pool.append(VIEWS[how](T, y, choice))
    else:
        x = fed(T, np.full(tuple(y.shape), 0.1), make, pool[(choice // 7) % len(pool)])
        WRITES[how](T, F, y, x, choice)


def execute(side, arrays, program, refused):
    """Run a program on one side.  -> first inputs, results of all steps

    refused   the numbers of the writes and views that PyTorch, which runs first, refuses; they are left out
    """
    T, F, make, _ = SIDES[side]
    leaves = [make(a, True) for a in arrays]
    pool, results = list(leaves), []
    for number, (key, choice, how) in enumerate(program):
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
        if how is None or number in refused:
            continue
        try:
            rewrite(T, F, make, pool, how, choice)
        except (RuntimeError, IndexError, ValueError) as error:
            if "memory is read-only" in str(error):  # PyTorch writes to a row of an expanded Tensor
                raise ReadOnly from error
            if side == "tinygen":
                raise
            refused.add(number)
    return leaves, results


def derivatives(side, leaves, results, twice):
    """The gradient of the randomly weighted results, and the gradient of that gradient."""
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


CHANGED = (
    "modified by an inplace operation",
    "changed in place after the forward",
    "more than one element of the written-to tensor",  # PyTorch's backward of a write below an expanded view
)


def compare(ours, theirs) -> None:
    """Compare results, and derivatives where both sides return them."""
    for what, found, expected in zip(("result", "gradient"), ours, theirs):
        if found is None or expected is None:
            continue
        assert len(found) == len(expected)
        for k, (a, b) in enumerate(zip(found, expected)):
            assert_same(a, b, 1e-7, f"{what} {k}")


def check(keys, number, programs):
    """Compare the results and derivatives of random programs of the cases `keys` on both sides."""
    change = st.sampled_from([None, None, *range(len(VIEWS)), *WRITES])
    steps = st.lists(st.tuples(st.sampled_from(keys), st.integers(0, 999), change), min_size=2, max_size=7)

    @seed(number)
    @settings(
        max_examples=programs,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        report_multiple_bugs=False,
    )
    @given(roots, steps, st.booleans())
    def same(arrays, program, twice):
        refused, sides = set(), {}
        for side in ("torch", "tinygen"):
            try:
                leaves, results = execute(side, arrays, program, refused)
            except ReadOnly:
                outcomes["read-only"] += 1
                return
            try:
                sides[side] = results, derivatives(side, leaves, results, twice)
            except RuntimeError as error:
                if not any(reason in str(error) for reason in CHANGED):
                    raise
                sides[side] = results, None
        outcomes[tuple(side for side in SIDES if sides[side][1] is None)] += 1
        compare(sides["tinygen"], sides["torch"])

    outcomes = Counter()
    same()
    # a row that saves its output where PyTorch saves the input, or the other way round
    assert max(outcomes["tinygen",], outcomes["read-only"]) <= max(3, programs // 10), outcomes
    assert outcomes[()] >= programs // 2, outcomes


@pytest.mark.parametrize("block", range(BLOCKS))
def test_random_programs(block):
    check(USABLE, block, -(-PROGRAMS // BLOCKS))


def test_a_wrong_rule_is_found(monkeypatch):
    rule = tinygen.tanh.rows[0]
    monkeypatch.setattr(tinygen.tanh, "rows", (lambda known, i: rule(known, i) * 1.001,))
    with pytest.raises(AssertionError, match="gradient"):
        check(["tanh", "mul", "matmul"], 0, 30)
