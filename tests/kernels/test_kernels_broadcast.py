"""On all threads: sums and products of two arrays, sums over the middle of an array, products in column blocks."""

import numpy as np
import pytest
from support.bounds import pass_with_bounds_checked

from tinygen import kernels
from tinygen.kernels.elementwise.layouts import layout
from tinygen.kernels.matmul import blocks, panels
from tinygen.kernels.runtime import blas, dispatch
from tinygen.kernels.runtime.dispatch import trace

BOTH = ["float32", "float64"]
PAIRS = [  # shapes of two operands that the loops can take
    ((7,), (7,)), ((1, 1), (1, 1)), ((3, 5, 17), (3, 5, 17)), ((5, 17), (17,)), ((5, 17), (1, 17)),
    ((3, 5, 17), (3, 1, 17)), ((3, 1, 17), (3, 5, 17)), ((3, 5, 17), (5, 17)), ((2, 3, 5, 31), (2, 1, 1, 31)),
    ((17,), (5, 17)), ((2, 3, 4, 16), (2, 3, 1, 16)), ((1009, 97), (97,)), ((2, 3, 5, 4), (2, 1, 5, 4)),
    ((5, 17), (5, 1)), ((5, 1), (5, 17)), ((5, 17), ()), ((2, 3, 5, 7), (3, 1, 1)),
    ((3, 1, 1), (2, 3, 5, 7)), ((2, 3, 5, 7), (2, 1, 1, 1)), ((7, 1, 5, 1, 4099), (5, 1, 1)),
    ((3, 5, 4, 4), (3, 5, 1, 1)),
    ((1, 1, 40_001), ()), ((3, 2, 17), (2, 1)),
]  # fmt: skip
OTHERS = [  # and that they cannot
    ((3, 5, 7), (3, 1, 7)), ((5, 1), (1, 17)), ((3, 1, 5, 17), (1, 3, 5, 17)), ((2, 3, 5, 17), (1, 3, 1, 17)),
    ((5, 7), (5, 1)), ((2, 3, 5, 17), (2, 1, 5, 1)), ((1, 1, 1), (3, 5)), ((3, 2, 17), (1, 1, 2, 1)),
]  # fmt: skip


def numbers(seed, *shape, dtype="float32"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("one, two", PAIRS, ids=str)
def test_threads_of_add_and_multiply(one, two, dtype):
    x, other = numbers(0, *one, dtype=dtype), numbers(1, *two, dtype=dtype)
    for name, expected in ("add", x + other), ("multiply", x * other):
        with kernels.use(**{name: "threads"}):
            found = getattr(kernels, name)(x, other)
            out = np.full_like(expected, np.nan)
            assert getattr(kernels, name)(x, other, out=out) is out
        for y in (found, out):
            assert y.shape == expected.shape and y.dtype == expected.dtype
            assert y.tobytes() == expected.tobytes(), name
    if one == np.broadcast_shapes(one, two):
        with kernels.use(add="threads"):
            assert (kernels.add(x, other, out=x) == numbers(0, *one, dtype=dtype) + other).all()  # in place


@pytest.mark.parametrize("one, two", OTHERS, ids=str)
def test_other_broadcasts_are_refused(one, two):
    assert layout(one, two) is None and layout(two, one) is None


def chosen(call, *args, **options):
    with trace() as calls:
        call(*args, **options)
    return calls[0][1]


def test_which_operands_go_to_the_threads():
    x = numbers(0, 64, 49, 96)
    fits = [x, x[:, :1].copy(), x[0], x[0, 0]]
    assert all(chosen(kernels.add, *pair) == "threads" for y in fits for pair in ((x, y), (y, x)))
    strided, wide = x[::2], x.astype(np.float64)
    grid = x.reshape(64, 7, 7, 96), x[:, :7, :1].reshape(64, 1, 7, 1)
    for two in np.array(2, np.float32), np.float32(2):
        assert chosen(kernels.multiply, x, two) == "threads"
    for part in x[:, :1], x[:, :1, ::-1], x[:, :, :1]:
        for kernel, expected in (kernels.add, np.add), (kernels.multiply, np.multiply):
            assert chosen(kernel, x, part) == chosen(kernel, part, x) == "threads"
            np.testing.assert_array_equal(kernel(x, part), expected(x, part))
    for pair in (
        (strided, strided), (x.T, x.T), (x, x[..., ::-1]), (x[:9], x[:9]), (x, wide),
        (x.astype(np.float16), x.astype(np.float16)), (x.astype(int), x.astype(int)), grid,
        (np.zeros((0, 4), np.float32), np.zeros(4, np.float32)),
        (x, np.broadcast_to(x[:1], x.shape)),
    ):  # fmt: skip
        for kernel, expected in (kernels.add, np.add), (kernels.multiply, np.multiply):
            assert chosen(kernel, *pair) == "reference"
            np.testing.assert_array_equal(kernel(*pair), expected(*pair))
    assert chosen(kernels.add, x, x, out=x.copy()) == "threads"
    assert chosen(kernels.add, x, x, out=np.empty((96, 49, 64), np.float32).T) == "reference"


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize(
    "one, two", [*PAIRS, *OTHERS, ((300, 17), (17,)), ((2, 700, 16), (2, 1, 16))], ids=str
)
def test_both_gradients_of_a_product(one, two, dtype):
    """Each, and both, of the two; a variant that does not take the arguments says so."""
    x, other = numbers(0, *one, dtype=dtype), numbers(1, *two, dtype=dtype)
    g = numbers(2, *np.broadcast_shapes(one, two), dtype=dtype)
    exact = [a.astype(np.float64) for a in (g, x, other)]
    with kernels.use(multiply_grad="reference"):
        expected = kernels.multiply_grad(*exact, one, two, (True, True))
    compiled = dispatch.kernel_of_name("multiply_grad").ladder["cpu"][1][2]
    for needs in (True, True), (True, False), (False, True):
        given = [a if need else None for a, need in zip((x, other), reversed(needs))]
        variants = ["reference"]
        form = layout(one, two)
        if form is not None and form.kind != "flat" and needs[0 if form.swapped else 1]:
            variants.append("one_pass")
        assert not compiled(g[..., :0], *given, one, two, needs)
        for variant in variants:
            with kernels.use(multiply_grad=variant):
                found = kernels.multiply_grad(g, *given, one, two, needs)
                again = kernels.multiply_grad(g, *given, one, two, needs)
            for a, b, c, need in zip(found, expected, again, needs):
                if not need:
                    assert a is None
                    continue
                assert a.shape == b.shape and a.dtype == dtype and a.tobytes() == c.tobytes()
                tolerance = 30 * np.finfo(dtype).eps * np.sqrt(g.size)
                np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=variant)


def test_which_products_are_differentiated_in_one_pass():
    x = numbers(0, 64, 49, 96)
    row, one = x[:, 1:2], np.array(2, np.float32)
    grid = x.reshape(64, 7, 7, 96), x[:, :7, :1].reshape(64, 1, 7, 1)

    def variant(g, a, b, needs=(True, True)):
        return chosen(kernels.multiply_grad, g, a, b, a.shape, b.shape, needs)

    for pair in ((x, row), (row, x), (x, one), (x, x[:1, :1, 0]), (x, x[0, 0])):
        assert variant(x, *pair) == "one_pass"
    assert variant(x, x, row, (False, True)) == variant(x, row, x, (True, False)) == "one_pass"
    wide = x.astype(np.float64)
    for g, *pair in (
        (x, x, x), (x, x[..., ::-1], row), (x.T.copy().T, x, row), (wide, x, wide), (x[:1, :9], x[:1, :9], row[:1]),
        (grid[0], *grid),
        (x.astype(np.float16), x.astype(np.float16), row.astype(np.float16)),
    ):  # fmt: skip
        assert variant(g, *pair) == "reference"
    assert variant(x, x, row, (True, False)) == "reference"  # a product alone


@pytest.mark.parametrize("name", ["add", "multiply"])
def test_odd_numbers(name):
    odd = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1, 3e38, 1e-40] * 3, np.float32)
    x = np.repeat(odd, len(odd)).reshape(len(odd), len(odd))
    with kernels.use(**{name: "threads"}):
        found = getattr(kernels, name)(x, odd)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(found, getattr(np, name)(x, odd))


# sums


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize(
    "shape",
    [(1, 4099, 16), (3, 1290, 17), (3, 1409, 31), (1, 30_001, 16), (67, 129, 97), (700, 1, 97), (1, 0, 16)],
)
def test_sums_over_the_middle(shape, dtype):
    """Blocks of 128 rows, the last one short or the only one."""
    x = numbers(0, *shape, dtype=dtype)
    found, again = (kernels.sum(x, (1,)) for _ in range(2))
    exact = x.astype(np.float64).sum(1)
    assert found.dtype == x.dtype and found.shape == exact.shape and found.tobytes() == again.tobytes()
    assert np.abs(found - exact).max() <= 60 * np.finfo(dtype).eps * (1 + np.sqrt(shape[1]))


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("keepdims", [False, True])
def test_sums_by_shape(dtype, keepdims):
    x = numbers(0, 31, 7, 13, 32, dtype=dtype)
    for dims in [(0,), (1,), (2,), (3,), (0, 1), (1, 2), (0, 2), (2, 3), (0, 1, 2), (0, 1, 2, 3), ()]:
        for y in (x, x.transpose(1, 0, 2, 3)):
            found = kernels.sum(y, dims, keepdims)
            expected = y.sum(axis=dims, keepdims=keepdims)
            assert found.shape == expected.shape and found.dtype == y.dtype
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-3)
    assert kernels.sum(x, (1, 0)).shape == (13, 32)
    assert kernels.sum(np.ones((9000, 16), np.int64), (0,)).tolist() == [9000] * 16


@pytest.mark.parametrize("columns", [2, 16])
def test_long_columns_stay_accurate(columns):
    x = np.full((10**6, columns), 0.1, np.float32)
    assert np.abs(kernels.sum(x, (0,)) / 1e5 - 1).max() < 1e-5


# products in blocks


@pytest.mark.skipif(not blas.in_loops(), reason="NumPy's BLAS is no OpenBLAS with integers of 64 bits")
@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize(
    "m, k, n", [(97, 509, 97), (257, 64, 783), (784, 7, 1024), (96, 600, 103), (5, 9, 3)]
)
@pytest.mark.parametrize("grid", [(1, 1), (2, 1), (1, 2), (3, 4)])
def test_products_in_blocks(m, k, n, dtype, grid, monkeypatch):
    monkeypatch.setattr(blocks, "grid", lambda m, n, threads: grid)
    wide, tall = numbers(0, k, 2 * m, dtype=dtype), numbers(1, n, 2 * k, dtype=dtype)
    for x in (wide[:, :m].T, wide[:, :m].T.copy()):
        for w in (tall[:, :k].T, tall[:, :k].T.copy()):
            with kernels.use(matmul="blas_blocks"):
                y, again = kernels.matmul(x, w), kernels.matmul(x, w)
            assert y.dtype == dtype and y.flags.c_contiguous and y.tobytes() == again.tobytes()
            exact = x.astype(np.float64) @ w.astype(np.float64)
            assert np.abs(y - exact).max() <= 20 * np.finfo(dtype).eps * k**0.5 * 4


@pytest.mark.skipif(not blas.in_loops(), reason="NumPy's BLAS is no OpenBLAS with integers of 64 bits")
def test_which_products_are_cut(monkeypatch):
    monkeypatch.setattr(blocks, "threads_for", lambda work, least: 3)
    monkeypatch.setattr(blas, "threads", lambda: 3)
    monkeypatch.setattr(panels, "pays", lambda *shape: False)  # the CPUs whose BLAS computes all of these

    def variant(m, k, n, dtype=np.float32, step=1):
        return chosen(kernels.matmul, np.zeros((m, step * k), dtype)[:, ::step], np.zeros((k, n), dtype))

    assert variant(128, 784, 256) == variant(128, 784, 256, np.float64) == "blas_blocks"
    assert variant(128, 784, 256, step=2) == variant(128, 128, 64) == variant(47, 784, 94) == "one_thread"
    assert variant(16, 16, 16) == variant(0, 5, 7) == "reference"
    assert variant(784, 64, 1024, np.float16) == "widened"
    assert [blocks.grid(*size) for size in ((784, 64, 3), (64, 784, 3), (100, 64, 3), (40, 40, 3))] == [
        *((3, 1), (1, 3), (2, 1), (1, 1))
    ]


def test_products_on_one_thread():
    """BLAS has its threads again when the last of several blocks is left, in whatever order."""
    before = blas.threads()
    first, second = blas.one_thread, blas.one_thread
    with first:
        second.__enter__()
        assert blas.threads() in (1, None)
    assert blas.threads() in (1, None)
    second.__exit__()
    assert blas.threads() == before
    with pytest.raises(ValueError):
        kernels.matmul(np.ones((784, 64), np.float32), np.ones((65, 1024), np.float32))


def test_with_bounds_checked(tmp_path):
    pass_with_bounds_checked(__file__, tmp_path)
