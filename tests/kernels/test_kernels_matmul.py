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


# one row and column, less than a tile, whole tiles and edges, more than one piece of the sum, both ways of packing
PANELS = (
    (1, 1, 1),
    (3, 5, 7),
    (8, 32, 64),
    (64, 100, 130),
    (17, 300, 33),
    (130, 40, 257),
    (96, 1100, 50),
    (5, 0, 3),
)


def laid_out(array, kind):
    """array, with dense rows ("n") or columns ("t")"""
    return np.ascontiguousarray(array) if kind == "n" else np.asfortranarray(array)


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("layout", ("nn", "nt", "tn", "tt"))
def test_panels_are_the_product(layout, dtype):
    rng = np.random.default_rng(1)
    for M, K, N in PANELS:
        x, w, bias = (rng.standard_normal(s).astype(dtype) for s in ((M, K), (K, N), N))
        x, w = laid_out(x, layout[0]), laid_out(w, layout[1])
        y = forced("panels", x, w)
        assert y.dtype == dtype and y.flags.c_contiguous
        exact = x.astype(np.float64) @ w.astype(np.float64)
        tolerance = 8 * np.finfo(dtype).eps * max(1, K) ** 0.5
        np.testing.assert_allclose(y, exact, rtol=tolerance, atol=tolerance * 4)
        with kernels.use(linear="panels"):
            np.testing.assert_allclose(
                kernels.linear(x, w.T, bias), exact + bias, rtol=tolerance, atol=tolerance * 4
            )


@pytest.mark.parametrize("layout", ("nn", "nt", "tn"))
def test_no_bit_of_panels_depends_on_the_threads(layout):
    from tinygen.kernels.matmul import panels

    rng = np.random.default_rng(2)
    for M, K, N in ((64, 784, 512), (301, 700, 100), (1000, 96, 96)):
        x, w = (
            laid_out(rng.standard_normal((M, K), np.float32), layout[0]),
            laid_out(rng.standard_normal((K, N), np.float32), layout[1]),
        )
        whole = panels.product(x, w, threads=1)
        for threads in 2, 3, 6:
            assert np.array_equal(panels.product(x, w, threads=threads), whole), (M, K, N, threads)


@pytest.mark.parametrize("layout", ("nn", "nt", "tn"))
def test_panels_spread_infinities_and_nans_as_the_reference_does(layout):
    rng = np.random.default_rng(3)
    for M, K, N in ((9, 20, 35), (64, 64, 64), (3, 300, 50)):
        x, w = rng.standard_normal((M, K), np.float32), rng.standard_normal((K, N), np.float32)
        x[0], x[M - 1, K - 1], w[0, N - 1], w[K - 1, 0] = 0, np.inf, np.nan, np.inf
        x, w = laid_out(x, layout[0]), laid_out(w, layout[1])
        with np.errstate(all="ignore"):
            y, expected = forced("panels", x, w), forced("reference", x, w)
        assert np.array_equal(np.isnan(y), np.isnan(expected))
        assert np.array_equal(np.isinf(y), np.isinf(expected))


def test_panels_are_chosen_by_what_was_measured(monkeypatch):
    from tinygen.kernels.matmul import panels
    from tinygen.kernels.runtime import blas
    from tinygen.kernels.runtime.dispatch import trace

    x, weight = np.ones((64, 784), np.float32), np.ones((512, 784), np.float32)

    def chosen(x, weight):
        panels._shapes.cache_clear()
        panels.pays.cache_clear()
        with trace() as calls:
            kernels.linear(x, weight)
        return calls[0] == ("linear", "panels")

    measured = [(6, 9, 9.6, "nt", 0.8), (12, 12, 12, "nt", 1.2), (6, 9, 9.6, "nn", 0.9)]
    monkeypatch.setattr(blas, "maker", lambda: "OpenBLAS")
    monkeypatch.setattr(panels, "_measured", lambda: measured)
    assert chosen(x, weight)
    assert not chosen(x[:2], weight[:4])  # too small to start our loops
    assert not chosen(x.astype(np.float16), weight.astype(np.float16))
    assert not chosen(np.ones((4096, 4096), np.float32), np.ones((1024, 4096), np.float32))
    monkeypatch.setattr(blas, "maker", lambda: "MKL")
    assert not chosen(x, weight)
    monkeypatch.undo()
    panels._shapes.cache_clear()
    panels.pays.cache_clear()
