"""Attention's CUDA kernels on the host: through the engine, and with extreme numbers.  Sizes are in cuda_cases.py."""

import shutil

import numpy as np
import pytest
import support.cuda_cases as cuda_cases
from support.gpu import stand_in

import tinygen
from tinygen import kernels
from tinygen.kernels.runtime import dispatch
from tinygen.nn import functional as F

RUNGS = ["naive", "tiled"]


@pytest.fixture(autouse=True)
def compiler():
    if shutil.which("g++") is None:
        pytest.skip("no g++")


def on_host(rung: str, **options):
    return kernels.use(attention=rung, attention_grad=rung, on="host", **options)


def arrays(L: int, T: int, D: int, E: int, *lead: int):
    a = cuda_cases.Arrays()
    return a(*lead, L, D), a(*lead, T, D), a(*lead, T, E), a(*lead, L, E)


def gradients(q, k, v, g, mask, is_causal):
    """y and the gradients of q, k, v and, if it is a mask of numbers, the mask: all through the engine."""
    inputs = [tinygen.tensor(x, requires_grad=True) for x in (q, k, v)]
    if mask is not None:
        mask = tinygen.tensor(mask, requires_grad=mask.dtype != bool)
        inputs += [mask] if mask.requires_grad else []
    y = F.scaled_dot_product_attention(*inputs[:3], mask, is_causal=is_causal)
    y.backward(tinygen.tensor(g))
    return [y.detach().numpy(), *(x.grad.numpy() for x in inputs)]


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("mask", ["none", "causal", "bools", "numbers", "of the keys"])
def test_gradients_through_the_engine(rung, mask):
    *qkv, g = arrays(37, 41, 20, 12, 2, 3)
    rng = np.random.default_rng(1)
    given = {
        "bools": rng.random((2, 1, 37, 41)) < 0.7,
        "numbers": rng.standard_normal((37, 41)).astype("float32"),
        "of the keys": rng.standard_normal(41).astype("float32"),
    }.get(mask)
    if mask == "bools":
        given[:, :, 5:9] = False  # queries that see no key
    expected = gradients(*qkv, g, given, mask == "causal")
    with dispatch.trace() as calls, on_host(rung):
        found = gradients(*qkv, g, given, mask == "causal")
    assert calls.count(("attention", rung)) == calls.count(("attention_grad", rung)) == 1
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=5e-6 * max(1, np.abs(other).max()))
    if mask == "bools":
        assert not found[0][:, :, 5:9].any() and not found[1][:, :, 5:9].any()


@pytest.mark.parametrize("rung", RUNGS)
def test_large_scores(rung):
    q, k, v, g = arrays(40, 50, 16, 16)
    attrs = dict(scale=1.0, causal=False)
    with on_host(rung):
        y, lse = kernels.attention(q * 1000, k, v, None, **attrs)
        gq, gk, gv, _ = kernels.attention_grad(g, q * 1000, k, v, None, y, lse, **attrs)
    best = (q.astype(float) @ k.T).argmax(axis=1)  # a weight of 1, the others 0
    assert np.array_equal(y, v[best]) and np.abs(gq).max() < 1e-5 and np.abs(gk).max() < 1e-5 * 1000
    np.testing.assert_allclose(gv, np.eye(50)[best].T @ g, rtol=0, atol=1e-5)


@pytest.mark.parametrize("rung", RUNGS)
def test_nan_stays_in_its_row(rung):
    q, k, v, g = arrays(70, 40, 8, 8)
    q[7, 3] = np.nan
    attrs = dict(scale=1.0, causal=False)
    with on_host(rung):
        y, lse = kernels.attention(q, k, v, None, **attrs)
        gq, *_ = kernels.attention_grad(g, q, k, v, None, y, lse, **attrs)
    for rows in y, lse[:, None], gq:
        assert np.isnan(rows[7]).all() and np.isfinite(np.delete(rows, 7, axis=0)).all()


def test_which_variants_a_gpu_runs():
    with stand_in(launches=True) as cupy, dispatch.trace() as called:
        a, attrs = cuda_cases.Arrays(cupy), dict(scale=1.0, causal=False)
        for D, E, dtype in (5, 128, "float32"), (129, 5, "float32"), (5, 129, "float32"), (5, 5, "float64"):
            q, k, v = (a(*shape).astype(dtype) for shape in ((3, D), (4, D), (4, E)))
            y, lse = kernels.attention(q, k, v, None, **attrs)
            kernels.attention_grad(y, q, k, v, None, y, lse, **attrs)
    rungs = "tiled", "reference", "reference", "reference"
    called = [call for call in called if call[0] != "matmul"]  # that is the references'
    assert called == [(kernel, rung) for rung in rungs for kernel in ("attention", "attention_grad")]


def test_errors_for_bad_arguments():
    q, k, v, _ = arrays(3, 4, 5, 6)
    attrs = dict(scale=1.0, causal=False)
    with on_host("tiled"):
        with pytest.raises(TypeError, match="attention: the CUDA kernels compute in float32, v is float64"):
            kernels.attention(q, k, v.astype(float), None, **attrs)
        with pytest.raises(
            ValueError, match=r"attention: expected q .*; q float32 \(3, 5\), k float32 \(4, 4\)"
        ):
            kernels.attention(q, k[:, :4], v, None, **attrs)
        with pytest.raises(ValueError, match="attention: expected at most 128 columns"):
            kernels.attention(q, k, np.ones((4, 129), np.float32), None, **attrs)


def test_swapped_and_broadcast_arrays_are_used_in_place():
    from tinygen.kernels.attention.cuda import placed

    a = cuda_cases.Arrays()
    rows = a(2, 5, 3, 8)
    heads, *apart = placed(rows.swapaxes(1, 2), (2, 3), 5, 8)
    assert np.shares_memory(heads, rows) and apart == [5 * 24, 8, 24]
    bias = a(2, 1, 1, 9)
    lies, *apart = placed(bias, (2, 3), 5, 9, apart=True)
    assert np.shares_memory(lies, bias) and apart == [9, 0, 0, 1]
    turned = a(3, 8, 5).swapaxes(-1, -2)  # its columns are not adjacent
    lies, *apart = placed(turned, (2, 3), 5, 8)
    assert not np.shares_memory(lies, turned) and lies.size == 120 and apart == [0, 40, 8]
