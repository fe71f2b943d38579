"""Forked children, worker processes and threads compute the same as the main thread of the first process."""

import os
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

import tinygen as tg
from tinygen import kernels, nn, random
from tinygen.kernels.runtime import threads as pools

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


SCRIPT = """
import sys
import numpy as np
import tinygen as tg, tinygen.nn.functional as F

class Numbers:
    def __len__(self): return 4
    def __getitem__(self, i):
        x = (tg.arange(256 * 512).reshape(256, 512) / 1000 + i).requires_grad_()
        (F.layer_norm(x, (512,)).softmax(0) ** 2).sum().backward()
        return np.array(x.grad.numpy())

def check(found, right): print(all((np.asarray(a) == b).all() for a, b in zip(found, right, strict=True)), flush=True)

if __name__ == "__main__":
    numbers = Numbers()
    right = [numbers[i] for i in range(4)]
"""


def run_script(tmp_path, code: str) -> str:
    """A program in a file, as the methods that start a fresh Python need it"""
    (tmp_path / "program.py").write_text(SCRIPT + textwrap.indent(textwrap.dedent(code), "    "))
    done = subprocess.run(
        [sys.executable, str(tmp_path / "program.py")],
        env={**os.environ, "NUMBA_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_that_start_afresh(method, tmp_path):
    code = f"""
        import multiprocessing
        with multiprocessing.get_context("{method}").Pool(1) as pool:
            check(pool.map(numbers.__getitem__, range(4)), right)
    """
    assert run_script(tmp_path, code) == "True\n"


def test_the_workers_of_pytorchs_data_loader(tmp_path):
    pytest.importorskip("torch")
    code = """
        from torch.utils.data import DataLoader
        check(DataLoader(numbers, batch_size=None, num_workers=2, timeout=60), right)
    """
    assert run_script(tmp_path, code) == "True\n"


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

    assert set(config.THREADING_LAYER_PRIORITY) == set(pools.POOLS)


# -- what threads share


def at_once(function, threads=4):
    """function(i) on as many threads, which all begin together and change places often."""
    before, barrier, errors = sys.getswitchinterval(), threading.Barrier(threads), []

    def begin(i):
        barrier.wait()
        try:
            function(i)
        except BaseException as error:
            errors.append(error)

    running = [threading.Thread(target=begin, args=(i,)) for i in range(threads)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not errors


def test_threads_add_to_one_leaf():
    """No addition is lost, of a leaf's gradient nor of one that a Tensor in between retains."""
    leaf, between = tg.zeros(500, requires_grad=True), []

    def backward(i):
        for _ in range(200):
            (leaf * (i + 1)).sum().backward()

    at_once(backward)
    assert (leaf.grad.numpy() == 200 * (1 + 2 + 3 + 4)).all()

    between = leaf * 2
    between.retain_grad()
    at_once(lambda i: [between.sum().backward(retain_graph=True) for _ in range(200)])
    assert (between.grad.numpy() == 800).all() and (leaf.grad.numpy() == 2000 + 1600).all()


def test_threads_with_graphs_of_their_own():
    """The same numbers as one thread alone, also where one records nothing"""
    tg.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64), nn.SiLU(), nn.Linear(64, 8))
    inputs = tg.randn(4, 32, 64)

    def gradients(i):
        return [g.numpy() for g in tg.autograd.grad((net(inputs[i]).softmax(1) ** 2).sum(), net.parameters())]

    alone, found = [gradients(i) for i in range(4)], {}

    def compute(i):
        for _ in range(10):
            if i == 3:
                with tg.no_grad():
                    assert not net(inputs[i]).requires_grad
            found[i] = gradients(i)

    at_once(compute)
    for i in range(4):
        for one, other in zip(alone[i], found[i]):
            np.testing.assert_array_equal(one, other)


def test_threads_draw_different_numbers():
    stream, drawn = random.Generator(0).at("shared"), [[] for _ in range(4)]

    def draw(i):
        for _ in range(500):
            drawn[i] += [random.default_stream().uniform(1).item(), stream.uniform(1).item()]

    counter = random.get_state()["counter"]
    at_once(draw)
    numbers = [number for of_thread in drawn for number in of_thread]
    assert random.get_state()["counter"] == counter + 2000
    assert len(set(numbers)) > len(numbers) - 10  # of 4,000 of 2^24 numbers, half a pair is equal by chance


def test_a_forced_variant_is_the_thread_s_own():
    """What one thread forces changes no other, whichever of them leaves its block first."""
    x, inside, leave = np.ones((4, 4), np.float32), threading.Event(), threading.Event()

    def forced_elsewhere():
        with kernels.use(matmul="one_thread"):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=forced_elsewhere)
    with kernels.use(matmul="reference"):
        thread.start()
        inside.wait(10)
        with kernels.runtime.dispatch.trace() as calls:
            kernels.matmul(x, x)
    leave.set()
    thread.join()
    assert calls == [("matmul", "reference")] and not kernels.runtime.dispatch._here.wanted
