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
