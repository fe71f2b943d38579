"""Zeros, infinities, nan, subnormal, huge and repeated numbers through every operation, compared with PyTorch.

Every case of the table runs on inputs in which some or all numbers are special.  Values and gradients are PyTorch's,
nan and infinite in the same places.  Where they differ, TABLE says why; an entry that is no longer needed fails.
"""

import warnings
import zlib
from collections import defaultdict

import numpy as np
import pytest
from cases import CASES
from test_ops import as_array, differentiable, ours, run_ours, run_theirs, theirs

from tinygen.autograd import grad

torch = pytest.importorskip("torch")

TINY = {"float32": 1e-40, "float64": 1e-310}  # subnormal
HUGE = {"float32": 1e18, "float64": 1e150}  # its square is finite, its cube is not


def everywhere(value):
    return lambda a, random: np.full_like(a, value)


def among(*values):
    """Ordinary numbers with special ones in about a third of the places, at least one."""

    def fill(a, random):
        if not a.size:
            return a
        places = random.random(a.shape) < 1 / 3
        places.reshape(-1)[random.integers(a.size)] = True
        chosen = [v[a.dtype.name] if isinstance(v, dict) else v for v in values]
        return np.where(places, random.choice(chosen, a.shape), a).astype(a.dtype)

    return fill


FILLS = {
    "zeros": everywhere(0),
    "constant": everywhere(0.1),
    "0": among(0.0, -0.0),
    "inf": among(np.inf),
    "-inf": among(-np.inf),
    "nan": among(np.nan),
    "tiny": among(TINY),
    "huge": among(HUGE),
}


def filled(case, fill, dtype):
    """The case's inputs; floating ones that require a gradient are filled."""
    random = np.random.default_rng(zlib.crc32(f"{case.name} {fill}".encode()))
    return [
        FILLS[fill](a, random) if a.dtype.kind == "f" and leaf and not getattr(make, "exact", False) else a
        for a, leaf, make in zip(case.arrays(dtype), case.leaves, case.inputs)
    ]


def outcome(run, make, derive, case, arrays):
    """Outputs and gradients, None for a missing one; or the exception."""
    try:
        xs, ys = run(case, arrays, case.grad)
        results, recorded = [as_array(y).copy() for y in ys], differentiable(ys)
        if case.grad and recorded:
            random, leaves = np.random.default_rng(0), [x for x in xs if x.requires_grad]
            weights = [random.uniform(0.5, 1.5, tuple(y.shape)).astype(as_array(y).dtype) for y in recorded]
            gradients = derive(recorded, leaves, [make(w) for w in weights], allow_unused=True)
            results += [
                np.zeros(tuple(x.shape)) if g is None else as_array(g) for g, x in zip(gradients, leaves)
            ]
        return results
    except (RuntimeError, ValueError, TypeError, IndexError, OverflowError) as error:
        return error


def same(a, b, slack):
    """Nonfinite in the same places with the same values; elsewhere equal within 1e-4 of the largest."""
    if a.shape != b.shape or a.dtype.kind != "f":
        return np.array_equal(a, b)
    finite = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(np.where(finite, 0, a), np.where(finite, 0, b), equal_nan=True):
        return False
    a, b = a[finite].astype(np.float64), b[finite].astype(np.float64)
    return not a.size or np.abs(a - b).max() <= 1e-4 * np.abs(b).max() + slack


def differs(case, fill, dtype) -> bool:
    arrays = filled(case, fill, dtype)
    sides = (run_ours, ours, grad), (run_theirs, theirs, torch.autograd.grad)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, expected = (outcome(*side, case, [a.copy() for a in arrays]) for side in sides)
    if isinstance(found, Exception) or isinstance(expected, Exception):
        return not (isinstance(found, Exception) and isinstance(expected, Exception))
    slack = {"tiny": 1e-45, "0": 1e-6}.get(
        fill, 1e-5
    )  # where all numbers are equal, differences are rounding
    return not all(same(a, b, slack) for a, b in zip(found, expected))


def looked_at():
    """{name: [(case, fill, dtype)]}: the first case of a name with every fill, the others with two of them in turn."""
    by_name, fills = defaultdict(list), list(FILLS)
    for case in CASES.values():
        if case.parity:
            k = len(by_name[case.name]) and len(by_name[case.name]) - len(fills) + 1
            chosen = fills if not k else (fills[k % len(fills)], fills[(k + 3) % len(fills)])
            dtype = "float64" if k % 4 == 1 else "float32"
            by_name[case.name] += [(case, fill, dtype) for fill in chosen]
    return by_name


LOOKED_AT = looked_at()

PADDING = (
    "the zeros of the padding are multiplied too: 0 · inf and 0 · nan are nan, where PyTorch leaves them out"
)
MATRIX = (
    "a product with a matrix of weights, most of them 0: what is not finite spreads along its row and column"
)
INFINITE_NORM = (
    "0 · inf after an infinite weight or bias: PyTorch folds them into one scale and one shift, or does not"
)
OF_OTHERS = "the product of the others, as it is; PyTorch divides the whole product by the element: inf / inf"
CENTRED = "the mean's part of the gradient is inf - inf; PyTorch leaves that part out, as it is 0 for finite numbers"
ZERO_TARGET = "a target of 0 has the derivative -input; PyTorch's log 0 is multiplied by it: nan"
VECTORS = "PyTorch's vector loop and its loop over what is left of a row disagree; here both do as the latter"
EQUAL = "the variance of equal numbers is 0; PyTorch's is what rounding leaves, and its root has a derivative"
CANCELLED = (
    "terms of 1e18 and more cancel: one rounding more or less decides (RMSNorm's are summed in float64 here)"
)
BY_MACHINE = {VECTORS, EQUAL, CANCELLED}  # what PyTorch does there depends on the processor's vectors
INF = ("inf", "-inf")

# (reason, fills, names): each fill of each name differs, and is checked to differ still
TABLE = [
    (PADDING, {*INF, "nan"}, "conv2d F.conv2d conv_transpose2d"),
    (PADDING, INF, "conv1d nn.Conv1d nn.Conv2d nn.ConvTranspose2d"),
    (MATRIX, {*INF, "nan"}, """nn.AdaptiveAvgPool1d nn.AdaptiveAvgPool2d nn.Upsample nn.UpsamplingBilinear2d
        F.interpolate F.adaptive_avg_pool2d adaptive_avg_pool1d"""),
    (INFINITE_NORM, INF, "nn.BatchNorm1d"),
    (INFINITE_NORM, {"-inf"}, "batch_norm"),
    (INFINITE_NORM, {"inf"}, "nn.InstanceNorm1d"),
    (OF_OTHERS, INF, "cumprod"),
    (OF_OTHERS, {*INF, "nan", "huge"}, "prod"),
    (CENTRED, INF, "var var_mean std_mean"),
    (ZERO_TARGET, {"0", "zeros"}, "F.kl_div nn.KLDivLoss"),
    (VECTORS, {"nan"}, "F.hardtanh nn.Hardtanh nn.ReLU6"),
    (VECTORS, {"inf"}, "F.gelu nn.GELU"),
    ("max(x, 0) - x target + … is inf - inf at inf, PyTorch's (1 - target) x + … at -inf", INF,
        "F.binary_cross_entropy_with_logits"),
    ("all -inf: the gradient is 0, PyTorch's nan", {"-inf"}, "logsumexp"),
    ("a nan is the extreme and has the gradient; PyTorch finds none equal to it: 0 / 0", {"nan"}, "amax amin"),
    (EQUAL, {"constant"}, "std nn.GroupNorm"),
    (CANCELLED, {"huge"}, "nn.RMSNorm F.scaled_dot_product_attention"),
    ("no keys: 0; PyTorch multiplies a query by 0, which is nan for nan", {"nan"}, "F.scaled_dot_product_attention"),
    ("which of equal elements come first is not defined", {*INF, "0", "constant", "huge", "tiny"}, "topk"),
]  # fmt: skip

DIFFERENCES, STEADY = defaultdict(set), defaultdict(set)
for reason, fills, names in TABLE:
    for name in names.split():
        DIFFERENCES[name] |= set(fills)
        STEADY[name] |= set() if reason in BY_MACHINE else set(fills)


@pytest.mark.parametrize("name", LOOKED_AT)
def test_special_values(name):
    found = {fill for case, fill, dtype in LOOKED_AT[name] if differs(case, fill, dtype)}
    assert not found - DIFFERENCES[name], "unlike PyTorch; mend it, or say in TABLE why it is right"
    assert not STEADY[name] - found, "as in PyTorch now: to be taken out of TABLE"


def test_the_table_names_operations():
    assert set(DIFFERENCES) <= set(LOOKED_AT)
