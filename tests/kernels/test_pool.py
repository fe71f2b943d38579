"""The pool behind compiled loops: each part runs once, whoever takes it, and nobody waits for a thread that sleeps."""

import os
import subprocess
import sys

import pytest

LOOPS = """
import os, threading, time
import numba, numpy as np
from tinygen.kernels.runtime.njit import njit

@njit(parallel=True, nogil=True)
def count(x, parts, work):
    for part in numba.prange(parts):
        total = 0.0
        for i in range(work):
            total += np.sqrt(i * 1.0)
        x[part] += 1 + 0 * total

@njit(parallel=True)
def rows(x, y):
    for i in numba.prange(len(x)):
        for j in range(x.shape[1]):
            y[i, j] = 2 * x[i, j] + i
"""


def run(code, threads):
    variables = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(variables, str(threads))}
    done = subprocess.run(
        [sys.executable, "-c", LOOPS + code], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.split()


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_each_part_runs_once(threads):
    """With more and with fewer parts than threads, in loops that follow at once and after the threads went to sleep"""
    code = """
right = []
for parts in 1, 2, 3, 7, 64, 1000:
    for pause in 0, 0, 0.02:  # a thread sleeps after two milliseconds
        x = np.zeros(parts)
        for _ in range(20):
            count(x, parts, 50)
        right.append((x == 20).all())
        time.sleep(pause)
x, y = np.ones((37, 5)), np.empty((37, 5))
rows(x, y)
right.append((y == 2 + np.arange(37)[:, None]).all())
print(len(right), all(right))
"""
    assert run(code, threads) == ["19", "True"]


def test_loops_of_several_threads_at_once():
    """One of them has the pool; the others run their loops themselves."""
    code = """
right = []
def loops():
    x = np.zeros(11)
    for _ in range(300):
        count(x, 11, 100)
    right.append((x == 300).all())
threads = [threading.Thread(target=loops) for _ in range(4)]
[t.start() for t in threads], [t.join() for t in threads]
print(len(right), all(right))
"""
    assert run(code, 3) == ["4", "True"]


def test_the_caller_sleeps_while_another_thread_ends_a_part():
    """The parts are longer than anybody waits actively."""
    code = """
x = np.zeros(3)
for _ in range(3):
    count(x, 3, 3_000_000)
print((x == 3).all())
"""
    assert run(code, 2) == ["True"]


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="the system does not list threads")
def test_threads_without_work_use_no_time():
    code = """
def seconds_of_others():
    me, total = threading.get_native_id(), 0
    for task in os.listdir("/proc/self/task"):
        if int(task) != me:
            fields = open(f"/proc/self/task/{task}/stat").read().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")
x = np.zeros(8)
count(x, 8, 1000)
time.sleep(0.05)
before = seconds_of_others()
time.sleep(0.5)
print(seconds_of_others() - before < 0.1)
"""
    assert run(code, 3) == ["True"]


def test_fewer_threads_than_the_pool_has():
    code = """
numba.set_num_threads(1)
x = np.zeros(50)
count(x, 50, 10)
print((x == 1).all(), numba.get_num_threads())
"""
    assert run(code, 3) == ["True", "1"]


@pytest.mark.parametrize(
    "variables, expected",
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_openmp_waits_briefly_unless_the_user_says_otherwise(variables, expected):
    code = "import os; from tinygen.kernels.runtime import threads; threads.start()"
    code += "; print(os.environ.get('GOMP_SPINCOUNT'))"
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {k: v for k, v in os.environ.items() if k not in names} | variables
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == [expected], done.stderr[-3000:]
