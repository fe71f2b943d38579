"""One pool of threads: the BLAS of NumPy runs its products on numba's.

OpenBLAS has threads of its own.  They wait actively for the next product, and OpenMP's, on which numba runs, for the
next loop: where products and loops take turns, as in every training step, each finds its core taken by the other's
waiting.  OpenBLAS from 0.3.27 lets a program say how jobs are run (openblas_set_threads_callback_function); here they
are handed to the function that runs numba's loops.  A product has the same bits, made of the same jobs.
"""

from __future__ import annotations

import ctypes
import functools
import os

import numpy as np

NAMES = [f"{before}openblas_{{}}{after}" for before in ("scipy_", "") for after in ("64_", "", "_64")]
LIMITS = "OMP_THREAD_LIMIT", "OMP_DYNAMIC"  # fewer threads than jobs would wait for one another for ever


@functools.cache
def share_with_blas() -> bool:
    """Let the BLAS use numba's threads, if both are as this file knows them: OpenMP's, and an OpenBLAS with its own."""
    from numba.np.ufunc import parallel

    set_callback, kind = blas_function("set_threads_callback_function"), blas_function("get_parallel")
    if set_callback is None or kind is None or kind() != 1 or any(name in os.environ for name in LIMITS):
        return False
    parallel._launch_threads()
    if parallel.threading_layer() != "omp":
        return False
    from numba.np.ufunc import omppool

    if not hasattr(openmp := ctypes.CDLL(omppool.__file__), "omp_set_nested"):
        return False
    engine, address = _compile(omppool, openmp, parallel.get_thread_count())
    share_with_blas.engine = engine  # owns the code
    set_callback(ctypes.c_void_p(address))
    # in a forked child there is no pool, and OpenBLAS starts new threads of its own
    os.register_at_fork(after_in_child=lambda: set_callback(None))
    return True


def blas_function(name: str):
    """A function of the OpenBLAS that NumPy is linked to, openblas_NAME; None if there is none."""
    core = np._core if hasattr(np, "_core") else np.core
    library = ctypes.CDLL(core._multiarray_umath.__file__)
    return next((getattr(library, n.format(name)) for n in NAMES if hasattr(library, n.format(name))), None)


def _compile(pool, openmp: ctypes.CDLL, threads: int):
    """The callback as machine code -> (its owner, its address).  Python's lock must not be needed in there."""
    import llvmlite.binding as llvm

    for name in "parallel_for", "get_num_threads", "set_num_threads":
        llvm.add_symbol(f"pool_{name}", getattr(pool, name))
    llvm.add_symbol("omp_set_nested", ctypes.cast(openmp.omp_set_nested, ctypes.c_void_p).value)
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine()
    module = llvm.parse_assembly(str(_callback(threads)))
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine, engine.get_function_address("run_jobs")


def _callback(threads: int):
    """run_jobs(sync, job, count, size, jobs, extra): job(i, jobs + i size, extra) for all i < count, each on a thread.

    All must run at once, since they wait for one another: the pool's loop over count takes a thread for each.  The
    buffers that OpenBLAS gives its jobs are one for each i, so calls from several threads take turns.
    """
    from llvmlite import ir

    i32, i64, void = ir.IntType(32), ir.IntType(64), ir.VoidType()
    pointer = ir.IntType(8).as_pointer()
    job_type = ir.FunctionType(void, [i32, pointer, i32])
    context_type = ir.LiteralStructType([job_type.as_pointer(), pointer, i64, i32])
    module = ir.Module("tinygen_threads")

    def known(name, result, *arguments):
        return ir.Function(module, ir.FunctionType(result, arguments), name)

    # what the pool calls for every i: args[0] is i, as it counts in steps of 1 from an address of 0
    one_type = ir.FunctionType(void, [pointer.as_pointer(), i64.as_pointer(), i64.as_pointer(), pointer])
    one = ir.Function(module, one_type, "run_one")
    b = ir.IRBuilder(one.append_basic_block())
    context = b.load(b.bitcast(one.args[3], context_type.as_pointer()))
    job, jobs, size, extra = (b.extract_value(context, i) for i in range(4))
    i = b.ptrtoint(b.load(one.args[0]), i64)
    b.call(job, [b.trunc(i, i32), b.gep(jobs, [b.mul(i, size)]), extra])
    b.ret_void()

    lock = ir.GlobalVariable(module, i32, "lock")
    lock.initializer = ir.Constant(i32, 0)
    run_type = ir.FunctionType(void, [i32, job_type.as_pointer(), i32, i64, pointer, i32])
    run = ir.Function(module, run_type, "run_jobs")
    _, job, count, size, jobs, extra = run.args
    entry, wait, busy, go = (run.append_basic_block(name) for name in ("entry", "wait", "busy", "go"))
    b = ir.IRBuilder(entry)
    context = b.alloca(context_type)
    for place, value in enumerate((job, jobs, size, extra)):
        b.store(value, b.gep(context, [i32(0), i32(place)]))
    args, counts, steps = b.alloca(pointer), b.alloca(i64), b.alloca(i64)
    b.store(ir.Constant(pointer, None), args)
    b.store(b.zext(count, i64), counts)
    b.store(i64(1), steps)
    b.branch(wait)
    b.position_at_end(wait)
    taken = b.atomic_rmw("xchg", lock, i32(1), "acquire")
    b.cbranch(b.icmp_signed("==", taken, i32(0)), go, busy)
    b.position_at_end(busy)
    b.call(known("sched_yield", i32), [])
    b.branch(wait)
    b.position_at_end(go)
    # a product made inside a parallel loop gets threads of its own too; numba allows that for its first thread alone
    b.call(known("omp_set_nested", void, i32), [i32(1)])
    # the pool takes its last number of threads as numba's from now on
    before = b.call(known("pool_get_num_threads", i32), [])
    most = b.select(b.icmp_signed("<", count, i32(threads)), i32(threads), count)
    run_all = known(
        "pool_parallel_for", void, one_type.as_pointer(), pointer.as_pointer(), i64.as_pointer(), i64.as_pointer(),
        pointer, i64, i64, i32,
    )  # fmt: skip
    b.call(run_all, [one, args, counts, steps, b.bitcast(context, pointer), i64(1), i64(1), most])
    b.call(known("pool_set_num_threads", void, i32), [before])
    b.store_atomic(i32(0), lock, "release", 4)
    b.ret_void()
    return module
