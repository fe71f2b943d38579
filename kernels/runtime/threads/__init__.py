"""The threads of compiled loops, and those of NumPy's OpenBLAS.

A loop runs in a pool of our own (`pool.py`), which it reaches through `run_loop`, a few instructions of ours in
the place of numba's.  In a forked child, which has none of the pool's threads, `run_loop` runs the whole loop in the
calling thread; OpenMP would kill the child.  The work is split into the same parts, so the results have the same bits.

`kernels.matmul` cuts large products itself and asks OpenBLAS for one thread (`matmul/blocks.py`).  What else reaches
OpenBLAS, such as a stack of products, still runs on several threads, and OpenBLAS's own wait actively for the next
product, on a core that a loop needs.  OpenBLAS 0.3.27 and newer lets a program say how its jobs are run
(openblas_set_threads_callback_function); here they go to numba's OpenMP threads, which are told to wait only briefly
(GOMP_SPINCOUNT, read when OpenMP is loaded; a setting of the user's stays).  A product consists of the same jobs as
before and has the same bits.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import os
import threading

import numpy as np

from tinygen.kernels.runtime import lazy_import
from tinygen.kernels.runtime.threads.pool import PoolCode, start_workers

NAMES = tuple(f"{before}openblas_{{}}{after}" for before in ("scipy_", "") for after in ("64_", "", "_64"))
LIMITS = (
    "OMP_THREAD_LIMIT",
    "OMP_DYNAMIC",
)  # with fewer threads than jobs, the jobs would wait for each other forever
VARIABLES = "alone", "jobs_run"  # in the compiled code: are we a forked child, and a lock
POOLS = {"omp": "omppool", "tbb": "tbbpool", "workqueue": "workqueue"}

WAITING = {
    "GOMP_SPINCOUNT": "1000"
}  # rounds that an idle OpenMP thread holds its core; the default takes milliseconds

_starting = threading.RLock()


def start() -> bool:
    """Put numba's pool behind `run_loop`, and OpenBLAS on the same pool if possible.  -> whether it shares the pool

    Done once, before the first parallel loop is compiled.
    """
    with _starting, lazy_import.interrupts_wait():
        return _start()


def threads_for(work: int, least: int) -> int:
    """How many parts to split `work` into, one per thread: as many as numba may use, but 1 below `least`"""
    if work < least:
        return 1
    from tinygen.kernels.runtime.with_numba import get_num_threads

    return get_num_threads()


@functools.cache
def _start() -> bool:
    from tinygen.kernels.runtime.with_numba import llvm, parallel

    if "OMP_WAIT_POLICY" not in os.environ:
        for name, value in WAITING.items():
            os.environ.setdefault(name, value)
    parallel._launch_threads()
    layer = parallel.threading_layer()
    pool = importlib.import_module(f"numba.np.ufunc.{POOLS[layer]}")
    set_callback, nested = _blas_callback(), None
    if layer == "omp":
        nested = getattr(ctypes.CDLL(pool.__file__), "omp_set_nested", None)
    shared = set_callback is not None and nested is not None
    threads = parallel.get_thread_count()
    engine = _compile(pool, nested if shared else None, threads)
    start_workers(engine, threads - 1)
    llvm.add_symbol("numba_parallel_for", engine.get_function_address("run_loop"))
    if shared:
        set_callback(ctypes.c_void_p(engine.get_function_address("run_jobs")))
    _survive_forks(engine, set_callback if shared else None)
    engine.detach()  # its code is never freed: the pool's threads run it until the process ends
    return shared


def _survive_forks(engine, set_callback) -> None:
    """In a forked child there is no pool: loops run in the calling thread, and OpenBLAS starts its own threads.

    OpenBLAS holds a lock during a product on several threads, so the child of a process with other Python threads uses
    one thread for products, which needs no lock.  Before a fork OpenBLAS ends its threads; while the jobs of another
    thread run, it would wait for them forever, and they for the fork.  So a fork waits until no jobs run.
    """
    addresses = {name: engine.get_global_value_address(name) for name in VARIABLES}
    words = {name: ctypes.c_int32.from_address(place) for name, place in addresses.items()}
    set_blas_threads = blas_function("set_num_threads")
    others = False

    hold_jobs = ctypes.CFUNCTYPE(None)(engine.get_function_address("hold_jobs")) if set_callback else None

    def before() -> None:
        nonlocal others
        others = threading.active_count() > 1
        if hold_jobs is not None:
            hold_jobs()

    def in_parent() -> None:
        if hold_jobs is not None:
            words["jobs_run"].value = 0

    def in_child() -> None:
        for word in words.values():
            word.value = 0
        words["alone"].value = 1
        if set_callback is not None:
            set_callback(None)
        if others and set_blas_threads is not None:
            set_blas_threads(1)

    os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)


@functools.cache
def blas_function(name: str, names: tuple[str, ...] = NAMES):
    """The function openblas_NAME of the OpenBLAS that NumPy is linked to; None if there is none.

    names: its possible names, with {} for NAME
    """
    core = np._core if hasattr(np, "_core") else np.core
    library = ctypes.CDLL(core._multiarray_umath.__file__)
    return next((getattr(library, n.format(name)) for n in names if hasattr(library, n.format(name))), None)


def _blas_callback():
    """The function that tells OpenBLAS how to run its jobs; None if the BLAS lacks it or has no threads of its own"""
    set_callback, kind = blas_function("set_threads_callback_function"), blas_function("get_parallel")
    known = set_callback is not None and kind is not None and kind() == 1
    return set_callback if known and not any(name in os.environ for name in LIMITS) else None


# -- run_loop, run_jobs and hold_jobs, the code in front of the pool


def _compile(pool, nested, threads: int):
    """The module as machine code.  It runs without Python's global lock."""
    from tinygen.kernels.runtime.with_numba import llvm

    for name in "parallel_for", "get_num_threads", "set_num_threads":
        llvm.add_symbol(f"pool_{name}", getattr(pool, name))
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine()
    code = _Code()
    code.write_run_loop()
    if nested is not None:
        llvm.add_symbol("omp_set_nested", ctypes.cast(nested, ctypes.c_void_p).value)
        code.write_run_jobs(threads)
        code.write_hold_jobs()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(str(code.module)), machine)
    engine.finalize_object()
    return engine


class _Code:
    """The LLVM module of `run_loop` and `run_jobs`."""

    def __init__(self) -> None:
        from tinygen.kernels.runtime.with_numba import ir

        self.ir, self.module = ir, ir.Module("tinygen_threads")
        self.i32, self.i64, self.void = ir.IntType(32), ir.IntType(64), ir.VoidType()
        self.pointer = ir.IntType(8).as_pointer()
        self.variables = {name: ir.GlobalVariable(self.module, self.i32, name) for name in VARIABLES}
        for variable in self.variables.values():
            variable.initializer = self.i32(0)
        # a part of a loop: addresses, counts, steps, extra data
        arrays = self.pointer.as_pointer(), self.i64.as_pointer(), self.i64.as_pointer(), self.pointer
        self.part_type = ir.FunctionType(self.void, arrays)
        self.loop_type = ir.FunctionType(
            self.void, [self.part_type.as_pointer(), *arrays, self.i64, self.i64, self.i64]
        )
        self.pool = ir.Function(self.module, self.loop_type, "pool_parallel_for")
        own_pool = PoolCode(self.module, ir)
        own_pool.write()
        self.run_parts, self.known = own_pool.functions["run_parts"], own_pool.known
        self.sched_yield = self.known("sched_yield", self.i32)

    def wait_for(self, b, function, lock: str) -> None:
        """Yield to other threads until a lock is open, then take it."""
        wait, busy, go = (function.append_basic_block(name) for name in ("wait", "busy", "go"))
        b.branch(wait)
        b.position_at_end(wait)
        b.cbranch(self.taken(b, lock), go, busy)
        b.position_at_end(busy)
        b.call(self.sched_yield, [])
        b.branch(wait)
        b.position_at_end(go)

    def taken(self, b, lock: str):
        """Try to take a lock: whether it was open and is now ours."""
        before = b.atomic_rmw("xchg", self.variables[lock], self.i32(1), "acquire")
        return b.icmp_signed("==", before, self.i32(0))

    def open(self, b, lock: str) -> None:
        b.store_atomic(self.i32(0), self.variables[lock], "release", 4)

    def write_run_loop(self) -> None:
        """run_loop(part, args, counts, steps, data, ndim, arrays, threads): loops call it as numba_parallel_for."""
        ir, i64 = self.ir, self.i64
        run = ir.Function(self.module, self.loop_type, "run_loop")
        part, args, counts, steps, data, *_, threads = run.args
        b = ir.IRBuilder(run.append_basic_block())
        alone = b.icmp_signed("!=", b.load(self.variables["alone"]), self.i32(0))
        one = b.or_(b.icmp_signed("<=", threads, i64(1)), b.icmp_signed("<=", b.load(counts), i64(1)))
        with b.if_then(b.not_(b.or_(alone, one))), b.if_then(b.call(self.run_parts, run.args)):
            b.ret_void()
        b.call(part, [args, counts, steps, data])
        b.ret_void()

    def write_run_jobs(self, threads: int) -> None:
        """run_jobs(sync, job, count, size, jobs, extra): job(i, jobs + i size, extra) for i < count, each on a thread.

        All jobs must run at once because they wait for each other: the pool's loop over count gives each a thread.
        OpenBLAS has one buffer for each i, so calls from several threads take turns.
        """
        ir, i32, i64, void, pointer = self.ir, self.i32, self.i64, self.void, self.pointer
        job_type = ir.FunctionType(void, [i32, pointer, i32])
        context_type = ir.LiteralStructType([job_type.as_pointer(), pointer, i64, i32])

        # the pool calls this for every i; args[0] is i, because it counts in steps of 1 from address 0
        one = ir.Function(self.module, self.part_type, "run_one")
        b = ir.IRBuilder(one.append_basic_block())
        context = b.load(b.bitcast(one.args[3], context_type.as_pointer()))
        job, jobs, size, extra = (b.extract_value(context, i) for i in range(4))
        i = b.ptrtoint(b.load(one.args[0]), i64)
        b.call(job, [b.trunc(i, i32), b.gep(jobs, [b.mul(i, size)]), extra])
        b.ret_void()

        run_type = ir.FunctionType(void, [i32, job_type.as_pointer(), i32, i64, pointer, i32])
        run = ir.Function(self.module, run_type, "run_jobs")
        _, job, count, size, jobs, extra = run.args
        b = ir.IRBuilder(run.append_basic_block())
        context = b.alloca(context_type)
        for place, value in enumerate((job, jobs, size, extra)):
            b.store(value, b.gep(context, [i32(0), i32(place)]))
        args, counts, steps = b.alloca(pointer), b.alloca(i64), b.alloca(i64)
        b.store(ir.Constant(pointer, None), args)
        b.store(b.zext(count, i64), counts)
        b.store(i64(1), steps)
        self.wait_for(b, run, "jobs_run")
        # a product inside a parallel loop also gets threads of its own; numba allows that only for its first thread
        b.call(self.known("omp_set_nested", void, i32), [i32(1)])
        # the pool would keep the number of threads of this call as numba's own: restore it afterwards
        before = b.call(self.known("pool_get_num_threads", i32), [])
        most = b.select(b.icmp_signed("<", count, i32(threads)), i32(threads), count)
        context = b.bitcast(context, pointer)
        b.call(self.pool, [one, args, counts, steps, context, i64(1), i64(1), b.zext(most, i64)])
        b.call(self.known("pool_set_num_threads", void, i32), [before])
        self.open(b, "jobs_run")
        b.ret_void()

    def write_hold_jobs(self) -> None:
        """hold_jobs(): wait until no jobs run, and let none start"""
        hold = self.ir.Function(self.module, self.ir.FunctionType(self.void, []), "hold_jobs")
        b = self.ir.IRBuilder(hold.append_basic_block())
        self.wait_for(b, hold, "jobs_run")
        b.ret_void()
