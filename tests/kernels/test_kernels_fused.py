"""The compiled variants of activations, norms, softmax, losses and optimisers against their references."""

import itertools
import math

import numpy as np
import pytest
from support.bounds import pass_with_bounds_checked

import tinygen
from tinygen import kernels

SIZES = [0, 1, 2, 7, 16, 31, 97, 1009, 4099]
ODD = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 88.8, -88.8, 104.0, -104.0, 1e-30, -1e-30, 3e38, -3e38])
LIMIT = {"float32": 1e-6, "float64": 1e-13}  # of |found - expected| / (1 + |expected|)


def numbers(seed, *shape, dtype="float32"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def every_variant(name):
    return [v for v, _, _ in getattr(kernels, name).ladder["cpu"][1:]]


def results(name, variant, args, attrs):
    with kernels.use(**{name: variant}), np.errstate(all="ignore"):
        out = getattr(kernels, name)(*args, **attrs)
    return out if isinstance(out, tuple) else (out,)


def compare(name, *args, limit=1.0, **attrs):
    """Check that every variant is within `limit` times LIMIT of the reference, and has the same bits when
    it runs again, also for arrays below the size from which it pays
    """
    for variant in every_variant(name):
        if variant == "rows" and name.startswith("cross_entropy") and args[-1].shape[1] > 1:
            continue
        expected = results(name, "reference", args, attrs)
        found = results(name, variant, args, attrs)
        again = results(name, variant, args, attrs)
        for a, b, c in zip(found, expected, again, strict=True):
            assert a.shape == b.shape and a.dtype == b.dtype, (name, variant)
            assert a.tobytes() == c.tobytes(), (name, variant)
            if b.dtype.kind == "i":
                np.testing.assert_array_equal(a, b, err_msg=name)
                continue
            finite = np.isfinite(b)
            np.testing.assert_array_equal(np.where(finite, 0, a), np.where(finite, 0, b), err_msg=name)
            error = np.abs(a[finite] - b[finite]) / (1 + np.abs(b[finite]))
            assert error.max(initial=0) <= limit * LIMIT[str(b.dtype)], (name, variant, error.max())


# activations

BOTH = ["float32", "float64"]


def activations():
    for name in "gelu", "gelu_tanh":
        yield name, "float32", ()
        yield f"{name}_grad", "float32", ()
    for dtype in BOTH:
        for name in "sigmoid", "silu":
            yield name, dtype, ()
            yield f"{name}_grad", dtype, ()
        yield "relu_grad", dtype, ()
        yield "leaky_relu", dtype, (0.2,)
        yield "leaky_relu_grad", dtype, (0.2,)


@pytest.mark.parametrize("name, dtype, options", list(activations()))
def test_activations(name, dtype, options):
    for n in SIZES:
        x = 4 * numbers(n, n, dtype=dtype)
        g = numbers(n + 1, n, dtype=dtype)
        compare(name, *((g, x) if name.endswith("_grad") else (x,)), *options, limit=4)


@pytest.mark.parametrize("name, dtype, options", list(activations()))
def test_activations_of_odd_numbers(name, dtype, options):
    x = ODD.astype(dtype)
    if name.endswith("_grad"):
        for g in (np.ones_like(x), numbers(0, x.size, dtype=dtype)):
            compare(name, g, x, *options, limit=2)
    else:
        compare(name, x, *options, limit=2)


@pytest.mark.parametrize("name, dtype, options", list(activations()))
def test_activations_choose_by_layout(name, dtype, options):
    """Long and contiguous: compiled, also if g is one broadcast number.  Strided or short: the reference."""
    from tinygen.kernels.runtime.dispatch import trace

    x = numbers(0, 101, 67, dtype=dtype)
    gs = [np.broadcast_to(x[:1, :1], x.shape), x] if name.endswith("_grad") else [None]
    for g in gs:
        for layout, expected in ((x, "one_pass"), (x.T, "reference"), (x[:10], "reference")):
            args = (layout,) if g is None else (np.broadcast_to(g[:1, :1], layout.shape), layout)
            with trace() as calls:
                out = getattr(kernels, name)(*args, *options)
            assert calls == [(name, expected)] and out.shape == layout.shape


@pytest.mark.parametrize("dtype, least, error", [("float32", 80, 6e-7), ("float64", 700, 1.2e-15)])
def test_the_exponential(dtype, least, error):
    """Within a few units in the last place over its range"""
    from tinygen.kernels.activation.loops import silu

    x = -np.exp(np.linspace(np.log(1e-6), np.log(least), 20011)).astype(dtype)
    out = np.empty_like(x)
    silu(x, out)
    exact = x.astype(np.longdouble)
    exact = exact * np.exp(exact) / (1 + np.exp(exact))
    assert np.abs(out / exact - 1).max() < error


def test_gelu_against_the_standard_library():
    """As its docstring says: within 3e-7 (1 + |x|) of x Φ(x)"""
    x = np.linspace(-14, 14, 20011, dtype=np.float32)
    with kernels.use(gelu="one_pass"):
        found = kernels.gelu(x)
    exact = np.array([v * 0.5 * math.erfc(-v / math.sqrt(2)) for v in x.tolist()])
    assert (np.abs(found - exact) / (1 + np.abs(x))).max() < 3e-7


# norms: x, dims, the shape of weight and bias (None: neither)

NORMS = [
    ((5, 97), (1,), (97,)), ((3, 7, 31), (1, 2), (7, 31)), ((3, 7, 4099), (2,), (4099,)), ((40, 97), (1,), None),
    ((2, 3, 5, 97), (2, 3), (3, 5, 1)), ((2, 3, 5, 97), (2, 3), None), ((1, 1, 1, 2053), (2, 3), (1, 1, 1)),
    ((3, 5, 13, 11), (0, 2, 3), (1, 5, 1, 1)), ((3, 5, 13, 11), (2, 3), (1, 5, 1, 1)), ((7, 5, 4099), (0, 2), (5, 1)),
    ((300, 17), (1,), (17,)), ((97, 40), (0,), (1, 40)), ((300, 17), (0,), None), ((3, 7, 131), (0, 1), (131,)),
    ((1, 1027), (0,), (1027,)), ((131, 3, 7), (0,), (1, 3, 7)),
]  # fmt: skip


def usable(name, variant, *args):
    return next(u for v, _, u in getattr(kernels, name).ladder["cpu"] if v == variant)(*args)


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("shape, dims, vector", NORMS, ids=str)
def test_norms(shape, dims, vector, dtype):
    """Every variant that takes the arguments; for large arrays at least one does."""
    x, g = 3 * numbers(0, *shape, dtype=dtype) + 5, numbers(1, *shape, dtype=dtype)
    w = None if vector is None else numbers(2, *vector, dtype=dtype)
    for weight, bias in ((w, w), (w, None), (None, w)):
        given = None if vector is None else vector
        forward = (x, weight, bias, dims, 1e-5)
        _, mean, var = results("normalize", "reference", forward, {})
        backward = (g, x, weight, mean, var, dims, 1e-5, given)
        kinds = {"normalize": forward, "normalize_grad": backward, "normalize_silu": forward}
        kinds["normalize_silu_grad"] = (g, x, weight, bias, mean, var, dims, 1e-5, given)
        for name, args in kinds.items():
            fit = [v for v in every_variant(name) if usable(name, v, *args)]
            assert fit or x.size <= 1024 or "silu" in name, (name, shape)
            expected = [a for a in results(name, "reference", args, {}) if a is not None]
            for variant in fit:
                found, again = ([a for a in results(name, variant, args, {}) if a is not None] for _ in "12")
                assert len(found) == len(expected)
                for a, b, c in zip(found, expected, again):
                    assert a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == c.tobytes()
                    assert np.abs(a - b).max() <= 10 * LIMIT[dtype] * (1 + np.abs(b).max()), (name, variant)


def test_silu_after_a_norm_is_compiled_where_groups_are():
    """Compiled over the channels and pixels of a group; the reference for empty arrays and everything else."""
    from tinygen.kernels.runtime.dispatch import trace

    cases = [
        ((2, 3, 5, 97), (2, 3), "groups"),
        ((0, 3, 5, 97), (2, 3), "reference"),
        ((3, 5, 13, 11), (0, 2, 3), "reference"),
        ((2, 3, 4, 1), (2, 3), "reference"),
    ]
    for (shape, dims, expected), dtype in itertools.product(cases, BOTH):
        x = 90 * numbers(0, *shape, dtype=dtype)  # SiLU is x or 0 at most of them
        with trace() as calls, np.errstate(all="ignore"):
            _, mean, var = kernels.normalize_silu(x, None, None, dims, 1e-5)
            kernels.normalize_silu_grad(x, x, None, None, mean, var, dims, 1e-5, None)
        found = [variant for name, variant in calls if "silu" in name and "normalize" in name]
        assert found == [expected] * 2


def test_norms_of_long_rows():
    """Moments of a million elements, and column sums over a hundred thousand rows, to a few units in the last place"""
    x = np.full((2, 10**6), 0.1, np.float32)
    x[:, ::2] = 0.3
    _, mean, var = kernels.normalize(x, None, None, (1,), 1e-5)
    assert np.abs(mean / 0.2 - 1).max() < 1e-6 and np.abs(var / 0.01 - 1).max() < 1e-5
    x = np.ones((10**5, 16), np.float32)
    mean = np.zeros((10**5, 1), np.float32)
    g = np.full_like(x, 0.1)
    _, gweight, gbias = kernels.normalize_grad(g, x, x[0], mean, mean + 1, (1,), 0.0, (16,))
    assert np.abs(gweight / 1e4 - 1).max() < 1e-5 and np.abs(gbias / 1e4 - 1).max() < 1e-5


def test_norms_of_odd_numbers():
    """A nan or inf spoils its own row and no other"""
    x = numbers(0, 40, 64)
    x[3, 5], x[7, 9] = np.nan, np.inf
    for dims, rows in (((1,), x), ((2,), x.reshape(5, 8, 64))):
        with np.errstate(all="ignore"):
            y, mean, var = kernels.normalize(rows, None, None, dims, 1e-5)
            gx, _, _ = kernels.normalize_grad(rows, rows, None, mean, var, dims, 1e-5, None)
        for out in (y, gx):
            out = out.reshape(40, 64)
            assert np.isnan(out[3]).all() and np.isnan(out[7]).any()
            assert np.isfinite(np.delete(out, (3, 7), 0)).all()


def test_columns_of_odd_numbers_and_of_equal_ones():
    """A nan or inf spoils its own column and no other; equal numbers become 0 exactly"""
    x = numbers(0, 40, 64)
    x[3, 5], x[0, 9], x[:, 11] = np.nan, np.inf, 3.3e5
    with np.errstate(all="ignore"):
        y, mean, var = kernels.normalize(x, None, None, (0,), 1e-5)
        gx, _, _ = kernels.normalize_grad(x, x, None, mean, var, (0,), 1e-5, None)
    for out in (y, gx):
        assert np.isnan(out[:, 5]).all() and np.isnan(out[:, 9]).any()
        assert np.isfinite(np.delete(out, (5, 9), 1)).all()
    assert not y[:, 11].any() and not var[0, 11]


def test_norms_of_long_columns():
    """Moments and sums over a hundred thousand rows, to a few units in the last place"""
    x = np.full((10**5, 16), 0.1, np.float32)
    x[::2] = 0.3
    with kernels.use(normalize="columns", normalize_grad="columns"):
        _, mean, var = kernels.normalize(x, None, None, (0,), 1e-5)
        _, _, gbias = kernels.normalize_grad(np.full_like(x, 0.1), x, None, mean, var, (0,), 1e-5, (1, 16))
    assert np.abs(mean / 0.2 - 1).max() < 1e-6 and np.abs(var / 0.01 - 1).max() < 1e-5
    assert np.abs(gbias / 1e4 - 1).max() < 1e-5


# softmax and cross-entropy

ROWS = [(1, 1), (3, 1), (1, 2053), (7, 13), (97, 10), (5, 4099), (3, 2, 31)]


@pytest.mark.parametrize("shape", ROWS, ids=str)
def test_softmax_by_rows(shape):
    x, g = 5 * numbers(0, *shape), numbers(1, *shape)
    for name in ("softmax", "log_softmax"):
        y = results(name, "reference", (x, -1), {})[0]
        compare(name, x, -1, limit=3)
        compare(f"{name}_grad", g, y, -1, limit=3)
        compare(f"{name}_grad", np.broadcast_to(g[..., :1], shape), y, -1, limit=10)


def test_softmax_of_odd_numbers():
    rows = [[0, -np.inf, 1], [-np.inf] * 3, [0, np.nan, 1], [np.nan, 1, 2], [np.inf, 0, 1], [900, 899, -900]]
    x = np.array(rows, np.float32)
    compare("softmax", x, -1, limit=3)
    compare("log_softmax", x, -1, limit=3)


def test_softmax_chooses_by_layout():
    from tinygen.kernels.runtime.dispatch import trace

    x = numbers(0, 40, 50)
    for args, expected in (
        ((x, 1), "rows"),
        ((x, 0), "reference"),
        ((x.T, 1), "reference"),
        ((x[:, :9], 1), "reference"),
    ):
        with trace() as calls:
            y = kernels.softmax(*args)
            kernels.log_softmax(*args)
        found = [variant for name, variant in calls if "softmax" in name]
        assert found == [expected] * 2 and y.shape == args[0].shape


def test_softmax_down_long_columns():
    """Where NumPy would add one number after the other"""
    x = numbers(0, 300_001, 2)
    wide = x.astype(np.float64)
    for kernel in kernels.softmax, kernels.log_softmax:
        assert np.abs(kernel(x, 0) / kernel(wide, 0) - 1).max() < 2e-6
    found = tinygen.logsumexp(tinygen.tensor(x), 0).numpy()
    assert np.abs(found - tinygen.logsumexp(tinygen.tensor(wide), 0).numpy()).max() < 2e-6


@pytest.mark.parametrize("n, c", [(1, 1), (3, 1), (7, 13), (97, 10), (5, 4099), (1009, 3)])
def test_cross_entropy_by_rows(n, c):
    random = np.random.default_rng(n)
    x, g, weights = 5 * numbers(0, n, c, 1), numbers(1, n, 1), np.abs(numbers(2, n, 1))
    index = random.integers(-1, c, (n, 1))
    compare("cross_entropy", x, index, weights, limit=3)
    _, most, log_sum = results("cross_entropy", "reference", (x, index, weights), {})
    compare("cross_entropy_grad", g, x, index, weights, most, log_sum, limit=3)
    compare("cross_entropy_grad", np.broadcast_to(g[:1], g.shape), x, index, weights, most, log_sum, limit=3)
    weights[index < 0] = 0
    compare("cross_entropy_grad", g * np.float32(np.inf), x, index, weights, most, log_sum)


@pytest.mark.parametrize("n, c, d", [(1, 1, 2), (3, 5, 97), (2, 10, 784), (1, 256, 257), (5, 3, 511)])
def test_cross_entropy_of_places(n, c, d):
    random = np.random.default_rng(n)
    x, g, weights = 5 * numbers(0, n, c, d), numbers(1, n, d), np.abs(numbers(2, n, d))
    index = random.integers(-1, c, (n, d))
    x[0, c // 2, ::7], x[0, 0, 1::7] = np.nan, np.inf
    compare("cross_entropy", x, index, weights, limit=3)
    _, most, log_sum = results("cross_entropy", "reference", (x, index, weights), {})
    compare("cross_entropy_grad", g, x, index, weights, most, log_sum, limit=3)
    compare(
        "cross_entropy_grad", np.broadcast_to(g[:1, :1], g.shape), x, index, weights, most, log_sum, limit=3
    )
    weights[index < 0] = 0
    compare("cross_entropy_grad", g * np.float32(np.inf), x, index, weights, most, log_sum)
    if x.size > 1024:
        assert usable("cross_entropy", "places", x, index, weights)
        assert not usable("cross_entropy", "places", x.transpose(0, 2, 1), index, weights)


@pytest.mark.parametrize("n", SIZES)
def test_bce_with_logits(n):
    x, g, target = 4 * numbers(n, n), numbers(n + 1, n), np.abs(numbers(n + 2, n)) % 1
    compare("bce_with_logits", x, target, limit=2)
    for each in (g, np.broadcast_to(g[:1], g.shape), np.broadcast_to(np.float32(0.25), g.shape)):
        compare("bce_with_logits_grad", each, x, target, limit=2)


def test_bce_with_logits_of_odd_numbers():
    for target in (0, 1, 0.5):
        target = np.full_like(ODD, target, dtype=np.float32)
        compare("bce_with_logits", ODD.astype(np.float32), target)
        compare("bce_with_logits_grad", np.ones_like(target), ODD.astype(np.float32), target)


# pooling, resizing and scattering

RESIZES = [  # shape, rows, columns
    ((2, 3, 14, 14), np.arange(28) // 2, np.arange(28) // 2), ((1, 2, 1, 97), np.arange(1), np.arange(194) // 2),
    ((2, 1, 7, 5), np.arange(13) * 7 // 13, np.arange(11) * 5 // 11), ((1, 1, 5, 7), [0, 3], [2, 2, 2, 6]),
    ((1, 1, 1, 1), [0], [0] * 31), ((0, 3, 4, 4), np.arange(8) // 2, np.arange(8) // 2),
    ((2, 67, 14, 14), np.arange(28) // 2, np.arange(42) // 3), ((1, 2, 3, 3), np.arange(6) // 2, [0, 0, 1, 1]),
]  # fmt: skip


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("shape, rows, columns", RESIZES)
def test_nearest_by_rows(shape, rows, columns, dtype):
    at = dict(rows=np.asarray(rows), columns=np.asarray(columns))
    x, g = numbers(0, *shape, dtype=dtype), numbers(1, *shape[:2], len(rows), len(columns), dtype=dtype)
    compare("nearest2d", x, **at)
    compare("nearest2d_grad", g, **at, size=shape[2:], limit=10)
    if x.size:
        y, gx = kernels.nearest2d(x, **at), kernels.nearest2d_grad(g, **at, size=shape[2:])
        assert np.vdot(y, g) == pytest.approx(np.vdot(x, gx), rel=1e-4, abs=1e-3)  # they are transposes


def test_nearest_refuses_indices_outside():
    with kernels.use(nearest2d="rows"), pytest.raises(IndexError, match="outside the image"):
        kernels.nearest2d(numbers(0, 1, 1, 3, 3), rows=np.array([0, 3]), columns=np.array([0]))


POOLS = [  # shape, kernel, stride, padding, dilation, size
    ((3, 5, 28, 28), (2, 2), (2, 2), (0, 0), (1, 1), (14, 14)),
    ((2, 3, 13, 11), (3, 2), (2, 1), (1, 1), (1, 1), (7, 12)),
    ((1, 1, 7, 7), (3, 3), (1, 1), (1, 1), (2, 2), (5, 5)), ((1, 1, 1, 1), (1, 1), (1, 1), (0, 0), (1, 1), (1, 1)),
    ((2, 2, 6, 5), (2, 2), (2, 2), (0, 0), (1, 1), (3, 3)), ((0, 3, 4, 4), (2, 2), (2, 2), (0, 0), (1, 1), (2, 2)),
]  # fmt: skip


def places_of(index, shape):
    """Each maximum's place in the whole batch."""
    return np.arange(shape[0] * shape[1]).reshape(*shape[:2], 1, 1) * math.prod(shape[2:]) + index


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("shape, kernel, stride, padding, dilation, size", POOLS, ids=str)
def test_max_pool_by_windows(shape, kernel, stride, padding, dilation, size, dtype):
    options = dict(kernel=kernel, stride=stride, padding=padding, dilation=dilation, size=size)
    x = numbers(0, *shape, dtype=dtype)
    for values in (x, np.round(x), np.where(x > 1, np.nan, x), np.where(x < 1, -np.inf, x)):
        values = values.astype(dtype)
        compare("max_pool2d", values, **options)
        index = results("max_pool2d", "reference", (values,), options)[1]
        if values.size:
            g, apart = (
                numbers(1, *index.shape, dtype=dtype),
                index.size == len(np.unique(places_of(index, shape))),
            )
            compare("max_pool2d_grad", g, index=index, shape=shape)
            if apart:
                compare("max_pool2d_grad", g, index=index, shape=shape, apart=True)


def test_max_pool_refuses_indices_outside():
    g = np.ones((1, 1, 2, 2), np.float32)
    with kernels.use(max_pool2d_grad="windows"), pytest.raises(IndexError, match="outside the image"):
        kernels.max_pool2d_grad(g, index=np.full(g.shape, 16), shape=(1, 1, 4, 4))


@pytest.mark.parametrize("dtype", BOTH)
def test_rows_added_in_order(dtype):
    from tinygen.kernels.runtime.dispatch import trace

    for n, d, most in ((997, 7, 31), (64, 96, 1000), (3000, 2, 10)):
        rows, x = np.random.default_rng(n).integers(0, most, n), numbers(0, n, d, dtype=dtype)
        for each in (x, np.ascontiguousarray(x.T).T, np.broadcast_to(x[:1], x.shape)):
            expected = np.zeros((most, d), np.float64)
            np.add.at(expected, rows, each)
            with trace() as calls:
                found = kernels.put(each, (rows,), (most, d))
            chosen = "in_order" if n < 64 * most and x.size > 4096 else "reference"
            assert calls == [("add_rows", chosen)] and found.dtype == x.dtype
            assert np.abs(found - expected).max() < 100 * LIMIT[dtype]
    with pytest.raises(IndexError):
        kernels.put(x, (rows + 5,), (most, d))


# matrix products for readers


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("m, k, n", [(1, 1, 1), (7, 13, 5), (65, 129, 67), (0, 3, 2), (2, 0, 3), (2, 3, 0)])
def test_matmul_rungs(m, k, n, dtype):
    from tinygen.kernels.runtime.dispatch import trace

    x, w = numbers(0, m, k, dtype=dtype), numbers(1, n, k, dtype=dtype).T
    for variant in ("naive", "tiled"):
        (found,) = results("matmul", variant, (x, w), {})
        assert found.shape == (m, n) and found.dtype == x.dtype
        assert np.abs(found - x @ w).max(initial=0) <= 30 * LIMIT[dtype]
        with kernels.use(matmul=variant), pytest.raises(ValueError, match="expected"):
            kernels.matmul(x, np.ones((k + 1, n), dtype))
    with trace() as calls:
        kernels.matmul(x, w)
    assert calls[0][1] not in ("naive", "tiled")


# the whole file with every index checked


def test_with_bounds_checked(tmp_path):
    pass_with_bounds_checked(__file__, tmp_path)


def test_a_numpy_scalar_is_computed_on_the_cpu():
    """By the reference: a single number need not be fast, and is not on a GPU."""
    assert kernels.device_of(np.float32(1)) == "cpu"
    for name in "sigmoid", "silu", "gelu":
        kernel, number = getattr(kernels, name), np.float32(0.5)
        assert kernel(number) == pytest.approx(float(kernel(np.array([0.5], np.float32))[0]), rel=1e-6)
