"""Equal numbers: their mean is that number, their variance 0, normalized they are 0.  In every dtype and kernel."""

import shutil

import numpy as np
import pytest

import tinygen as tg
import tinygen.nn.functional as F
from tinygen import kernels
from tinygen.kernels.norm import shapes as norm
from tinygen.kernels.runtime import dispatch

CONSTANTS = [1.0, 0.1, -3.3e5, 1e-30, 2.7e10, -0.7]
OF_HALF = [1.0, 0.1, -0.7, 65504.0, 6e-8]
SIZES = [*range(1, 201), 784, 1000, 4097, 5000, 70_001]
DTYPES = ["float16", "float32", "float64"]


def constants(dtype):
    return np.array(OF_HALF if dtype == "float16" else CONSTANTS, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_means_and_variances(dtype):
    values = tg.tensor(constants(dtype))
    zeros = tg.zeros_like(values)
    for n in SIZES:
        rows = values[:, None].expand(-1, n).clone()
        for x, dim in (rows, 1), (rows.T.contiguous(), 0), (rows.T, 0), (rows[:, None], (1, 2)):
            var, mean = tg.var_mean(x, dim, correction=0)
            assert var.equal(zeros) and mean.equal(values) and x.std(dim, correction=0).equal(zeros), n
            assert n == 1 or x.var(dim).equal(zeros), n
        assert rows[1].mean() == values[1], n


@pytest.mark.parametrize("dtype", DTYPES)
def test_losses(dtype):
    """The mean of equal losses is one of them, with equal weights and without."""
    x = tg.full((max(SIZES),), 0.1, dtype=getattr(tg, dtype))
    zeros, scores = tg.zeros_like(x), tg.stack([-x, x], 1)
    classes = zeros.long()
    for n in SIZES:
        some, target, weight = x[:n], zeros[:n], 1 + zeros[:n]
        assert F.l1_loss(some, target) == F.l1_loss(some, target, weight=weight) == x[0], n
        assert F.mse_loss(some, target) == F.mse_loss(some, target, weight=weight) == x[0] * x[0], n
        assert F.nll_loss(scores[:n], classes[:n]) == x[0], n
        each = F.cross_entropy(scores[:n], classes[:n], reduction="none")
        assert F.cross_entropy(scores[:n], classes[:n]) == each[0], n


def variants(name: str, args: tuple, on: str | None):
    """The variants of a kernel that accept these arguments, including the CPU's for large inputs."""
    if on is None:
        return [v for v, _, usable in dispatch._registry[name].ladder["cpu"] if not usable or usable(*args)]
    dispatch.load_gpu_variants()
    ladder = {v: usable for v, _, usable in dispatch._registry[name].ladder["cuda"]}
    return [v for v in kernels.registry()[name][on] if v == "naive" or ladder[v](*args)]


def check_norms(dtype, sizes, on=None) -> set:
    """Every variant over n equal numbers, one constant per row (for batch norm, per channel).  -> those that ran"""
    c, seen = constants(dtype), set()
    for n in sizes:
        parts = 3 if n % 3 == 0 else 1
        for shape, dims, vector, axis in (
            ((len(c), n), (1,), (n,), 0),
            ((len(c), parts, n // parts), (1, 2), (parts, 1), 0),
            ((len(c), 2, n, 2), (1, 2, 3), None, 0),
            ((2, len(c), n), (0, 2), (len(c), 1), 1),
            ((n, 16 * len(c)), (0,), (16 * len(c),), 1),
        ):
            across = [1] * len(shape)
            across[axis] = -1
            numbers = np.resize(c, shape[axis])
            x = np.ascontiguousarray(np.broadcast_to(numbers.reshape(across), shape))
            weight = None if vector is None else np.full(vector, 3, dtype)
            args = x, weight, None, dims, 1e-5
            for name in "normalize", "normalize_silu":
                for variant in variants(name, args, on):
                    with kernels.use(**{name: variant}, on=on), np.errstate(under="ignore"):
                        y, mean, var = getattr(kernels, name)(*args)
                    found = (name, variant)
                    seen.add(found)
                    assert not y.any() and not var.any(), (found, shape)
                    assert (mean.reshape(-1) == numbers).all(), (found, shape)
    return seen


@pytest.mark.parametrize("dtype", DTYPES)
def test_norms_on_the_cpu(dtype, monkeypatch):
    monkeypatch.setattr(norm, "SMALL", 0)
    seen = check_norms(dtype, [*range(1, 70), 97, 128, 199, 4097, 70_001])
    names = {v for v, *_ in kernels.normalize.ladder["cpu"]} if dtype != "float16" else {"reference"}
    assert {variant for name, variant in seen if name == "normalize"} == names


def test_norms_in_cuda_on_the_host():
    if shutil.which("g++") is None:
        pytest.skip("no g++")
    seen = check_norms("float32", [1, 2, 3, 5, 7, 12, 13, 29, 41, 47, 61, 129, 255, 9001], on="host")
    assert {variant for name, variant in seen if name == "normalize"} == {
        "naive", "slabs", "block_rows", "warp_rows", "columns"
    }  # fmt: skip


NORMS = {
    "layer": lambda x: F.layer_norm(x, x.shape[1:]),
    "group": lambda x: F.group_norm(x, 2),
    "group, silu": lambda x: F.group_norm_silu(x, 2),
    "instance": F.instance_norm,
    "batch": lambda x: F.batch_norm(x, None, None, training=True),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NORMS)
def test_norms_and_their_gradients_of_any_order(name, dtype):
    """Both gradients, fused and recorded, see deviations of 0: nothing is infinite or nan."""
    for c in constants(dtype):
        for n in 2, 41, 600:
            x = tg.full((2, 4, n), c.item(), dtype=getattr(tg, dtype), requires_grad=True)
            y = NORMS[name](x)
            assert not y.detach().numpy().any(), n
            g = tg.linspace(-1, 1, y.numel()).to(y.dtype).reshape(y.shape)
            (fused,) = tg.autograd.grad(y, x, g, retain_graph=True)
            (recorded,) = tg.autograd.grad(y, x, g, create_graph=True)
            assert tg.allclose(fused, recorded, rtol=1e-3, atol=1e-2 if dtype == "float16" else 1e-3), n
            (second,) = tg.autograd.grad(recorded.sum(), x)
            assert second.isfinite().all(), n


def test_running_statistics_of_equal_numbers():
    """They do not change if the batch has the same statistics, and evaluation gives the bias."""
    for c in CONSTANTS:
        x = tg.full((5, 2, 41), c)
        for module, mean, var in (
            (tg.nn.BatchNorm1d(2), c, 0.0),
            (tg.nn.InstanceNorm1d(2, affine=True, track_running_stats=True), c, 0.0),
        ):
            module.running_mean.fill_(mean)
            module.running_var.fill_(var)
            module(x)
            assert module.running_mean.equal(tg.full((2,), c)) and not module.running_var.any()
            tg.nn.init.constant_(module.bias, 0.25)
            assert module.eval()(x).equal(tg.full(x.shape, 0.25)), c


@pytest.mark.parametrize("on", [None, "host"])
def test_equal_scores(on):
    """Each of n equal scores has the probability 1/n, rounded once, and the mean of equal values is that value."""
    if on and shutil.which("g++") is None:
        pytest.skip("no g++")
    for n in 1, 3, 41, 47, 49, 61, 97:
        x = np.full((2, n), 7, np.float32)
        for variant in variants("softmax", (x, 1), on):
            with kernels.use(softmax=variant, on=on):
                assert (kernels.softmax(x, 1) == np.float32(1) / np.float32(n)).all(), (variant, n)
        q, k, v = np.ones((5, 4), np.float32), np.zeros((n, 4), np.float32), np.ones((n, 3), np.float32)
        for variant in dispatch._registry["attention"].variants_on("host") if on else ("reference", "tiled"):
            with kernels.use(attention=variant, on=on):
                y, _ = kernels.attention(q, k, v, None, scale=0.5, causal=False)
            assert (y == 1).all(), (variant, n)
