"""Every CUDA C++ kernel against its reference: on the host in three thread orders, on a GPU where there is one.

The arguments are in `cuda_cases.py`; the registry says which variants there are.
"""

import importlib
from collections import Counter
from itertools import zip_longest

import numpy as np
import pytest
import support.cuda_cases as cuda_cases
from support.gpu import stand_in

from tinygen import kernels
from tinygen.kernels.runtime import dispatch
from tinygen.kernels.runtime.cuda_source import FOLDER, CudaSource
from tinygen.random import Generator

VARIANTS = [
    pytest.param(name, variant, id=f"{name}-{variant}")
    for name, kernel in sorted(dispatch._registry.items())
    for variant in kernel.variants_on("host")
]


def calls(name: str, xp=np):
    """(args, attrs) of every case: new arrays each time, with the same values."""
    return getattr(cuda_cases, name)(cuda_cases.Arrays(xp))


def run(name: str, args, attrs) -> list[np.ndarray]:
    """What the kernel returns and what it writes into its arguments, as numpy arrays."""
    result = dispatch._registry[name](*args, **attrs)
    found = list(result) if isinstance(result, tuple) else [result]
    for position in cuda_cases.WRITTEN.get(name, ()):
        found += args[position] if isinstance(args[position], list) else [args[position]]
    return [np.asarray(as_numpy(array)) for array in found if array is not None]


def as_numpy(value, dtype=None):
    """An array, or those in a list, as numpy arrays, with float32 cast to `dtype`; anything else as it is."""
    if isinstance(value, list):
        return [as_numpy(v, dtype) for v in value]
    value = value.get() if hasattr(value, "get") and not isinstance(value, dict) else value
    return (
        value.astype(dtype)
        if dtype and isinstance(value, np.ndarray) and value.dtype == np.float32
        else value
    )


def compare(name: str, got: list, args, attrs) -> None:
    """Compare with the reference in float64; for kernels in EXACT, bit by bit with the reference itself."""
    if name in cuda_cases.EXACT:
        with kernels.use(**{name: "reference"}):
            expected = run(name, args, attrs)
        for result, wanted in zip_longest(got, expected):
            assert result.dtype == wanted.dtype and np.array_equal(result, wanted, equal_nan=True), shapes(
                args
            )
        return
    double = getattr(args[0], "dtype", None) == np.float64
    wide = [as_numpy(value, np.float64) for value in args]
    with kernels.use(**{name: "reference"}), np.errstate(all="ignore"):
        expected = run(name, wide, {key: as_numpy(value, np.float64) for key, value in attrs.items()})
    for result, wanted in zip_longest(got, expected):
        assert result.shape == wanted.shape and result.dtype == (np.float64 if double else np.float32)
        finite = np.isfinite(wanted)
        assert np.array_equal(result[~finite], wanted[~finite], equal_nan=True), shapes(args)
        result, wanted = result[finite], wanted[finite]
        limit = cuda_cases.TOLERANCE_OF_DOUBLE if double else cuda_cases.TOLERANCE.get(name, 2e-6)
        limit *= max(1, np.abs(wanted).max(initial=0))
        assert np.abs(result - wanted).max(initial=0) <= limit, shapes(args)


def shapes(args) -> list:
    return [[np.shape(v) for v in a] if isinstance(a, list) else np.shape(a) for a in args]


@pytest.mark.parametrize("name, variant", VARIANTS)
def test_on_the_host_in_three_thread_orders(host, name, variant):
    for *runs, fresh in zip(*(calls(name) for _ in range(1 + len(dispatch.THREAD_ORDERS)))):
        found = []
        for order, (args, attrs) in zip(dispatch.THREAD_ORDERS, runs):
            with kernels.use(on="host", order=order, **{name: variant}):
                found.append(run(name, args, attrs))
        compare(name, found[0], *fresh)
        for other in found[1:]:
            for one, two in zip(found[0], other):
                assert np.array_equal(one, two, equal_nan=True), f"a race: {shapes(fresh[0])}"


@pytest.mark.parametrize("name, variant", VARIANTS)
def test_on_the_host_with_every_access_checked(host, name, variant):
    for (args, attrs), fresh in zip(calls(name), calls(name)):
        with kernels.use(on="host", checked=True, **{name: variant}):
            compare(name, run(name, args, attrs), *fresh)


SANITIZED = 0, 1, 4, 12, 40  # which launches of a kernel: the first cases are small


@pytest.mark.parametrize("name, variant", VARIANTS)
def test_on_the_host_under_sanitizers(host, name, variant, monkeypatch):
    """Some launches of every kernel, each in its own process: AddressSanitizer and UndefinedBehaviorSanitizer."""
    seen, on_host = Counter(), CudaSource._launch_on_host

    def launch(source, kernel, grid, block, values, **options):
        if seen[kernel] in SANITIZED:
            host.launch_sanitized(host.compile(source.path), kernel, grid, block, values, **options)
        else:
            on_host(source, kernel, grid, block, values, **options)
        seen[kernel] += 1

    monkeypatch.setattr(CudaSource, "_launch_on_host", launch)
    for (args, attrs), fresh in zip(calls(name), calls(name)):
        with kernels.use(on="host", **{name: variant}):
            compare(name, run(name, args, attrs), *fresh)


@pytest.mark.parametrize("name, variant", VARIANTS)
def test_from_arrays_of_a_gpu_on_a_stand_in(host, name, variant):
    with stand_in(launches=True) as cupy:
        for (args, attrs), fresh in zip(calls(name, cupy), calls(name)):
            with kernels.use(**{name: variant}):
                compare(name, run(name, args, attrs), *fresh)


def test_which_variants_of_matmul_a_gpu_runs(host):
    with stand_in(launches=True) as cupy, dispatch.trace() as called:
        a = cuda_cases.Arrays(cupy)
        kernels.matmul(a(130, 8), a(8, 12))
        kernels.matmul(a(1300, 8), a(8, 1290))
        kernels.matmul(a(3, 8).astype("float64"), a(8, 2).astype("float64"))
    assert called == [("matmul", variant) for variant in ("register_tiled", "vectorized", "reference")]


def test_which_variants_for_rows_a_gpu_runs(host):
    with stand_in(launches=True) as cupy, dispatch.trace() as called:
        a = cuda_cases.Arrays(cupy)
        for x, dim in (a(9, 256), 1), (a(9, 257), -1), (a(9, 3), 0), (a(9, 3).astype("float64"), 1):
            kernels.log_softmax_grad(x, kernels.softmax(x, dim), dim)
        rungs = "warp_rows", "block_rows", "naive", "reference"
        found = [call for call in called if call[0] != "sum"]  # the references call it
        assert found == [(name, rung) for rung in rungs for name in ("softmax", "log_softmax_grad")]
        for x, dims, shape, rungs in (
            (a(9, 256), (1,), (256,), ["warp_rows", "block_rows"]),
            (a(9, 257), (1,), (257,), ["block_rows", "block_rows"]),
            (a(2, 3, 4, 16), (2, 3), (3, 4, 1), ["block_rows", "slabs"]),
            (a(2, 3, 16), (0, 2), (1, 3, 1), ["slabs", "slabs"]),
            (a(2, 3), (0,), (1, 3), ["columns", "columns"]),
        ):
            called.clear()
            w = a(*shape)
            y, mean, var = kernels.normalize(x, w, w, dims, 1e-5)
            kernels.normalize_grad(y, x, w, mean, var, dims, 1e-5, shape)
            assert [variant for name, variant in called if name.startswith("normalize")] == rungs


@pytest.mark.gpu
@pytest.mark.parametrize("name, variant", VARIANTS)
def test_on_the_gpu(name, variant):
    import cupy

    for *runs, fresh in zip(*(calls(name, cupy) for _ in range(3))):
        with kernels.use(**{name: variant}):
            once, again = (run(name, *each) for each in runs)
        compare(name, once, *fresh)
        assert all(np.array_equal(one, two, equal_nan=True) for one, two in zip(once, again))


def test_every_kernel_of_every_source_has_cases(host, monkeypatch):
    """A kernel that no case launches is not tested."""
    launched = set()

    def launch(source, kernel, grid, block, *arguments, **options):
        if 0 not in grid:
            launched.add((source.path.name, kernel))

    monkeypatch.setattr(CudaSource, "launch", launch)
    with np.errstate(all="ignore"):  # nothing is computed
        for name, variant in (p.values for p in VARIANTS):
            for args, attrs in calls(name):
                with kernels.use(on="host", **{name: variant}):
                    run(name, args, attrs)
    sources = sorted(FOLDER.glob("*/*.cu"))
    assert launched == {(path.name, kernel) for path in sources for kernel in host.compile(path).kernels}


def test_errors_of_use_on_the_host():
    with pytest.raises(ValueError, match="matmul has no variant 'rank_one' for on='host'; known: naive"):
        with kernels.use(matmul="rank_one", on="host"):
            pass
    with pytest.raises(ValueError, match="max_pool2d has no variant 'x' for on='host'; known: none"):
        with kernels.use(max_pool2d="x", on="host"):
            pass
    with pytest.raises(ValueError, match="on='gpu'; known: host, simulator"):
        with kernels.use(matmul="naive", on="gpu"):
            pass
    with pytest.raises(ValueError, match="order='up'; known: forward, reverse, random"):
        with kernels.use(matmul="naive", on="host", order="up"):
            pass


def test_use_on_host_takes_turns_with_the_cpu_variants(host):
    x, w = np.ones((3, 2), np.float32), np.ones((2, 4), np.float32)
    with dispatch.trace() as calls:
        with kernels.use(matmul="naive", on="host", order="reverse"):
            assert dispatch.forced_here() is None  # not inside a forced call
            kernels.matmul(x, w)
            with kernels.use(matmul="naive"):
                kernels.matmul(x, w)
            kernels.matmul(x, w)
        kernels.matmul(x, w)
    assert calls == [("matmul", "naive")] * 3 + [("matmul", "reference")]
    assert dispatch.forced_here() is None


def test_the_kernels_compute_in_float32(host):
    with kernels.use(matmul="naive", on="host"):
        with pytest.raises(TypeError, match="matmul: the CUDA kernels compute in float32, w is float64"):
            kernels.matmul(np.ones((2, 2), np.float32), np.ones((2, 2)))
        with pytest.raises(ValueError, match="matmul: x has 3 columns, w has 2 rows"):
            kernels.matmul(np.ones((2, 3), np.float32), np.ones((2, 2), np.float32))


@pytest.mark.parametrize("variant", kernels.matmul.variants_on("host"))
def test_matmul_of_more_matrices_than_a_grid_is_long(host, monkeypatch, variant):
    monkeypatch.setattr(importlib.import_module("tinygen.kernels.matmul.cuda"), "BATCHES", 2)
    a = cuda_cases.Arrays()
    for args in (a(5, 4, 8), a(5, 8, 12)), (a(5, 4, 8), a.turned(5, 8, 12)), (a(5, 1, 4, 8), a(3, 8, 4)):
        with kernels.use(matmul=variant, on="host"):
            compare("matmul", run("matmul", args, {}), args, {})


def test_matmul_takes_large_tiles_where_there_are_enough(monkeypatch):
    dispatch.load_gpu_variants()
    usable = {name: rule for name, _, rule in kernels.matmul.ladder["cuda"]}
    x, w = np.ones((1280, 8), np.float32), np.ones((8, 1280), np.float32)
    assert usable["vectorized"](x, w) and not usable["vectorized"](x[:1152], w)
    assert usable["vectorized"](np.ones((100, 2, 8), np.float32), w[:, :2])
    assert usable["register_tiled"](x[0], w[:, 0]) and not usable["vectorized"](x[0], w[:, 0])
    for other in (x.astype(np.float64), w), (x, w.astype(np.int64)):
        assert not usable["vectorized"](*other) and not usable["register_tiled"](*other)


@pytest.mark.parametrize("size", [5, 4100])
def test_layer_norm_gradient_of_more_rows_than_blocks(host, monkeypatch, size):
    """A block takes rows 0, 2 and 4 and carries on its sums for the weights: in registers or, for 4100, in memory."""
    monkeypatch.setattr("tinygen.kernels.norm.cuda.FEWEST_STRIPES", 2)
    a = cuda_cases.Arrays()
    x = a(5, size)
    args = (a(5, size), x, a(size), *cuda_cases._statistics(x, (1,)), (1,), 1e-3, (size,))
    with kernels.use(normalize_grad="block_rows", on="host"):
        compare("normalize_grad", run("normalize_grad", args, {}), args, {})


@pytest.mark.parametrize(
    "at, value, error, message",
    [
        (3, 2**31, OverflowError, r"argument 3 \(M\) is 2147483648, which does not fit int32"),
        (3, "a", TypeError, r"argument 3 \(M\) is str"),
        (3, [1], TypeError, r"argument 3 \(M\) is list"),
        (slice(3), (None, None, None), TypeError, "no array among its arguments"),
        (slice(12), (), TypeError, "1 arguments, expected 13: a, b, out, M, "),
    ],
)
def test_launch_arguments(host, at, value, error, message):
    arguments = [*(np.ones(1, np.float32) for _ in range(3)), *[1] * 10]
    arguments[at] = value
    with pytest.raises(error, match=f"matmul_naive: {message}"):
        CudaSource("matmul/matmul.cu").launch("matmul_naive", (1,), (1,), *arguments)


def test_philox_draws_of_a_gpu_are_the_cpus(host):
    """One launch per draw.  Words, uniforms and Bernoulli draws have the same bits, normals are within 4 ulp."""
    with stand_in(launches=True), dispatch.trace() as called:
        here, there = (Generator(5).at("draws", 2**33 + 1, device) for device in ("cpu", "cuda"))
        for draw in (
            lambda s: s.uniform((3, 671)),
            lambda s: s.uniform(3, np.float64),
            lambda s: s.bernoulli(np.linspace(0, 1, 1003)),
            lambda s: s.integers(-4, 9, (1003,)),
            lambda s: s.permutation(301),
        ):
            expected = draw(here)
            called.clear()
            assert np.array_equal(draw(there).get(), expected)
            assert len(called) == 1 and called[0][1] == "in_registers"
        for dtype in np.float32, np.float64:
            for n in 1, 6, 40_003:
                expected = here.normal(n, dtype)
                called.clear()
                found = there.normal(n, dtype).get()
                assert called == [("philox_normals", "in_registers")]
                assert found.dtype == dtype
                assert (np.abs(found - expected) <= 4 * np.spacing(np.abs(expected))).all()


def test_philox_fills_whole_blocks_on_a_boundary(host):
    memory = np.zeros(12, np.float32)
    for out in memory[1:9], memory[:6], memory[::3], memory.astype(np.uint32):
        for name in "philox_uniforms", "philox_normals":
            with kernels.use(on="host", **{name: "in_registers"}):
                with pytest.raises(ValueError, match=f"{name}: expected whole blocks of four"):
                    getattr(kernels, name)(out, 0, 0, 0, 0)
    assert not memory.any()
