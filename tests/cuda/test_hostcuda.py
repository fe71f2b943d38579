"""kernels/hostcuda: CUDA C++ run on the CPU (hostcuda/semantics.cu): what a kernel may rely on."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from support.hostcuda_sources import NEEDED, ORDERS, RNG, SOURCES, floats, ints

from tinygen.kernels import hostcuda
from tinygen.kernels.runtime.cuda_source import CudaSource
from tinygen.kernels.runtime.sources import nvrtc

pytestmark = NEEDED


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "grid, block", [((1,), (1,)), ((3, 2), (5, 3)), ((2, 3, 4), (4, 2, 3)), ((1, 2), (33,))]
)
def test_indices_of_blocks_and_threads(semantics, grid, block, order):
    gx, gy, gz = (*grid, 1, 1)[:3]
    x, y, z = (*block, 1, 1)[:3]
    out = np.full((gz * gy * gx, z * y * x, 6), -1, np.int32)
    semantics.launch("indices", grid, block, (out,), order=order)
    expected = np.array(
        [
            [[bx, by, bz, tx, ty, tz] for tz in range(z) for ty in range(y) for tx in range(x)]
            for bz in range(gz)
            for by in range(gy)
            for bx in range(gx)
        ]
    )
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("width", [1, 4, 16, 32])
@pytest.mark.parametrize("amount", [0, 1, 3, 5])
def test_shuffles(semantics, amount, width, order):
    x, out = floats(64), np.zeros((4, 64), np.float32)
    semantics.launch("shuffles", (1,), (64,), (x, out, amount, width), order=order)
    lanes = np.arange(64)
    start = lanes // width * width
    sources = [
        start + amount % width,
        np.where(lanes - amount < start, lanes, lanes - amount),
        np.where(lanes + amount >= start + width, lanes, lanes + amount),
        np.where((lanes ^ amount) >= start + width, lanes, lanes ^ amount),
    ]
    np.testing.assert_array_equal(out, [x[source] for source in sources])


@pytest.mark.parametrize("order", ORDERS)
def test_shuffles_in_a_part_of_the_warp(semantics, order):
    x = np.arange(64, dtype=np.int64) ** 5
    out = np.zeros_like(x)
    semantics.launch("partial_masks", (1,), (64,), (x, out), order=order)
    for warp, found in ((x[:32], out[:32]), (x[32:], out[32:])):
        quads = warp[:16].reshape(4, 4).sum(1).repeat(4)
        np.testing.assert_array_equal(found, np.concatenate([quads, np.full(16, warp[31])]))


@pytest.mark.parametrize("case", ["mixed", "all", "none"])
def test_votes(semantics, case):
    x = {"mixed": ints(64) % 5 - 2, "all": np.full(64, 3), "none": np.zeros(64)}[case].astype(np.int32)
    out = np.zeros((8, 64), np.uint32)
    semantics.launch("votes", (1,), (64,), (x, out))
    warps = x.reshape(2, 32)
    ballots = [sum(1 << i for i in range(32) if w[i] > 0) for w in warps]
    expected = np.array(
        [
            np.repeat(ballots, 32),
            np.repeat((warps > 0).any(1), 32),
            np.repeat((warps > 0).all(1), 32),
            np.full(64, 0xFFFFFFFF),
            [sum(1 << i for i in range(32) if w[i] == value) for w in warps for value in w],
            np.full(64, (x > 0).sum()),
            np.full(64, (x > 0).any()),
            np.full(64, (x > 0).all()),
        ]
    )
    np.testing.assert_array_equal(out, expected)


def test_warp_reductions(semantics):
    x, out = ints(64), np.zeros((6, 64), np.int32)
    semantics.launch("warp_reductions", (1,), (64,), (x, out))
    for half in (slice(0, 32), slice(32, 64)):
        v = x[half]
        expected = [
            *(v.sum(dtype=np.int32), v.min(), v.max()),
            *(f.reduce(v) for f in (np.bitwise_and, np.bitwise_or, np.bitwise_xor)),
        ]
        np.testing.assert_array_equal(out[:, half], np.repeat(np.array(expected)[:, None], 32, 1))


@pytest.mark.parametrize("order", ORDERS)
def test_shared_memory_static_dynamic_and_of_a_template(compiled, order):
    module = hostcuda.compile(SOURCES / "semantics.cu")
    x, out = floats(32), np.zeros(32, np.float32)
    module.launch("shared_memory", (3,), (32,), (x, out), shared=128, order=order)
    narrow = np.where(np.arange(32) < 16, 0, x)
    expected = x[::-1] * np.float32(10) + x[::-1] + narrow[::-1] + 256
    np.testing.assert_allclose(out, expected, rtol=1e-6)


@pytest.mark.parametrize("order", ORDERS)
def test_atomics(semantics, order):
    n = 96
    i, u, f = np.zeros(6, np.int32), np.zeros(3, np.uint32), np.zeros(2, np.float32)
    semantics.launch("atomics", (3,), (32,), (i, u, f), order=order)
    t = np.arange(n)
    np.testing.assert_array_equal(i, [t.sum(), (t * 7 % 101).max(), -95, -n, 2 * n, 42])
    np.testing.assert_array_equal(u, [3 * n, n % 10, 0xFFFFFFFF])
    np.testing.assert_array_equal(f, [n / 2, 42.5])


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("n", [1, 31, 32, 70, 128])
def test_threads_that_returned_hold_nobody_up(order, n):
    module = hostcuda.compile(SOURCES / "semantics.cu")
    x, out = floats(128), np.zeros(128, np.float32)
    module.launch("early_exit", (2,), (128,), (x, out, n), order=order)
    first_lane = x[:n][::-1][np.arange(n) // 32 * 32]
    np.testing.assert_array_equal(out[:n], x[:n][::-1] + first_lane)
    assert not out[n:].any()


def test_vector_types(semantics):
    x, out = floats(16, 4), np.zeros((16, 4), np.float32)
    pair = np.array([(2, 3)], np.dtype([("x", np.int32), ("y", np.int32)]))
    bytes_, sums = RNG.integers(0, 256, (16, 4)).astype(np.uint8), np.zeros((16, 4), np.uint32)
    semantics.launch("vectors", (1,), (16,), (x, out, pair, bytes_, sums))
    np.testing.assert_array_equal(out, np.stack([x[:, 2], x[:, 3], x[:, 1] + 2, x[:, 0] * 3], 1))
    np.testing.assert_array_equal(sums, bytes_.cumsum(1))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [1, 31, 33, 64, 100, 1024])
def test_blocks_of_any_size(semantics, size, order):
    x, out = ints(3, 777) % 1000, np.zeros(3, np.int32)
    semantics.launch("block_sum", (3,), (size,), (x, out, 777), order=order)
    np.testing.assert_array_equal(out, x.sum(1))


def test_bits(semantics):
    n = 64
    x, y = (ints(n).view(np.uint32) for _ in range(2))
    x[:4] = [0, 1, 0xFFFFFFFF, 0x80000000]
    x[4:] &= ~np.uint32(0x40000000)  # not NaN: its bits may not survive a float register
    out = np.zeros((12, n), np.uint32)
    semantics.launch("bits", (1,), (n,), (x, y, out, n))
    for a, b, found in zip(x.tolist(), y.tolist(), out.T.tolist()):
        signed = [v - 2**32 if v >> 31 else v for v in (a, b)]
        both = b << 32 | a
        expected = [
            *(bin(a).count("1"), 32 - a.bit_length(), (a & -a).bit_length(), int(f"{a:032b}"[::-1], 2)),
            *(a * b >> 32, (signed[0] * signed[1] >> 32) % 2**32),
            int.from_bytes((both.to_bytes(8, "little")[i] for i in (0, 4, 1, 5)), "little"),
            *((both << 7 >> 32) % 2**32, (both >> 7) % 2**32, a, 64 - a.bit_length(), a * b >> 32),
        ]
        assert found[:9] + found[10:] == expected[:9] + expected[10:]
        assert found[9] == a or (a >> 23 & 255) == 255


def test_half_and_bfloat16_round_to_nearest(semantics):
    patterns = np.arange(2**16, dtype=np.uint16)
    n = patterns.size
    x, y = np.zeros(n, np.float32), np.zeros(n, np.float32)
    semantics.launch("from_16_bits", (256,), (256,), (patterns.view(np.float16), patterns, x, y, n))
    np.testing.assert_array_equal(x, patterns.view(np.float16).astype(np.float32))
    np.testing.assert_array_equal(y, (patterns.astype(np.uint32) << 16).view(np.float32))

    scales = np.float32(10.0) ** RNG.integers(-9, 6, n)
    values = np.concatenate(
        [floats(n - 8) * scales[8:], np.float32([0, -0.0, 65504, 65519, 65520, 1e9, np.inf, 6e-8])]
    )
    values = values.astype(np.float32)
    half, brain = np.zeros(n, np.float16), np.zeros(n, np.uint16)
    semantics.launch("to_16_bits", (256,), (256,), (values, half, brain, n))
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(half.view(np.uint16), values.astype(np.float16).view(np.uint16))
    below = (values.view(np.uint32) >> 16).astype(np.uint32)
    candidates = np.stack([(below << 16).view(np.float32), ((below + 1) << 16).view(np.float32)])
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.abs(candidates.astype(np.float64) - values.astype(np.float64))
    finite = np.isfinite(values)
    chosen = np.where(brain == below, distance[0], distance[1])[finite]
    assert (chosen == distance.min(0)[finite]).all() and ((brain == below) | (brain == below + 1)).all()


def test_arithmetic(semantics):
    x, out = floats(32) * 3, np.zeros((10, 32), np.float32)
    semantics.launch("arithmetic", (1,), (32,), (x, out, 32))
    double = x.astype(np.float64)
    expected = [
        *(np.exp(double), np.log(abs(double)), 1 / np.sqrt(abs(double)), double / 3, np.ones(32), np.rint(x)),
        *(np.floor(x), np.clip(x, 0, 1), x, np.zeros(32)),
    ]
    np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-6)


def test_constant_memory():
    module = hostcuda.compile(SOURCES / "semantics.cu")
    out = np.zeros(8, np.float32)
    table = module.constant("table")
    before = table.copy()
    np.testing.assert_array_equal(before, [1, 2, 3, 4])
    try:
        table[:] = [5, 6, 7, 8]
        module.launch("from_a_table", (1,), (8,), (out,))
    finally:
        table[:] = before
    np.testing.assert_array_equal(out, [5, 6, 7, 8] * 2)
    with pytest.raises(ValueError, match="no __constant__ variable 'tables'"):
        module.constant("tables")


def test_kernels_made_by_macros_and_structs_by_value(semantics):
    x, out = floats(100), np.zeros(100, np.float32)
    semantics.launch("doubled", (1,), (64,), (x, out, 100))
    np.testing.assert_array_equal(out, x * 2)
    y = np.arange(7)
    semantics.launch("tripled", (1,), (3,), (y, y, 7))  # in place
    np.testing.assert_array_equal(y, np.arange(7) * 3)
    settings = np.zeros((), np.dtype([("scale", "f4"), ("offset", "i4"), ("also", "u8")]))
    settings["scale"], settings["offset"] = 2, 3
    z = floats(8)
    expected = z * 2 + 3
    semantics.launch("with_settings", (1,), (8,), (z, settings))
    np.testing.assert_array_equal(z, expected)
    also = np.zeros(8, np.float32)
    settings["also"] = also.ctypes.data
    semantics.launch("with_settings", (1,), (8,), (z, settings), reachable=(also,))
    assert also.all()


def test_views_of_one_array_share_their_memory(semantics):
    """Overlapping arguments: a write through one is read through the other."""
    x = np.arange(200, dtype=np.float32)
    expected = x.copy()
    expected[:100] = expected[100:] * 2
    semantics.launch("doubled", (1,), (64,), (x[100:], x[:100], 100))
    np.testing.assert_array_equal(x, expected)


def test_printf(semantics, capfd):
    semantics.launch("speaks", (2,), (4,), (2,))
    lines = capfd.readouterr().out.splitlines()
    assert lines == [f"thread {t} of block {b}" for b in range(2) for t in range(2)]


@pytest.mark.parametrize("file", ["semantics.cu", "tensor_core.cu", "bugs.cu"])
def test_nvrtc_takes_the_same_sources(file):
    """What runs here is CUDA: the GPU's compiler accepts the same text."""
    try:
        compiler = nvrtc.load()
    except nvrtc.NvrtcMissing as missing:
        pytest.skip(str(missing))
    toolkit = "nvidia.cu13"
    if importlib.util.find_spec("nvidia") is None or importlib.util.find_spec(toolkit) is None:
        pytest.skip("no headers of the CUDA toolkit: they come with nvidia-cuda-runtime")
    include = Path(next(iter(importlib.util.find_spec(toolkit).submodule_search_locations))) / "include"
    source = CudaSource(SOURCES / file)
    options = ("--std=c++17", "--gpu-architecture=sm_80", f"--include-path={include}", "-DFIXED")
    compiler.compile(source.text, file, source.headers, options)
