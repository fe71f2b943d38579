"""The compiled variants of activations, norms, softmax, losses and optimisers against their references."""

import os
import subprocess
import sys

import numpy as np
import pytest

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
    """Every variant within `limit` times LIMIT of the reference, and of the same bits when it runs again"""
    for variant in every_variant(name):
        expected = results(name, "reference", args, attrs)
        found = results(name, variant, args, attrs)
        again = results(name, variant, args, attrs)
        for a, b, c in zip(found, expected, again, strict=True):
            assert a.shape == b.shape and a.dtype == b.dtype, (name, variant)
            assert a.tobytes() == c.tobytes(), (name, variant)
            finite = np.isfinite(b)
            np.testing.assert_array_equal(np.where(finite, 0, a), np.where(finite, 0, b), err_msg=name)
            error = np.abs(a[finite] - b[finite]) / (1 + np.abs(b[finite]))
            assert error.max(initial=0) <= limit * LIMIT[str(b.dtype)], (name, variant, error.max())


# activations

FLOAT32_ONLY = "sigmoid silu gelu gelu_tanh"
BOTH = ["float32", "float64"]


def activations():
    for name in FLOAT32_ONLY.split():
        yield name, "float32", ()
        yield f"{name}_grad", "float32", ()
    for dtype in BOTH:
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
    """Long and contiguous: compiled.  Across memory: the reference.  One number seen many times as g: compiled."""
    from tinygen.kernels.dispatch import trace

    x = numbers(0, 101, 67, dtype=dtype)
    gs = [np.broadcast_to(x[:1, :1], x.shape), x] if name.endswith("_grad") else [None]
    for g in gs:
        for layout, expected in ((x, "one_pass"), (x.T, "reference"), (x[:10], "reference")):
            args = (layout,) if g is None else (np.broadcast_to(g[:1, :1], layout.shape), layout)
            with trace() as calls:
                out = getattr(kernels, name)(*args, *options)
            assert calls == [(name, expected)] and out.shape == layout.shape


def test_the_exponential():
    """Within two units in the last place over its range"""
    from tinygen.kernels.elementwise_loops import silu

    x = -np.exp(np.linspace(np.log(1e-6), np.log(80), 20011)).astype(np.float32)
    out = np.empty_like(x)
    silu(x, out)
    exact = x.astype(np.float64)
    exact = exact * np.exp(exact) / (1 + np.exp(exact))
    assert np.abs(out / exact - 1).max() < 6e-7


# the whole file with every index checked


def test_with_bounds_checked(tmp_path):
    """numba reads and writes past the end without a word; NUMBA_BOUNDSCHECK=1 makes it an IndexError"""
    if "NUMBA_BOUNDSCHECK" in os.environ:
        pytest.skip("this is that run")
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__],
        env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-3000:]
