"""Sums of many numbers, over the whole case table: at most twice PyTorch's error, in every layout.

A case is made long by lengthening one of its sizes wherever it occurs: a linear layer's 3 rows, its 4 columns.  All
results that sum along it (values, or gradients of broadcast inputs) are compared with the same call in float64.
"""

import zlib

import numpy as np
import pytest
from cases import CASES

import tinygen
from tinygen.engine.tensor import Tensor
from tinygen.nn import functional

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings(
    "ignore"
)  # PyTorch warns about float16, broadcast shapes, a guessed dim

LONG, LONGER = 4097, 1_000_003
LAYOUTS = ("contiguous", "expanded", "transposed")
ROUNDOFF = {"float16": 2.0**-11, "float32": 2.0**-24}
NOTHING = 1e-9  # results that are 0 but for rounding, such as the gradient of a softmax of equal numbers
SMALLEST = {"float16": 2.0**-24, "float32": 2.0**-149}
ROUNDINGS = (
    8  # relative to the largest result: terms are rounded before they are added, all alike if expanded
)
# cases whose terms are already several roundings off
MORE_ROUNDINGS = {
    "float16": {
        "F.binary_cross_entropy": 24,  # x (1 - x) and logarithms near 1, each rounded: 12 roundings here
        "F.binary_cross_entropy_with_logits": 24,
    },
    "float32": {"F.cross_entropy": 16},  # an exponential and a logarithm per class: 10 roundings here
}
ATTENTION = "F.scaled_dot_product_attention"

SUMMING = set(
    """add sub mul div where addcmul lerp F.pad F.prelu sum mean var std var_mean std_mean norm logsumexp amax cumsum
    trace cosine_similarity pairwise_distance matmul mm bmm dot mv addmm baddbmm F.linear outer einsum tensordot
    F.conv2d conv1d conv2d conv_transpose1d conv_transpose2d gather scatter_add index_add index_put index_select
    repeat_interleave F.embedding diagonal softmax log_softmax F.softmax F.log_softmax F.softmin
    F.scaled_dot_product_attention layer_norm rms_norm group_norm batch_norm instance_norm F.normalize
    F.avg_pool2d avg_pool1d F.adaptive_avg_pool2d adaptive_avg_pool1d F.interpolate max_pool1d max_pool2d F.mse_loss
    F.l1_loss F.smooth_l1_loss F.huber_loss F.gaussian_nll_loss F.binary_cross_entropy F.cross_entropy F.nll_loss
    F.kl_div F.binary_cross_entropy_with_logits""".split()
)
OTHERS = {
    "one number in, one out: what is broadcast is summed as add's, mul's and where's is": """abs acos addcdiv asin atan
        atan2 ceil clamp clamp_max clamp_min clone cos cosh erf exp exp2 expm1 floor fmod log log10 log1p log2
        logaddexp masked_fill maximum minimum nan_to_num neg pow reciprocal relu remainder round rsqrt selu sigmoid
        sign sin sinh sqrt square tan tanh trunc prelu F.elu F.gelu F.glu F.hardtanh F.leaky_relu F.logsigmoid F.mish
        F.relu F.relu6 F.selu F.sigmoid F.silu F.softplus F.softsign F.tanh floor_divide""",
    "moves or picks elements, each once": """cat chunk diag diag_embed flatten flip index_copy index_fill
        masked_select meshgrid movedim narrow permute pixel_shuffle pixel_unshuffle ravel reshape roll scatter select
        split squeeze stack t transpose tril triu unbind unflatten unsqueeze amin max min sort topk""",
    "makes, compares or counts, in whole numbers": """all allclose any arange argmax argmin argsort bincount
        bitwise_and bitwise_not bitwise_or bitwise_xor count_nonzero empty empty_like eq equal eye full full_like ge gt
        isclose isfinite isinf isnan le linspace logical_and logical_not logical_or logical_xor lt ne nonzero one_hot
        ones ones_like unique zeros zeros_like""",
    "random": """bernoulli dropout F.dropout2d F.gumbel_softmax multinomial normal rand rand_like randint randint_like
        randn randn_like randperm""",
    "products, which overflow: test_products": "prod cumprod",
    "its call says the shape; the expanded layout is expand": "broadcast_to",
    "group_norm, then silu": "F.group_norm_silu",
}
ELSEWHERE = ("nn.", "Tensor.", "tinygen.", "autograd.")  # layers and methods call the functions above


def test_every_operation_is_said_to_sum_or_not():
    names = {case.name for case in CASES.values() if not case.name.startswith(ELSEWHERE)}
    others = [name for group in OTHERS.values() for name in group.split()]
    assert len(others) == len({*others}) and not SUMMING & {*others}
    assert names == SUMMING | {*others}


def made_long(case):
    """(size, shapes, dimensions of every input that have this size), for the sizes that PyTorch accepts when LONG.

    Leaves out what would become a LONG x LONG matrix.
    """
    shapes = [getattr(make, "shape", ()) for make in case.inputs]
    for size in sorted({n for shape in shapes for n in shape if n > 1}):
        dims = [[d for d, n in enumerate(shape) if n == size] for shape in shapes]
        if all(len(long) < 2 for long in dims) and outputs_fit(case, shapes, dims):
            yield size, shapes, dims


def outputs_fit(case, shapes, dims) -> bool:
    inputs = []
    for array, shape, long in zip(case.arrays(np.float32), shapes, dims):
        sizes = [LONG if d in long else n for d, n in enumerate(shape)] if shape else array.shape
        inputs.append(torch.empty(tuple(sizes), dtype=torch.from_numpy(array).dtype, device="meta"))
    try:
        outputs = case.torch(torch, torch.nn.functional, *inputs)
    except (RuntimeError, IndexError, ValueError, TypeError, NotImplementedError):
        return True  # the result depends on the values, or PyTorch does not accept such shapes at all
    outputs = outputs if isinstance(outputs, (tuple, list)) else [outputs]
    return sum(y.numel() for y in outputs) <= 32 * LONG


def arrays_of(case, shapes, dims, expanded: bool):
    """The inputs, LONG in `dims`.  Numbers (but no index) have size one there and are expanded"""
    random = np.random.default_rng(zlib.crc32(case.name.encode()))
    for make, shape, long in zip(case.inputs, shapes, dims):
        array = make(random)
        if long:
            size = 1 if expanded and array.dtype.kind == "f" else LONG
            array = make.sized(*(size if d in long else n for d, n in enumerate(shape)))(random)
        yield array


def leaf(array, requires_grad, of):
    x = of(array)
    return x.requires_grad_() if requires_grad and x.is_floating_point() else x


def values_and_gradients(side, call, arrays, leaves, shapes, differentiable):
    """The outputs of a call and the gradients of its inputs, which are expanded to `shapes`, as arrays"""
    namespace, functions, of, grad = side
    inputs = [leaf(a, wanted, of) for a, wanted in zip(arrays, leaves)]
    seen = [x.expand(*shape) if tuple(x.shape) != tuple(shape) else x for x, shape in zip(inputs, shapes)]
    outputs = call(namespace, functions, *seen)
    outputs = outputs if isinstance(outputs, (tuple, list)) else [outputs]
    outputs = [y for y in outputs if y.is_floating_point()]
    found, wanted = [y.detach() for y in outputs], [x for x in inputs if x.requires_grad]
    active = [y for y in outputs if y.requires_grad]
    if differentiable and wanted and active:
        cotangents = [of(weights(tuple(y.shape)).astype(str(y.dtype).removeprefix("torch."))) for y in active]
        found += grad(active, wanted, cotangents, allow_unused=True)
    return [None if y is None else np.asarray(y.numpy()) for y in found]


def weights(shape):
    """The gradients of the outputs: unequal and positive, so that their sums grow"""
    return np.random.default_rng(7).uniform(0.5, 1, shape).astype(np.float16)


OURS = tinygen, functional, lambda a: Tensor._wrap(np.asarray(a)), tinygen.autograd.grad
THEIRS = torch, torch.nn.functional, torch.from_numpy, torch.autograd.grad


def compare(
    call, arrays, leaves, shapes, transposed, dtype, differentiable=True, theirs=None, roundings=ROUNDINGS
):
    """None if PyTorch refuses these inputs, else everything whose error is more than twice PyTorch's"""
    arrays = [np.abs(a).astype(dtype) if a.dtype.kind == "f" else a for a in arrays]  # sums away from 0
    if transposed:
        arrays = [np.asfortranarray(a) for a in arrays]
    exactly = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays]
    rest = leaves, shapes, differentiable
    try:
        right = values_and_gradients(THEIRS, theirs or call, exactly, *rest)
        other = values_and_gradients(THEIRS, theirs or call, arrays, *rest)
    except (RuntimeError, IndexError, ValueError, TypeError):
        return None
    ours = values_and_gradients(OURS, call, arrays, *rest)
    assert len(ours) == len(right) == len(other)
    pairs = [
        p for p in zip(ours, other, right) if p[0] is not None and p[1] is not None and p[0].dtype == dtype
    ]
    return [wrong for p in pairs if (wrong := error_beyond(*p, dtype, roundings))]


def error_beyond(found, theirs, right, dtype, roundings):
    """A message about `found`, if its error is larger than twice that of `theirs` plus some roundings"""
    counts = np.isfinite(right) & (np.abs(right) < np.finfo(dtype).max) & np.isfinite(theirs)
    found, theirs, right = (x[counts].astype(np.float64) for x in (found, theirs, right))
    if not right.size or np.abs(right).max() < NOTHING:
        return None
    largest, error = np.abs(right).max(), np.abs(found - right).max()
    limit = 2 * np.abs(theirs - right).max() + roundings * ROUNDOFF[dtype] * largest + SMALLEST[dtype]
    return None if error <= limit else f"error {error:.3g}, limit {limit:.3g}, largest {largest:.3g}"


def some(keys: list, most: int = 4) -> list:
    """At most so many of them, spread from first to last"""
    return keys[:: -(-len(keys) // most)]


CALLS = {
    name: [key for key in CASES if CASES[key].name == name and CASES[key].parity] for name in sorted(SUMMING)
}


@pytest.mark.parametrize("dtype", ROUNDOFF)
@pytest.mark.parametrize("name", CALLS)
def test_cases_made_long(name, dtype):
    wrong, tried, roundings = [], 0, MORE_ROUNDINGS[dtype].get(name, ROUNDINGS)
    for key in some(CALLS[name], 2 if name == ATTENTION else 3):
        case = CASES[key]
        for size, shapes, dims in made_long(case):
            for layout in LAYOUTS:
                arrays = list(arrays_of(case, shapes, dims, layout == "expanded"))
                seen = [
                    tuple(LONG if d in long else n for d, n in enumerate(shape)) if shape else a.shape
                    for a, shape, long in zip(arrays, shapes, dims)
                ]
                at = layout == "transposed", dtype, case.grad, case.torch, roundings
                found = compare(case.call, arrays, case.leaves, seen, *at)
                tried += found is not None
                wrong += [(key, size, layout, text) for text in found or ()]
    assert tried, "PyTorch took none of the cases long"
    assert not wrong, "\n".join(map(str, wrong))


MILLION = {  # x is (1_000_003, 2)
    "sum": lambda T, F, x: x.sum(0),
    "mean": lambda T, F, x: x.mean(0),
    "cumsum": lambda T, F, x: x.cumsum(0),
    "broadcast": lambda T, F, x: x + x[:1],
    "linear": lambda T, F, x: F.linear(x, x[:1], x[0, :1]),
    "avg_pool": lambda T, F, x: F.avg_pool2d(x[None, None], (x.shape[0], 1)),
    "var": lambda T, F, x: x.var(0),
    "norm": lambda T, F, x: x.norm(dim=0),
    "mse_loss": lambda T, F, x: F.mse_loss(x, x * 0),
    "softmax": lambda T, F, x: x.softmax(0),
    "logsumexp": lambda T, F, x: x.logsumexp(0),
    "matmul": lambda T, F, x: x.t() @ x,
    "layer_norm": lambda T, F, x: F.layer_norm(x.t(), (x.shape[0],)),
    "batch_norm": lambda T, F, x: F.batch_norm(x, None, None, x[0], x[1], True),
    "index_add": lambda T, F, x: (x[:1] * 0).index_add(0, (x[:, 0] * 0).long(), x),
}


@pytest.mark.parametrize("dtype", ROUNDOFF)
@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("name", MILLION)
def test_a_million_terms(name, dim, dtype):
    """The numbers are small enough for float16 to hold their sum."""
    shape = (LONGER, 2)[:: 1 if dim == 0 else -1]
    for layout in LAYOUTS:
        short = tuple(1 if layout == "expanded" and n == LONGER else n for n in shape)
        x = np.random.default_rng(3).uniform(0.01, 0.03, short)
        if dim:  # the calls above see (1_000_003, 2) in both cases
            call = lambda T, F, x: MILLION[name](T, F, x.T)
        else:
            call = MILLION[name]
        found = compare(call, [x], [True], [shape], layout == "transposed", dtype, roundings=2)
        assert found == [], (layout, found)


@pytest.mark.parametrize("dtype", ROUNDOFF)
def test_products(dtype):
    """Running products of 4,097 numbers near 1, and of columns"""
    x = np.random.default_rng(5).choice([0.5, 1, 2], (LONG, 3)) if dtype == "float16" else None
    x = (
        np.random.default_rng(5).uniform(0.999, 1.001, (LONG, 3))
        if x is None
        else np.repeat([[0.5], [2]], 3, 0)
    )
    assert (
        compare(lambda T, F, x: (x.cumprod(0), x.prod(0), x.prod(1)), [x], [True], [x.shape], False, dtype)
        == []
    )


def test_sums_of_float16_are_not_kept_in_float16():
    rows = tinygen.ones(5000, 2, dtype=tinygen.float16)
    assert rows.sum(0).tolist() == [5000, 5000]
    assert rows.cumsum(0)[-1].tolist() == [5000, 5000]
    at = tinygen.zeros(5000, 2, dtype=tinygen.int64)
    start = tinygen.zeros(1, 2, dtype=tinygen.float16)
    for total in (
        start.scatter_add(0, at, rows),
        start.index_add(0, at[:, 0], rows),
        start.index_put((at[:, 0],), rows, accumulate=True),
    ):
        assert total.tolist() == [[5000, 5000]]
    weight = tinygen.ones(1, 2, dtype=tinygen.float16, requires_grad=True)
    functional.embedding(at[:, 0], weight).sum().backward()
    assert weight.grad.tolist() == [[5000, 5000]]
    for call in (
        lambda b: rows * 0 + b,
        lambda b: b.expand(5000, 2),
        lambda b: functional.linear(rows, tinygen.zeros(2, 2, dtype=tinygen.float16), b),
    ):
        bias = tinygen.zeros(2, dtype=tinygen.float16, requires_grad=True)
        call(bias).sum().backward()
        assert bias.grad.tolist() == [5000, 5000]


def test_long_sums_do_not_drift():
    tenth = np.float32(0.1)
    layouts = {
        "rows": np.full((10**6, 2), tenth),
        "part of a row": np.full((10**6, 4), tenth)[:, :2],
        "transposed": np.full((2, 10**6), tenth).T,
        "expanded": np.broadcast_to(np.full(2, tenth), (10**6, 2)),
        "backwards": np.full((10**6, 2), tenth)[::-1],
    }
    for layout, x in layouts.items():
        x = tinygen.from_numpy(np.require(x, requirements="W")) if layout != "expanded" else Tensor._wrap(x)
        for total in (*x.sum(0).tolist(), x.sum().item() / 2, *(x.mean(0) * 1e6).tolist()):
            assert abs(total / 1e5 - 1) < 2e-6, layout
        assert abs(x.cumsum(0)[-1, 0].item() / 1e5 - 1) < 1e-6, layout
    assert tinygen.ones(2**24 + 8).cumsum(0)[-1].item() == 2**24 + 8
