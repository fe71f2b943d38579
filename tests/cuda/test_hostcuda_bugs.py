"""kernels/hostcuda: the mistakes that it reports, planted in hostcuda/bugs.cu."""

import os
import platform
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from support.hostcuda_sources import NEEDED, ORDERS, SOURCES, floats, ints

from tinygen.kernels import hostcuda

pytestmark = NEEDED

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
