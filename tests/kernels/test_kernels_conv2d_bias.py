"""The bias of a convolution and its gradient, on all threads, against NumPy; sizes are no multiple of a block."""

import numpy as np
import pytest
from support.bounds import pass_with_bounds_checked

import tinygen
from tinygen import kernels
from tinygen.nn import functional as F

SHAPES = [
    (1, 1, 1, 1),
    (3, 5, 7, 11),
    (2, 3, 1, 2049),
    (7, 13, 50, 41),
    (2, 1, 199, 101),
    (0, 3, 4, 5),
    (3, 2, 0, 5),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_variants_match_the_reference(shape, dtype):
    rng = np.random.default_rng(0)
    y, bias = rng.standard_normal(shape).astype(dtype), rng.standard_normal(shape[1]).astype(dtype)
    with kernels.use(add_bias="threads", bias_grad="threads"):
        sums, again = kernels.bias_grad(y), kernels.bias_grad(y)
        found = kernels.add_bias(y.copy(), bias)
    assert found.dtype == sums.dtype == dtype and np.array_equal(sums, again)
    assert np.array_equal(found, y + bias[:, None, None])
    expected = y.astype(np.float64).sum((0, 2, 3))
    limit = (1e-5 if dtype == np.float32 else 1e-13) * max(1, np.abs(expected).max(initial=0))
    assert sums.shape == (shape[1],) and np.abs(sums - expected).max(initial=0) <= limit


def test_only_large_contiguous_arrays_use_threads():
    y = np.zeros((4, 8, 40, 40), np.float32)
    (_, _, adds), (_, _, sums) = (
        kernel.ladder["cpu"][-1] for kernel in (kernels.add_bias, kernels.bias_grad)
    )
    bias = np.ones(8, np.float32)
    assert adds(y, bias) and sums(y)
    for other in (y[..., ::2], y[:1, :1], y.swapaxes(2, 3)[:, :, ::-1], y.astype(np.float16)):
        assert not adds(other, bias) and not sums(other)
    assert not adds(y, bias.astype(np.float64))
    view = np.zeros((4, 8, 40, 80), np.float32)[..., ::2]
    assert kernels.add_bias(view, bias) is view and (view == 1).all()


def test_the_engine_uses_threads_and_leaves_the_inputs_alone():
    rng = np.random.default_rng(1)
    x, w, b = (
        tinygen.tensor(rng.standard_normal(shape), requires_grad=True)
        for shape in ((5, 3, 40, 40), (6, 3, 1, 1), (6,))
    )
    before = [t.detach().numpy().copy() for t in (x, w, b)]
    with kernels.runtime.dispatch.trace() as calls:
        y = F.conv2d(x, w, b)
        (y * y).sum().backward()
    assert {("add_bias", "threads"), ("bias_grad", "threads")} <= set(calls)
    assert all(np.array_equal(t.detach().numpy(), a) for t, a in zip((x, w, b), before))
    assert np.allclose(b.grad.numpy(), 2 * y.detach().numpy().sum((0, 2, 3)))


def test_with_bounds_checked(tmp_path):
    pass_with_bounds_checked(__file__, tmp_path, "-k", "the_reference")
