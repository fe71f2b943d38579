"""kernels/hostcuda: CUDA C++ run on the CPU (hostcuda/semantics.cu), and the mistakes that it reports (bugs.cu)."""

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from tinygen.kernels import hostcuda
from tinygen.kernels.hostcuda import build
from tinygen.kernels.runtime import nvrtc
from tinygen.kernels.runtime.cuda_source import CudaSource

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="hostcuda works on Linux only"),
    pytest.mark.skipif(shutil.which("g++") is None, reason="no g++: .cu files cannot be compiled"),
]

SOURCES = Path(__file__).parent / "hostcuda"
ORDERS = ("forward", "reverse", "random")
RNG = np.random.default_rng(0)


def floats(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*shape):
    return RNG.integers(-(2**31), 2**31, shape).astype(np.int32)


@pytest.fixture(params=["fast", "checked"])
def semantics(request):
    """The kernels of semantics.cu: in a checked build they give the same results, and nothing is reported."""
    return hostcuda.compile(SOURCES / "semantics.cu", checked=request.param == "checked")


@pytest.fixture
def compiled(tmp_path, tmp_path_factory, monkeypatch):
    """compiled(text, ...) -> the module of a source given as text, with a cache other than the user's"""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "hostcuda-cache"))

    def compile(text, **options):
        path = tmp_path / "kernel.cu"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return hostcuda.compile(path, **options)

    return compile


# -- what a kernel may rely on


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


# -- planted bugs: (kernel, block, arguments, kind, thread) and what the message says

F, I = np.float32, np.int32
CRASHES = [  # found by every build
    ("divergent_barrier", 32, lambda: (np.zeros(32, F),), "divergent barrier", 16, "__syncthreads (bugs.cu:"),
    ("deadlock", 32, lambda: (np.zeros(32, F),), "deadlock", 0, "thread (16, 0, 0) at __syncthreads"),
    ("divergent_warp", 32, lambda: (np.zeros(32, F),), "divergent warp", 4, "mask fffffff0"),
    (
        "not_in_its_mask",
        32,
        lambda: (np.zeros(32, F),),
        "divergent warp",
        0,
        "does not name the calling lane 0",
    ),
    ("different_instructions", 32, lambda: (np.zeros(32, I),), "divergent warp", 0, "__any_sync"),
    (
        "writes_past_the_end",
        64,
        lambda: (np.zeros(32, F), 32),
        "out of bounds",
        32,
        "y[32], which has 32 elements",
    ),
    ("reads_past_the_end", 32, lambda: (np.ones(32, F), np.ones(32, F), 32), "out of bounds", 31, "x[32]"),
    ("negative_as_unsigned", 32, lambda: (np.zeros(32, F), 32), "out of bounds", 0, "y[4294967295]"),
    ("null_pointer", 32, lambda: (np.zeros(32, F), None), "out of bounds", 0, ""),
    ("divides_by_zero", 4, lambda: (np.zeros(4, I), 0), "division by zero", 0, "integer division"),
    ("asserts", 4, lambda: (np.zeros(4, I), 3), "assertion", 0, "assertion failed: n "),
    ("traps", 4, lambda: (np.zeros(4, I),), "trap", 2, "__trap() (bugs.cu:"),
    ("too_deep", 4, lambda: (np.zeros(4, I),), "stack overflow", 0, "128 KiB"),
    ("too_much_shared", 4, lambda: (np.zeros(4, F),), "shared memory", 0, "65536 bytes"),
    # not at the end of a page: found after the launch; a second launch in the checked build names it
    (
        "writes_past_the_end",
        64,
        lambda: (np.zeros(33, F), 33),
        "out of bounds",
        33,
        "y[33], which has 33 elements",
    ),
    ("writes_before_the_start", 32, lambda: (np.zeros(32, F), 32), "out of bounds", 0, "y[-1]"),
]
CHECKED = [  # found by checking every load and store
    ("barrier_in_a_branch", 32, lambda: (np.zeros(32, F),), "divergent barrier", 16, "has returned"),
    (
        "misaligned_global",
        8,
        lambda: (np.zeros(64, F), np.zeros(8, F)),
        "misaligned",
        0,
        "16 bytes (bugs.cu:",
    ),
    (
        "misaligned_shared",
        32,
        lambda: (np.zeros(128, F), np.zeros(32, F)),
        "misaligned",
        1,
        "16 bytes (bugs.cu:",
    ),
    ("shared_index_too_large", 32, lambda: (np.zeros(32, F),), "out of bounds", 31, "index 32"),
    (
        "shared_pointer_too_far",
        32,
        lambda: (np.zeros(32, F),),
        "out of bounds",
        0,
        "byte 128 of __shared__ s",
    ),
    (
        "dynamic_too_small",
        32,
        lambda: (np.zeros(32, F),),
        "out of bounds",
        0,
        "byte 128 of the dynamic shared",
    ),
    ("local_index_too_large", 32, lambda: (np.zeros(32, F),), "out of bounds", 4, "index 4"),
    (
        "uninitialised",
        32,
        lambda: (np.zeros(32, F),),
        "uninitialised shared memory",
        31,
        "__shared__ s (byte 0)",
    ),
    (
        "no_barrier_between",
        64,
        lambda: (floats(64), np.zeros(64, F)),
        "race",
        32,
        "thread (31, 0, 0) of block",
    ),
    (
        *("no_barrier_before_the_next_tile", 64, lambda: (floats(192), np.zeros(64, F)), "race", 1),
        "this thread reads __shared__ s",
    ),
    ("no_syncwarp", 32, lambda: (floats(32), np.zeros(32, F)), "race", 0, "which thread (31, 0, 0)"),
    (
        "no_syncwarp_after_reading",
        32,
        lambda: (floats(32), np.zeros(32, F)),
        "race",
        0,
        "which thread (31, 0, 0)",
    ),
    (
        "syncwarp_after_reading_of_another_warp",
        64,
        lambda: (floats(64), np.zeros(64, F)),
        "race",
        63,
        "which several threads read",
    ),
    (
        "syncwarp_for_two_warps",
        64,
        lambda: (floats(64), np.zeros(64, F)),
        "race",
        32,
        "which thread (31, 0, 0)",
    ),
    ("sum_without_atomics", 32, lambda: (np.zeros(1, F),), "race", 1, "total[0]"),
    ("blocks_write_the_same", 32, lambda: (np.zeros(96, I),), "race", 0, "of block (0, 0, 0) wrote"),
    (
        "no_wait_for_the_copy",
        32,
        lambda: (floats(128), np.zeros(32, F)),
        "uninitialised shared memory",
        0,
        "",
    ),
    (
        "another_threads_local",
        32,
        lambda: (np.zeros(33, F),),
        "out of bounds",
        1,
        "local variable of another thread",
    ),
]
DYNAMIC = {"dynamic_too_small": 128}


def launch_bug(case, module, run=None, **options):
    name, block, arguments = case[:3]
    grid = (3,) if name == "blocks_write_the_same" else (1,)
    options["shared"] = DYNAMIC.get(name, 0)
    (run or type(module).launch)(module, name, grid, (block,), arguments(), **options)


def caught(case, module, run=None, **options):
    with pytest.raises(hostcuda.KernelError) as found:
        launch_bug(case, module, run, **options)
    return found.value


def bugs(fixed=False, **options):
    return hostcuda.compile(SOURCES / "bugs.cu", ("-DFIXED",) if fixed else (), **options)


def case_name(case):
    return case[0]


@pytest.mark.parametrize("checked", [False, True], ids=["fast", "checked"])
@pytest.mark.parametrize("case", CRASHES, ids=case_name)
def test_a_bug_that_every_build_finds(case, checked):
    if case[0] == "divides_by_zero" and platform.machine() != "x86_64" and not checked:
        pytest.skip("this processor divides by zero without a word")
    error = caught(case, bugs(checked=checked))
    name, _, _, kind, thread, words = case
    assert (error.kind, error.kernel, error.block, error.thread) == (kind, name, (0, 0, 0), (thread, 0, 0)), (
        error
    )
    assert words in str(error)


@pytest.mark.parametrize("case", CHECKED, ids=case_name)
def test_a_bug_that_the_checked_build_finds(case):
    error = caught(case, bugs(checked=True))
    name, _, _, kind, thread, words = case
    block = (1, 0, 0) if name == "blocks_write_the_same" else (0, 0, 0)
    assert (error.kind, error.kernel, error.block, error.thread) == (kind, name, block, (thread, 0, 0)), error
    assert words in str(error) and ("bugs.cu:" in str(error) or kind == "divergent barrier")


@pytest.mark.parametrize("checked", [False, True], ids=["fast", "checked"])
@pytest.mark.parametrize("case", CRASHES + CHECKED, ids=case_name)
def test_the_corrected_kernel_passes(case, checked):
    for order in ORDERS:
        launch_bug(case, bugs(fixed=True, checked=checked), order=order)


def test_after_a_failed_launch_the_next_one_works():
    module = bugs()
    for case in CRASHES[:6]:
        caught(case, module)
        y = np.zeros(32, F)
        module.launch("barrier_in_a_branch", (1,), (32,), (y,))


def test_a_failed_launch_leaves_the_arrays_as_they_were():
    y = np.full(32, 7, F)
    with pytest.raises(hostcuda.KernelError):
        bugs().launch("writes_past_the_end", (1,), (64,), (y, 32))
    assert (y == 7).all()


def test_a_broken_launch_shows_as_nan_without_any_check():
    """Shared memory starts as NaN, so that reading it too early shows in the result, even in the fast build."""
    y = np.zeros(32, F)
    bugs().launch("uninitialised", (1,), (32,), (y,))
    assert np.isnan(y[31]) and (y[:31] == 1).all()
    bugs().launch("no_wait_for_the_copy", (1,), (32,), (floats(128), y))
    assert np.isnan(y).all()


def test_control_c_names_the_thread_that_never_ends(tmp_path):
    text = (
        'extern "C" __global__ void spins(volatile int *flag) { if (threadIdx.x == 3) while (*flag == 0) {} }'
    )
    (tmp_path / "spins.cu").write_text(text, encoding="utf-8")
    script = """
        import os, signal, threading
        import numpy as np
        from tinygen.kernels import hostcuda
        module = hostcuda.compile("spins.cu")
        threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        try:
            module.launch("spins", (1,), (32,), (np.zeros(1, np.int32),))
        except KeyboardInterrupt as stop:
            print(stop)
    """
    environment = {**os.environ, "PYTHONPATH": str(SOURCES.parents[2]), "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert "spins: block (0, 0, 0), thread (3, 0, 0): interrupted" in done.stdout, done.stderr


# -- races by the order of threads

# (fibers are never interrupted between a load and a store: the order cannot show a sum without atomics)
RACES = [case for case in CHECKED if case[3] == "race" and case[0] != "sum_without_atomics"]


@pytest.mark.parametrize("case", RACES, ids=case_name)
def test_check_orders_finds_a_race_and_names_the_threads(case):
    found = caught(case, bugs(), hostcuda.check_orders)
    assert found.kind == "race" and found.thread is not None
    launch_bug(case, bugs(fixed=True), hostcuda.check_orders)


def test_check_orders_names_the_first_element_that_differs(compiled):
    """A race that the checked build cannot see: an atomic counter decides who writes what."""
    module = compiled(
        """
        extern "C" __global__ void first_come(int *counter, int *y) {
            int place = atomicAdd(counter, 1);
            y[place] = threadIdx.x < 4 ? place : threadIdx.x;
        }
        """
    )
    counter, y = np.zeros(1, np.int32), np.zeros((2, 4), np.int32)
    with pytest.raises(
        hostcuda.KernelError, match=r"y\[0, 0\] is 0 in forward order, 7 in reverse order"
    ) as found:
        hostcuda.check_orders(module, "first_come", (1,), (8,), (counter, y))
    assert found.value.kind == "race"


def test_check_orders_leaves_the_result(semantics):
    x, out = ints(3, 777) % 1000, np.zeros(3, np.int32)
    hostcuda.check_orders(semantics, "block_sum", (3,), (100,), (x, out, 777))
    np.testing.assert_array_equal(out, x.sum(1))


# -- sanitizers

SANITIZED = [
    c
    for c in CRASHES + CHECKED
    if c[0]
    in (
        *("writes_past_the_end", "reads_past_the_end", "misaligned_global", "shared_index_too_large"),
        *(
            "shared_pointer_too_far",
            "dynamic_too_small",
            "local_index_too_large",
            "divides_by_zero",
            "deadlock",
        ),
    )
]


@pytest.mark.parametrize("case", SANITIZED, ids=case_name)
def test_a_sanitizer_in_a_subprocess_names_the_thread(case):
    error = caught(case, bugs(), hostcuda.launch_sanitized)
    name, _, _, kind, thread, _ = case
    if name == "divides_by_zero":
        kind = "undefined behaviour"
    assert (error.kind, error.kernel, error.block, error.thread) == (kind, name, (0, 0, 0), (thread, 0, 0)), (
        error
    )
    assert "bugs.cu:" in str(error) or "AddressSanitizer" in str(error)


def test_sanitized_results_are_those_of_a_launch(semantics):
    x, out = ints(3, 777) % 1000, np.zeros(3, np.int32)
    hostcuda.launch_sanitized(semantics, "block_sum", (3,), (100,), (x, out, 777))
    np.testing.assert_array_equal(out, x.sum(1))
    y = np.arange(7)
    hostcuda.launch_sanitized(semantics, "tripled", (1,), (3,), (y, y, 7))  # in place
    np.testing.assert_array_equal(y, np.arange(7) * 3)


# -- arguments: a mistake is reported before anything runs


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        (lambda x, y: (x, y), TypeError, "2 arguments, expected 3: x, out, n"),
        (lambda x, y: (x.astype(np.float64), y, 4), TypeError, r"argument 0 \(x\) is an array of float64"),
        (lambda x, y: (x, y, np.float32(4)), TypeError, r"argument 2 \(n\) is float32: expected int32"),
        (lambda x, y: (x, y, 4.0), TypeError, r"argument 2 \(n\) is a Python float: expected int32"),
        (lambda x, y: (x, y, 2**31), OverflowError, "does not fit int32"),
        (lambda x, y: (x, y, np.int64(4)), TypeError, "is int64: expected int32"),
        (lambda x, y: (x, 3, 4), TypeError, r"argument 1 \(out\) is int: expected an array for float32 \*"),
        (lambda x, y: (x, y[::2], 4), ValueError, r"argument 1 \(out\) is not contiguous"),
        (lambda x, y: (x, np.broadcast_to(y, (8,)), 4), ValueError, "read-only"),
    ],
)
def test_wrong_arguments(arguments, error, words):
    module = hostcuda.compile(SOURCES / "semantics.cu")
    x, y = floats(8), np.full(8, 9, F)
    with pytest.raises(error, match=words):
        module.launch("doubled", (1,), (8,), arguments(x, y))
    assert (y == 9).all()


def test_const_parameters_take_read_only_arrays(semantics):
    x, out = floats(8), np.zeros(8, F)
    x.flags.writeable = False
    semantics.launch("doubled", (1,), (8,), (x, out, 8))
    np.testing.assert_array_equal(out, x * 2)


@pytest.mark.parametrize(
    "name, grid, block, shared, words",
    [
        ("tripl", (1,), (1,), 0, "no kernel 'tripl': it has indices, "),
        ("doubled", (1,), (65,), 0, r"__launch_bounds__\(64\)"),
        ("doubled", (0,), (8,), 0, "grid is"),
        ("doubled", (1, 1, 1, 1), (8,), 0, "grid is"),
        ("doubled", (1, 70000), (8,), 0, "65535"),
        ("block_sum", (1,), (1025,), 0, "1024 threads"),
        ("doubled", (1,), (8,), 10**6, "shared memory"),
    ],
)
def test_wrong_launches(name, grid, block, shared, words):
    module = hostcuda.compile(SOURCES / "semantics.cu")
    with pytest.raises(ValueError, match=words):
        array = ints(8) if name == "block_sum" else floats(8)
        module.launch(name, grid, block, (array, np.zeros_like(array), 8), shared=shared)
    with pytest.raises(ValueError, match="order is 'sideways'"):
        module.launch("doubled", (1,), (8,), (floats(8), np.zeros(8, F), 8), order="sideways")
    with pytest.raises(TypeError, match=r"grid is 1, block is \(8,\): expected tuples"):
        module.launch("doubled", 1, (8,), (floats(8), np.zeros(8, F), 8))


# -- compiling


def test_signatures_are_read_from_any_way_to_write_them():
    text = """
    # 1 "k.cu"
    extern "C" __global__ void a(const float *__restrict__ x, int (*y)[4], unsigned long long n);
    extern "C" __global__ void __launch_bounds__(32 * 2, 1) b(void);
    __launch_bounds__(128) __global__ void c(Pair<int, 4> p, float z[]) { if (a(b, c)) return; }
    template <int N> __global__ void d(float *x) {}
    """
    text = text.replace("int (*y)[4]", "int *y")
    found = {k.name: (k.parameters, k.launch_bound) for k in build.signatures(textwrap.dedent(text))}
    assert found == {"a": (("x", "y", "n"), "0"), "b": ((), "32 * 2"), "c": (("p", "z"), "128")}


def test_shared_declarations_keep_their_lines():
    text = "int a;\n__shared__ float s[2],\n t[3][4];\n"
    text += "extern __shared__ __attribute__((aligned(16))) float4 d[];\nint b;"
    rewritten = build.rewrite(text)
    assert rewritten.count("\n") == text.count("\n") and rewritten.endswith("\nint b;")
    assert "auto &s = " in rewritten and "auto &t = " in rewritten and "float4 *const d = " in rewritten


def test_a_mistake_in_the_source_names_its_line(compiled):
    with pytest.raises(hostcuda.CompileError, match=r"kernel\.cu:3:\d+: error: .*nonsense"):
        compiled('\nextern "C" __global__ void k(float *x) {\n    x[0] = nonsense;\n}\n')
    with pytest.raises(hostcuda.CompileError, match="has no __global__ function"):
        compiled("void k() {}\n")


def test_a_library_is_kept_and_made_again_when_a_header_changes(compiled, tmp_path):
    (tmp_path / "factor.cuh").write_text("#define FACTOR 2\n", encoding="utf-8")
    text = '#include "factor.cuh"\nextern "C" __global__ void k(int *x) { x[0] *= FACTOR; }\n'
    first = compiled(text)
    made = first.path.stat().st_mtime_ns
    assert compiled(text) is first
    hostcuda.launch._modules.clear()
    assert compiled(text).path.stat().st_mtime_ns == made  # from the disk
    (tmp_path / "factor.cuh").write_text("#define FACTOR 5\n", encoding="utf-8")
    x = np.ones(1, np.int32)
    compiled(text).launch("k", (1,), (1,), (x,))
    assert x[0] == 5
    x = np.ones(1, np.int32)
    compiled(text, flags=("-UFACTOR",)).launch("k", (1,), (1,), (x,))
    assert x[0] == 5


def test_a_debug_build_gives_the_same(compiled):
    module = hostcuda.compile(SOURCES / "semantics.cu", debug=True)
    x, out = ints(3, 777) % 1000, np.zeros(3, np.int32)
    module.launch("block_sum", (3,), (100,), (x, out, 777))
    np.testing.assert_array_equal(out, x.sum(1))


def test_without_a_compiler_one_sentence_says_what_to_install():
    script = "from tinygen.kernels import hostcuda; hostcuda.compile('tests/cuda/hostcuda/semantics.cu')"
    environment = {**os.environ, "PATH": "/nowhere", "PYTHONPATH": str(SOURCES.parents[2])}
    environment.pop("CXX", None)
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert "needs the C++ compiler g++, which is not on the PATH: install it" in last


# -- the guide: its files and commands as they stand in kernels/hostcuda/README.md

GUIDE = (Path(hostcuda.__file__).parent / "README.md").read_text(encoding="utf-8")


def in_the_guide(pattern: str) -> list[str]:
    found = re.findall(pattern, GUIDE, re.MULTILINE | re.DOTALL)
    assert found, pattern
    return found


@pytest.fixture
def guide(tmp_path, tmp_path_factory):
    """run(*command) in a folder with the guide's smooth.cu and smooth.py -> what is printed"""
    for language, name in ("cuda", "smooth.cu"), ("python", "smooth.py"):
        (text,) = in_the_guide(rf"^```{language}\n(.*?)^```")
        (tmp_path / name).write_text(text, encoding="utf-8")
    cache = str(tmp_path_factory.getbasetemp() / "hostcuda-cache")
    environment = {**os.environ, "PYTHONPATH": str(SOURCES.parents[2]), "XDG_CACHE_HOME": cache}

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        return done.stdout + done.stderr

    return run


def test_the_guides_kernel_prints_what_the_guide_says(guide, tmp_path):
    (printed,) = in_the_guide(r"^    \$ python smooth\.py\n    (.*?)\n")
    assert guide(sys.executable, "smooth.py") == printed + "\n"
    (printf,) = in_the_guide(r"^    (if \(i == 69\) printf.*?;)\n")
    (line,) = in_the_guide(r"^after the barrier prints\n\n    (.*?)\n")
    text = (tmp_path / "smooth.cu").read_text(encoding="utf-8")
    text = text.replace("__syncthreads();", "__syncthreads();\n    " + printf)
    (tmp_path / "smooth.cu").write_text(text, encoding="utf-8")
    assert guide(sys.executable, "smooth.py") == f"{line}\n{printed}\n"


@pytest.mark.skipif(shutil.which("gdb") is None, reason="no gdb")
def test_the_guides_session_with_gdb(guide, tmp_path):
    (debug,) = in_the_guide(r"^`(hostcuda\.compile\(.*?\))` compiles")
    text = (tmp_path / "smooth.py").read_text(encoding="utf-8")
    (tmp_path / "smooth.py").write_text(
        text.replace('hostcuda.compile("smooth.cu")', debug), encoding="utf-8"
    )
    commands = [part for line in in_the_guide(r"^    \(gdb\) (.*?)\n") for part in ("-ex", line)]
    said = guide("gdb", "-nx", "-batch", *commands, "--args", sys.executable, "smooth.py")
    if "ptrace" in said or "Could not trace" in said:
        pytest.skip("gdb may not trace a process here")
    assert "Breakpoint 1, smooth (" in said, said
    for value in in_the_guide(r"^    (\$\d+ = .*?)\n"):
        assert f"\n{value}\n" in said, said
