"""Forked children, worker processes and threads compute what the main thread of a first process computes."""

import os
import subprocess
import sys

import pytest

from tinygen.kernels import threads

WORK = """
import multiprocessing, os, sys, threading
import tinygen as tg, tinygen.nn.functional as F

def work(_=0):
    x = (tg.arange(256 * 512).reshape(256, 512) / 1000).requires_grad_()
    y = F.layer_norm(x, (512,)).softmax(0) * F.max_pool2d(x.reshape(1, 8, 128, 128), 2).mean()
    (y * y + tg.erf(x)).sum().backward()
    return y.detach().numpy().tobytes() + x.grad.numpy().tobytes()

def forked():
    child = os.fork()
    if not child:
        os._exit(0 if work() == right else 3)
    return os.waitpid(child, 0)[1]

def forked_twice():
    child = os.fork()
    if not child:
        os._exit(forked() != 0)
    return os.waitpid(child, 0)[1]
"""
LAYERS = "omp", "workqueue"


def run(code: str, **variables) -> str:
    done = subprocess.run(
        [sys.executable, "-c", WORK + code],
        env={**os.environ, "NUMBA_NUM_THREADS": "2", "OMP_NUM_THREADS": "2", **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("layer", LAYERS)
def test_forked_children(layer):
    """Of a process whose pool runs: from its main thread, from another, out of a child, while other threads compute."""
    code = """
early = multiprocessing.get_context("fork").Pool(1)  # before the first kernel
right = work()
late = multiprocessing.get_context("fork").Pool(2)
print([x == right for x in early.map(work, range(2)) + late.map(work, range(4))])

statuses = [forked(), forked_twice()]
thread = threading.Thread(target=lambda: statuses.append(forked()))
thread.start(), thread.join()
done = threading.Event()

def keep_computing():
    while not done.is_set():
        work()

others = [threading.Thread(target=keep_computing) for _ in range(2)]
for thread in others: thread.start()
statuses += [forked() for _ in range(5)]
done.set()
for thread in others: thread.join()
print(statuses, work() == right)
"""
    assert run(code, NUMBA_THREADING_LAYER=layer) == f"{[True] * 6}\n{[0] * 8} True\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_while_another_thread_compiles(tmp_path):
    """Nothing is in the cache: the child must not inherit the compiler's lock from a thread that it does not have."""
    code = """
from numba.core import event

class Compiling(event.Listener):
    def __init__(self): self.begun = threading.Event()
    def on_start(self, event): self.begun.set()
    def on_end(self, event): pass

compiling = Compiling()
event.register("numba:compile", compiling)
thread = threading.Thread(target=lambda: tg.rand(4000))
thread.start()
compiling.begun.wait()
child = os.fork()
if not child:
    tg.rand(4000)
    os._exit(0)
print(os.waitpid(child, 0)[1])
thread.join()
"""
    assert run(code, XDG_CACHE_HOME=str(tmp_path)) == "0\n"


@pytest.mark.parametrize("layer", LAYERS)
def test_four_threads_at_once(layer):
    """The workqueue would end the process at a second caller."""
    code = """
right, same = work(), []
def compute():
    same.extend(work() == right for _ in range(20))
threads = [threading.Thread(target=compute) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(same), all(same))
"""
    assert run(code, NUMBA_THREADING_LAYER=layer) == "80 True\n"


def test_a_loop_in_a_loop_under_the_workqueue():
    """A user's parallel loop that calls back into tinygen: the inner loop runs in the thread that it is called from."""
    code = """
import numba, numpy as np
right = work()
@numba.njit(parallel=True)
def outer(out):
    for i in numba.prange(len(out)):
        with numba.objmode(same="boolean"):
            same = work() == right
        out[i] = same
out = np.zeros(4, np.bool_)
outer(out)
print(out.all())
"""
    assert run(code, NUMBA_THREADING_LAYER="workqueue") == "True\n"


def test_every_pool_of_numba_is_known():
    from numba.core import config

    assert set(config.THREADING_LAYER_PRIORITY) == set(threads.POOLS)
