"""One pool of threads for compiled loops and the BLAS: products have the same bits wherever they are called from."""

import os
import subprocess
import sys

import pytest

PRODUCTS = """
import os, sys, threading
import numba, numpy as np
x, w = np.random.default_rng(0).standard_normal((2, 700, 700)).astype(np.float32)
before = x @ w
from tinygen.kernels.runtime.threads import start
shared = start()
"""


def run(code, **environment):
    environment = {
        **os.environ,
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "2"),
        **environment,
    }
    done = subprocess.run(
        [sys.executable, "-c", PRODUCTS + code], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.split()


def test_products_have_the_same_bits():
    assert run("print((x @ w).tobytes() == before.tobytes())") == ["True"]


def test_the_number_of_threads_for_loops_stays():
    """The pool would keep a product's number of threads as numba's: after a product on 2, loops still use 1."""
    code = "numba.set_num_threads(1); x @ w; print(numba.get_num_threads())"
    assert run(code, NUMBA_NUM_THREADS="3") == ["1"]


def test_products_of_several_threads():
    code = """
same = []
def multiply():
    for _ in range(20):
        same.append((x @ w).tobytes() == before.tobytes())
threads = [threading.Thread(target=multiply) for _ in range(4)]
[t.start() for t in threads], [t.join() for t in threads]
print(len(same), all(same))
"""
    assert run(code) == ["80", "True"]


def test_products_inside_a_parallel_loop_of_another_thread():
    """By default OpenMP gives a loop inside a loop only one thread, but the jobs of a product wait for each other."""
    code = """
@numba.njit(parallel=True)
def multiply(x, w, out):
    for i in numba.prange(len(out)):
        with numba.objmode(product="float32[:, :]"):
            product = x @ w
        out[i] = product[0, 0]
out = np.zeros(4, np.float32)
thread = threading.Thread(target=multiply, args=(x, w, out))
thread.start(), thread.join()
print(shared, (out == before[0, 0]).all())
"""
    assert run(code)[1:] == ["True"]


def test_products_where_openmp_has_no_active_loops():
    """OMP_MAX_ACTIVE_LEVELS=0 leaves every loop one thread, in threads where numba has not set another number."""
    code = """
thread = threading.Thread(target=lambda: print((x @ w).tobytes() == before.tobytes()))
thread.start(), thread.join()
"""
    assert run(code, OMP_MAX_ACTIVE_LEVELS="0") == ["True"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_products_in_a_forked_child():
    code = """
x @ w
child = os.fork()
if not child:
    os._exit(0 if (x @ w).tobytes() == before.tobytes() else 1)
print(os.waitpid(child, 0)[1])
"""
    assert run(code) == ["0"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forks_during_products_of_other_threads():
    """OpenBLAS by itself hangs: in the fork, or in the child on a lock that none of the child's threads holds."""
    code = """
statuses, done = [], threading.Event()
def multiply():
    while not done.is_set():
        x @ w
threads = [threading.Thread(target=multiply) for _ in range(2)] if shared else []
[t.start() for t in threads]
for _ in range(8):
    child = os.fork()
    if not child:
        os._exit(0 if np.allclose(x @ w, before, atol=1e-3) else 1)
    statuses.append(os.waitpid(child, 0)[1])
done.set()
[t.join() for t in threads]
print(statuses, (x @ w).tobytes() == before.tobytes())
"""
    assert " ".join(run(code)) == f"{[0] * 8} True"


def test_not_where_fewer_threads_than_jobs_are_allowed():
    assert run("print(shared, (x @ w).tobytes() == before.tobytes())", OMP_THREAD_LIMIT="1") == [
        "False",
        "True",
    ]
