"""Variants of the matrix product against its definition."""

import numpy as np
import pytest

from tinygen import kernels

SIZES = (2, 2), (3, 7), (13, 257), (784, 256), (1001, 2)


def forced(variant, x, w):
    with kernels.use(matmul=variant):
        return kernels.matmul(x, w)


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("m, n", SIZES)
def test_rank_one(m, n, dtype):
    rng = np.random.default_rng(m)
    wide_x, wide_w = (
        rng.standard_normal((2 * m, 3)).astype(dtype),
        rng.standard_normal((3, 2 * n)).astype(dtype),
    )
    for x in (
        wide_x[:m, :1].copy(),
        wide_x[::2, 1:2],
        np.asfortranarray(wide_x)[m:, 2:],
        wide_x[m - 1 :: -1, :1],
    ):
        for w in wide_w[:1, :n].copy(), wide_w[1:2, ::2], wide_w.T.copy().T[2:, n:], wide_w[:1, n - 1 :: -1]:
            y, expected = (forced(variant, x, w) for variant in ("rank_one", "reference"))
            assert y.dtype == dtype and y.flags.c_contiguous
            assert np.array_equal(y, expected) and np.array_equal(y, kernels.matmul(x, w))


def test_rank_one_keeps_zero_times_infinity():
    special = np.array([0, -0.0, 1, -2, np.inf, -np.inf, np.nan], np.float32)
    x, w = special[:, None], special[None]
    with np.errstate(all="ignore"):
        for a, b in (x, w), (x[:1], w), (x, w[:, :1]), (x[:2], w), (x, w[:, :2]):
            expected = a * b
            assert np.array_equal(kernels.matmul(a, b), expected, equal_nan=True)


def test_when_rank_one_is_chosen():
    def chosen(*shapes, dtype=np.float32):
        from tinygen.kernels.runtime.dispatch import trace

        with trace() as calls:
            kernels.matmul(*(np.ones(shape, dtype) for shape in shapes))
        return calls[0][1]

    assert chosen((5, 1), (1, 4)) == "rank_one"
    for other in ((5, 2), (2, 4)), ((1, 1), (1, 4)), ((5, 1), (1, 1)), ((0, 1), (1, 4)), ((5, 1), (1, 0)):
        assert chosen(*other) == "reference", other
    assert chosen((3, 5, 1), (3, 1, 4)) == chosen((5, 1), (1, 4), dtype=np.int64) == "reference"
    assert chosen((5, 1), (1, 4), dtype=np.float16) == "widened"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("M, K, N", [(1, 1, 1), (5, 3, 7), (33, 70, 17), (0, 3, 4), (3, 0, 4), (3, 4, 0)])
def test_linear_and_its_gradients_are_products_and_sums(M, K, N, dtype):
    rng = np.random.default_rng(0)
    x, weight, bias, g = (rng.standard_normal(s).astype(dtype) for s in ((M, K), (N, K), N, (M, N)))
    y = kernels.linear(x, weight, bias)
    gx, gw, gb = kernels.linear_grad(g, x, weight, (True, True, True))
    tolerance = {"rtol": 4e-3 if dtype == np.float16 else 1e-5, "atol": 0.05 if dtype == np.float16 else 1e-5}
    for found, expected in (
        (y, x.astype(np.float64) @ weight.astype(np.float64).T + bias),
        (kernels.linear(x, weight), x.astype(np.float64) @ weight.astype(np.float64).T),
        (gx, g.astype(np.float64) @ weight),
        (gw, g.astype(np.float64).T @ x),
        (gb, g.astype(np.float64).sum(0)),
    ):
        assert found.dtype == dtype and found.shape == expected.shape
        np.testing.assert_allclose(found.astype(np.float64), expected, **tolerance)


def test_linear_grad_leaves_out_what_nobody_wants():
    g, x, weight = (np.ones(s, np.float32) for s in ((4, 3), (4, 5), (3, 5)))
    assert [r is None for r in kernels.linear_grad(g, None, weight, (True, False, False))] == [
        False,
        True,
        True,
    ]
    assert [r is None for r in kernels.linear_grad(g, x, None, (False, True, False))] == [True, False, True]
    assert [r is None for r in kernels.linear_grad(g, None, None, (False, False, True))] == [
        True,
        True,
        False,
    ]
