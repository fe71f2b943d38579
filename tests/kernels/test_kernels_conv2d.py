"""The faster convolutions against their reference, on sizes that are no multiple of a tile."""

import numpy as np
import pytest
from support.bounds import pass_with_bounds_checked

from tinygen import kernels
from tinygen.benchmarks.studies import winograd_error
from tinygen.kernels.conv2d import winograd

ONE, TWO = (1, 1), (2, 2)
NONE, SAME = ((0, 0), (0, 0)), ((1, 1), (1, 1))

# x shape, w shape, stride, padding, dilation
SHAPES = [
    ((1, 1, 1, 1), (1, 1, 1, 1), ONE, NONE, ONE),
    ((3, 5, 7, 11), (13, 5, 3, 3), ONE, SAME, ONE),
    ((2, 3, 28, 28), (17, 3, 3, 3), ONE, NONE, ONE),
    ((5, 16, 14, 14), (8, 16, 3, 3), ONE, SAME, ONE),
    ((2, 19, 9, 5), (3, 19, 1, 1), ONE, NONE, ONE),
    ((2, 4, 6, 6), (5, 4, 1, 1), ONE, ((3, 3), (3, 3)), ONE),
    ((3, 4, 14, 14), (9, 4, 4, 4), TWO, SAME, ONE),
    ((3, 4, 15, 13), (9, 4, 4, 4), TWO, SAME, ONE),
    ((2, 3, 7, 8), (4, 3, 3, 2), (3, 2), ((2, 0), (1, 1)), ONE),
    ((2, 3, 9, 9), (4, 3, 1, 1), (3, 3), NONE, ONE),
    ((2, 3, 12, 11), (4, 3, 3, 3), ONE, ((2, 2), (2, 2)), TWO),
    ((2, 3, 12, 11), (4, 3, 3, 3), TWO, ((0, 3), (4, 1)), (3, 2)),
    ((2, 3, 3, 3), (4, 3, 3, 3), ONE, ((5, 6), (7, 8)), ONE),
    ((1, 2, 1, 37), (3, 2, 1, 5), ONE, ((0, 0), (2, 2)), ONE),
    ((3, 17, 7, 10), (19, 17, 3, 3), ONE, SAME, ONE),
    ((5, 16, 14, 13), (16, 16, 3, 3), ONE, NONE, ONE),
    ((2, 23, 28, 28), (16, 23, 3, 3), ONE, ((0, 2), (2, 1)), ONE),
    ((2, 16, 1, 1), (16, 16, 3, 3), ONE, SAME, ONE),
    ((7, 48, 9, 6), (32, 48, 3, 3), ONE, SAME, ONE),
    ((1, 32, 33, 2), (80, 32, 3, 3), ONE, ((0, 4), (2, 1)), ONE),
    ((3, 1, 9, 8), (65, 1, 4, 4), TWO, SAME, ONE),  # one channel on one side
    ((3, 65, 9, 8), (1, 65, 4, 4), TWO, SAME, ONE),
    ((2, 1, 28, 28), (5, 1, 3, 3), ONE, SAME, ONE),
    ((3, 129, 7, 7), (97, 129, 1, 1), ONE, NONE, ONE),
    ((9, 64, 5, 5), (33, 64, 5, 5), ONE, NONE, ONE),  # more terms than one piece of a sum has
    ((3, 7, 6, 9), (5, 7, 6, 9), ONE, NONE, ONE),  # one window
    ((3, 7, 6, 9), (1, 7, 6, 9), TWO, NONE, ONE),
    ((3, 5, 9, 7), (5, 1, 3, 3), ONE, SAME, ONE),  # depthwise
    ((3, 5, 9, 7), (5, 1, 3, 3), TWO, SAME, TWO),
    ((2, 3, 8, 8), (6, 1, 4, 4), TWO, SAME, ONE),
    ((2, 12, 9, 7), (21, 4, 3, 3), ONE, SAME, ONE),  # in groups
    ((2, 10, 9, 7), (6, 5, 4, 4), TWO, SAME, ONE),
    ((2, 34, 3, 3), (38, 17, 2, 2), ONE, ((1, 0), (0, 2)), ONE),
    ((0, 3, 5, 5), (2, 3, 3, 3), ONE, SAME, ONE),
]  # fmt: skip
FASTER = [
    (kernel, name) for kernel in ("conv2d", "conv2d_input_grad", "conv2d_weight_grad")
    for name in kernels.registry()[kernel]["cpu"][1:] if name != "one_window"
]  # fmt: skip


def fits(name, shapes):
    """Whether the variant's loops take these sizes (even if they do not pay)"""
    x, w, stride, _, dilation = shapes
    return 0 not in x and (
        name != "winograd" or (w[2:] == (3, 3) and stride == dilation == ONE and x[1] == w[1])
    )


CASES = [(*variant, shapes) for variant in FASTER for shapes in SHAPES if fits(variant[1], shapes)]


def arguments(kernel, shapes, dtype=np.float64, seed=0, make=None):
    """The arguments of one of the three kernels"""
    x, w, stride, padding, dilation = shapes
    rng = np.random.default_rng(seed)
    make = make or (lambda shape: rng.standard_normal(shape).astype(dtype))
    y = (x[0], w[0], *kernels.output_size(x[2:], w[2:], stride, padding, dilation))
    at = dict(stride=stride, padding=padding, dilation=dilation, groups=x[1] // w[1] if w[1] else 1)
    if kernel == "conv2d":
        return (make(x), make(w)), at
    if kernel == "conv2d_input_grad":
        return (make(y), make(w)), at | {"shape": x}
    return (make(x), make(y)), at | {"shape": w}


def usable(kernel, name, args, at):
    check = next(v[2] for v in getattr(kernels, kernel).ladder["cpu"] if v[0] == name)
    return check is None or check(*args, **at)


def run(kernel, name, args, at):
    with kernels.use(**{kernel: name}):
        return getattr(kernels, kernel)(*args, **at)


def close(got, wanted, dtype, scale=1.0):
    assert got.shape == wanted.shape and got.dtype == dtype
    limit = scale * (2e-5 if dtype == np.float32 else 2e-13) * max(1.0, np.abs(wanted).max(initial=0))
    assert np.abs(got - wanted).max(initial=0) <= limit


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernel,name,shapes", CASES, ids=str)
def test_variants_match_the_reference(kernel, name, shapes, dtype):
    args, at = arguments(kernel, shapes, dtype)
    wanted = run(kernel, "reference", [a.astype(np.float64) for a in args], at)
    close(run(kernel, name, args, at), wanted, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernel", ["conv2d", "conv2d_input_grad", "conv2d_weight_grad"])
def test_one_window_matches_the_reference(kernel, dtype):
    """It is used where the window is the whole image, and nowhere else."""
    taken = []
    for shapes in SHAPES:
        args, at = arguments(kernel, shapes, dtype)
        if usable(kernel, "one_window", args, at):
            taken.append(shapes)
            wanted = run(kernel, "reference", [a.astype(np.float64) for a in args], at)
            close(run(kernel, "one_window", args, at), wanted, dtype)
    assert [x[2:] for x, *_ in taken] == [w[2:] for _, w, *_ in taken] == [(1, 1), (5, 5), (6, 9), (6, 9)]


@pytest.mark.parametrize("kernel,name", FASTER)
def test_views(kernel, name):
    """Transposed, reversed and strided arrays."""
    shapes = (3, 16, 10, 9), (17, 16, 3, 3), ONE, SAME, ONE
    args, at = arguments(kernel, shapes)
    wanted = run(kernel, "reference", args, at)
    for view in (
        lambda a: np.asfortranarray(a),
        lambda a: np.ascontiguousarray(a[::-1, :, ::-1])[::-1, :, ::-1],
        lambda a: np.repeat(a, 2, axis=3)[..., ::2],
    ):
        close(run(kernel, name, [view(a) for a in args], at), wanted, np.float64)


@pytest.mark.parametrize("kernel,name", FASTER)
def test_the_same_bits_twice(kernel, name):
    args, at = arguments(kernel, ((9, 18, 14, 14), (16, 18, 3, 3), ONE, SAME, ONE), np.float32)
    assert np.array_equal(run(kernel, name, args, at), run(kernel, name, args, at))


@pytest.mark.parametrize("kernel,name", FASTER)
def test_arguments_that_a_variant_refuses(kernel, name):
    few = name == "planes"
    shapes = ((3, 2, 7, 11), (2, 1, 3, 3)) if few else ((3, 96, 7, 11), (96, 96, 3, 3))
    args, at = arguments(kernel, (*shapes, ONE, SAME, ONE), np.float32)
    assert usable(kernel, name, args, at)
    assert not usable(kernel, name, [a.astype(np.float16) for a in args], at)
    assert not usable(kernel, name, [args[0], args[1].astype(np.float64)], at)
    assert not usable(kernel, name, args, at | {"padding": ((-1, 1), (1, 1))})
    for x in ((0, 96, 7, 11), (3, 0, 7, 11)):
        empty, at = arguments(kernel, (x, (2 if few else 96, x[1], 3, 3), ONE, SAME, ONE), np.float32)
        assert not usable(kernel, name, empty, at)
    if name == "winograd":
        for shapes in (
            ((3, 96, 7, 11), (96, 96, 3, 3), TWO, SAME, ONE),
            ((3, 96, 7, 11), (96, 96, 3, 3), ONE, SAME, TWO),
            ((3, 96, 7, 11), (96, 96, 3, 2), ONE, SAME, ONE),
            ((3, 96, 3, 5), (96, 96, 3, 3), ONE, SAME, ONE),  # from here on: sizes where it does not pay
            ((1, 32, 65, 65), (32, 32, 3, 3), ONE, SAME, ONE),
            ((3, 8, 7, 11), (96, 8, 3, 3), ONE, SAME, ONE),
            ((3, 33, 7, 11), (33, 33, 3, 3), ONE, SAME, ONE),
        ):
            args, at = arguments(kernel, shapes, np.float32)
            assert not usable(kernel, name, args, at), shapes


@pytest.mark.parametrize("kernel", ["conv2d", "conv2d_input_grad", "conv2d_weight_grad"])
@pytest.mark.parametrize("threads,cached", [(1, 1), (3, 1 << 18), (2, 1 << 30), (9, 1 << 30)])
def test_winograd_with_any_split_of_the_batch(kernel, threads, cached, monkeypatch):
    """Images split unevenly among threads and blocks (one thread may run the shares of three)."""
    monkeypatch.setattr("numba.get_num_threads", lambda: threads)
    monkeypatch.setattr(winograd, "CACHED", cached)
    args, at = arguments(kernel, ((7, 18, 9, 14), (37, 18, 3, 3), ONE, SAME, ONE))
    close(run(kernel, "winograd", args, at), run(kernel, "reference", args, at), np.float64)


@pytest.mark.parametrize("kernel", ["conv2d", "conv2d_input_grad", "conv2d_weight_grad"])
def test_winograds_error_and_its_bound(kernel):
    """Up to the most channels that it takes, the error stays below 1e-5 of the largest output; with Lavin and Gray's
    points, 0, ±1, ±2, it would not."""
    most = winograd.MOST_CHANNELS
    assert winograd_error.error(kernel, "winograd", most, images=4, size=8) < 1e-5
    for channels, taken in ((most, kernel != "conv2d_weight_grad"), (most + 16, False)):
        args, at = arguments(
            kernel, ((1, channels, 8, 8), (channels, channels, 3, 3), ONE, SAME, ONE), np.float32
        )
        assert usable(kernel, "winograd", args, at) is taken


def test_winograds_points():
    """The three transforms give the correlation, to float64 precision, with any points."""
    from tinygen.kernels.conv2d import winograd_loops as loops

    rng = np.random.default_rng(0)
    for points in ((), (1, 2), (0.5, 0.75)):
        for taps in (3, 4):
            d, g = rng.standard_normal(6), rng.standard_normal(taps)
            v, u = loops.interpolate(d, *points), loops.evaluate(g, *points)
            y = loops.combine(np.multiply(v, u), 7 - taps, *points)
            assert np.allclose(y, np.correlate(d, g), rtol=0, atol=1e-13)


def test_with_bounds_checked(tmp_path):
    """No index leaves its array, for all sizes above."""
    pass_with_bounds_checked(__file__, tmp_path, "-k", "the_reference")
