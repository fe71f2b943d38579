"""The pool of threads that runs compiled loops: LLVM code, so that it needs neither Python's lock nor a compiler.

A loop comes as parts that do not depend on each other.  The caller publishes them and takes one after the other itself;
each thread of the pool that is awake takes parts, too.  So the caller never waits for a thread that has not begun: if
other programs occupy the other cores, it simply does all the work.  (OpenMP gives each thread its share beforehand, and
the loop then ends when the last of them got a core.)  Which thread takes a part changes nothing in the results.

`ticket` says in one word which loop this is, how many parts it has and which is next.  A thread reads it, then what the
loop is, and takes the part by advancing the ticket from what it read; this fails if anything has changed since, so that
no thread can take a part of one loop with the data of another.

A thread without work yields its core to whoever wants it for SPIN nanoseconds and then sleeps; so does the caller while
it waits for the last part that another thread has begun.  Measured with the `vae` step on two cores of a virtual Xeon:
with 2 ms it takes 4.0 to 4.5 ms, with 0.1 ms 4.5 to 4.9, on one thread 4.7 to 5.1.  Why waking costs that much is open.

If such a wait takes LATE and most of a loop, another program has taken the core from the thread in the middle of its
part.  The loops of the next ALONE nanoseconds then run in the caller, and of twice the time if that happens again soon
after.  Nobody publishes parts in that time, so the other threads sleep.
"""

from __future__ import annotations

import ctypes
import signal
import time

SPIN = 2_000_000  # nanoseconds; nearly all gaps between the loops of a training step are shorter
LATE = 500_000
ALONE, LONGEST_ALONE = 20_000_000, 640_000_000
MOST_PARTS = (1 << 20) - 1  # of a loop; one with more runs in the calling thread
LOCK_BYTES = 128  # more than a mutex or a condition variable has on any system
# 64 bytes apart, so that threads which wait for one do not slow down writes to another
WORDS = "ticket", "done", "asleep", "caller_asleep", "busy", "alone_until", "alone_for"
LOCKS = {"lock": "pthread_mutex_init", "work": "pthread_cond_init", "finished": "pthread_cond_init"}


class PoolCode:
    """Adds the functions `run_parts` and `worker` to an LLVM module."""

    def __init__(self, module, ir) -> None:
        self.module, self.ir = module, ir
        self.i1, self.i32, self.i64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)
        self.void, self.pointer = ir.VoidType(), ir.IntType(8).as_pointer()
        arrays = self.pointer.as_pointer(), self.i64.as_pointer(), self.i64.as_pointer(), self.pointer
        self.part_type = ir.FunctionType(self.void, arrays)
        self.loop_arguments = (self.part_type.as_pointer(), *arrays, self.i64, self.i64, self.i64)
        self.words = {name: self._word(name) for name in WORDS}
        self.locks = {name: self._variable(ir.ArrayType(self.i64, LOCK_BYTES // 8), name) for name in LOCKS}
        # the loop that runs: part, args, counts, steps, data, ndim, arrays
        self.loop = [self._variable(kind, f"loop{i}") for i, kind in enumerate(self.loop_arguments[:-1])]
        self.functions: dict = {}

    def write(self) -> None:
        self.write_now()
        self.write_pause()
        self.write_run_part()
        self.write_take()
        self.write_worker()
        self.write_run_parts()

    # what the functions are made of

    def _variable(self, kind, name):
        variable = self.ir.GlobalVariable(self.module, kind, name)
        variable.initializer, variable.align = self.ir.Constant(kind, None), 64
        return variable

    def _word(self, name):
        """A 64-bit word that has 64 bytes for itself"""
        eight = self._variable(self.ir.ArrayType(self.i64, 8), name)
        return eight.gep([self.i32(0), self.i32(0)])

    def known(self, name, result, *arguments):
        """A function of the C library"""
        if name not in self.functions:
            self.functions[name] = self.ir.Function(
                self.module, self.ir.FunctionType(result, arguments), name
            )
        return self.functions[name]

    def begin(self, name, result, *arguments):
        function = self.ir.Function(self.module, self.ir.FunctionType(result, arguments), name)
        self.functions[name] = function
        return function, self.ir.IRBuilder(function.append_basic_block("entry"))

    def read(self, b, word):
        return b.load_atomic(self.words[word], "seq_cst", 8)

    def put(self, b, word, value) -> None:
        b.store_atomic(value, self.words[word], "seq_cst", 8)

    def add(self, b, word, value):
        """-> the value before"""
        return b.atomic_rmw("add", self.words[word], self.i64(value), "seq_cst")

    def call(self, b, name, *arguments):
        return b.call(self.functions[name], arguments)

    def thread_call(self, b, name, *locks) -> None:
        places = [b.bitcast(self.locks[lock], self.pointer) for lock in locks]
        b.call(self.known(f"pthread_{name}", self.i32, *[self.pointer] * len(places)), places)

    def loop_while(self, b, function, condition):
        """The block of a loop that runs while `condition(b)` holds; `b` goes on inside.  -> a call that ends it"""
        test, body, after = (function.append_basic_block(name) for name in ("test", "body", "after"))
        b.branch(test)
        b.position_at_end(test)
        b.cbranch(condition(b), body, after)
        b.position_at_end(body)

        def end():
            b.branch(test)
            b.position_at_end(after)

        return end

    def left(self, b, ticket):
        """Whether a ticket has a part that nobody took"""
        return b.icmp_unsigned("<", self.next_of(b, ticket), self.count_of(b, ticket))

    def next_of(self, b, ticket):
        return b.and_(ticket, self.i64(MOST_PARTS))

    def count_of(self, b, ticket):
        return b.and_(b.lshr(ticket, self.i64(20)), self.i64(MOST_PARTS))

    # the functions

    def write_now(self) -> None:
        """now() -> nanoseconds"""
        _, b = self.begin("now", self.i64)
        clock = self.known("clock_gettime", self.i32, self.i32, self.i64.as_pointer())
        both = b.alloca(self.i64, 2)
        b.call(clock, [self.i32(time.CLOCK_MONOTONIC), both])
        seconds, rest = (b.load(b.gep(both, [self.i32(i)])) for i in (0, 1))
        b.ret(b.add(b.mul(seconds, self.i64(1_000_000_000)), rest))

    def write_pause(self) -> None:
        """pause(since): let other programs have the core -> whether less than SPIN has passed"""
        function, b = self.begin("pause", self.i1, self.i64)
        b.call(self.known("sched_yield", self.i32), [])
        b.ret(b.icmp_signed("<", b.sub(self.call(b, "now"), function.args[0]), self.i64(SPIN)))

    def write_run_part(self) -> None:
        """run_part(part, args, counts, steps, data, ndim, arrays, i): the part i; counts[0] is the number of parts"""
        function, b = self.begin("run_part", self.void, *self.loop_arguments)
        part, args, counts, steps, data, ndim, arrays, i = function.args
        own_counts = b.alloca(self.i64, b.add(ndim, self.i64(1)))
        own_args = b.alloca(self.pointer, arrays)
        index = b.alloca(self.i64)
        at = lambda array, k: b.gep(array, [k])
        b.store(self.i64(1), own_counts)
        b.store(self.i64(1), index)
        end = self.loop_while(b, function, lambda b: b.icmp_unsigned("<=", b.load(index), ndim))
        k = b.load(index)
        b.store(b.load(at(counts, k)), at(own_counts, k))
        b.store(b.add(k, self.i64(1)), index)
        end()
        b.store(self.i64(0), index)
        end = self.loop_while(b, function, lambda b: b.icmp_unsigned("<", b.load(index), arrays))
        k = b.load(index)
        b.store(at(b.load(at(args, k)), b.mul(i, b.load(at(steps, k)))), at(own_args, k))
        b.store(b.add(k, self.i64(1)), index)
        end()
        b.call(part, [own_args, own_counts, steps, data])
        b.ret_void()

    def write_take(self) -> None:
        """take() -> whether there was a part to take; it has been run, unless another thread was faster"""
        _, b = self.begin("take", self.i1)
        ticket = self.read(b, "ticket")
        with b.if_then(b.not_(self.left(b, ticket))):
            b.ret(self.i1(0))
        loop = [b.load(variable) for variable in self.loop]
        taken = b.cmpxchg(self.words["ticket"], ticket, b.add(ticket, self.i64(1)), "seq_cst", "seq_cst")
        with b.if_then(b.extract_value(taken, 1)):
            self.call(b, "run_part", *loop, self.next_of(b, ticket))
            done = b.add(self.add(b, "done", 1), self.i64(1))
            last = b.icmp_unsigned("==", done, self.count_of(b, ticket))
            with b.if_then(last), b.if_then(b.icmp_signed("!=", self.read(b, "caller_asleep"), self.i64(0))):
                self.thread_call(b, "mutex_lock", "lock")
                self.thread_call(b, "cond_signal", "finished")
                self.thread_call(b, "mutex_unlock", "lock")
        b.ret(self.i1(1))

    def write_worker(self) -> None:
        """worker(nothing): what a thread of the pool does, forever"""
        function, b = self.begin("worker", self.pointer, self.pointer)
        since = b.alloca(self.i64)
        b.store(self.call(b, "now"), since)
        look, work, rest, sleep = (
            function.append_basic_block(name) for name in ("look", "work", "rest", "sleep")
        )
        b.branch(look)
        b.position_at_end(look)
        b.cbranch(self.call(b, "take"), work, rest)
        b.position_at_end(work)
        b.store(self.call(b, "now"), since)
        b.branch(look)
        b.position_at_end(rest)
        b.cbranch(self.call(b, "pause", b.load(since)), look, sleep)
        b.position_at_end(sleep)
        self.thread_call(b, "mutex_lock", "lock")
        self.add(
            b, "asleep", 1
        )  # before looking at the ticket again: the caller sets it and then looks at this
        end = self.loop_while(b, function, lambda b: b.not_(self.left(b, self.read(b, "ticket"))))
        self.thread_call(b, "cond_wait", "work", "lock")
        end()
        self.add(b, "asleep", -1)
        self.thread_call(b, "mutex_unlock", "lock")
        b.branch(work)

    def write_run_parts(self) -> None:
        """run_parts(part, args, counts, steps, data, ndim, arrays, threads) -> whether it ran the loop.

        Not if another loop runs, in another thread or around this one, if it has too many parts, or if other programs
        need the cores.
        """
        function, b = self.begin("run_parts", self.i1, *self.loop_arguments)
        count = b.load(function.args[2])
        begun = self.call(b, "now")
        many = b.icmp_unsigned(">", count, self.i64(MOST_PARTS))
        with b.if_then(b.or_(many, b.icmp_signed("<", begun, self.read(b, "alone_until")))):
            b.ret(self.i1(0))
        busy = b.atomic_rmw("xchg", self.words["busy"], self.i64(1), "seq_cst")
        with b.if_then(b.icmp_signed("!=", busy, self.i64(0))):
            b.ret(self.i1(0))
        for variable, value in zip(self.loop, function.args):
            b.store(value, variable)
        self.put(b, "done", self.i64(0))
        number = b.add(b.lshr(self.read(b, "ticket"), self.i64(40)), self.i64(1))
        self.put(b, "ticket", b.or_(b.shl(number, self.i64(40)), b.shl(count, self.i64(20))))
        self._wake(b, function, count)
        end = self.loop_while(b, function, lambda b: self.call(b, "take"))
        end()
        since = self.call(b, "now")
        self._wait(b, function, count, since)
        self._judge(b, begun, since)
        self.put(b, "busy", self.i64(0))
        b.ret(self.i1(1))

    def _wake(self, b, function, count) -> None:
        """Wake as many threads as there are parts for others."""
        with b.if_then(b.icmp_signed(">", self.read(b, "asleep"), self.i64(0))):
            self.thread_call(b, "mutex_lock", "lock")
            asleep, others = self.read(b, "asleep"), b.sub(count, self.i64(1))
            woken = b.alloca(self.i64)
            b.store(b.select(b.icmp_signed("<", asleep, others), asleep, others), woken)
            end = self.loop_while(b, function, lambda b: b.icmp_signed(">", b.load(woken), self.i64(0)))
            self.thread_call(b, "cond_signal", "work")
            b.store(b.sub(b.load(woken), self.i64(1)), woken)
            end()
            self.thread_call(b, "mutex_unlock", "lock")

    def _wait(self, b, function, count, since) -> None:
        """Wait until the parts that others took are done."""
        unfinished = lambda b: b.icmp_signed("<", self.read(b, "done"), count)
        end = self.loop_while(b, function, unfinished)
        with b.if_then(b.not_(self.call(b, "pause", since))):
            self.thread_call(b, "mutex_lock", "lock")
            self.put(b, "caller_asleep", self.i64(1))  # before looking at `done` again, as above
            awake = self.loop_while(b, function, unfinished)
            self.thread_call(b, "cond_wait", "finished", "lock")
            awake()
            self.put(b, "caller_asleep", self.i64(0))
            self.thread_call(b, "mutex_unlock", "lock")
        end()

    def _judge(self, b, begun, since) -> None:
        """Work alone for a while if more than LATE and two thirds of the loop went by waiting."""
        now = self.call(b, "now")
        waited, whole = b.sub(now, since), b.sub(now, begun)
        long = b.icmp_signed(">", waited, self.i64(LATE))
        most = b.icmp_signed(">", b.mul(waited, self.i64(3)), b.mul(whole, self.i64(2)))
        with b.if_then(b.and_(long, most)):
            before = self.read(b, "alone_for")
            again = b.icmp_signed("<", b.sub(begun, self.read(b, "alone_until")), self.i64(ALONE))
            twice = b.mul(before, self.i64(2))
            twice = b.select(
                b.icmp_signed("<", twice, self.i64(LONGEST_ALONE)), twice, self.i64(LONGEST_ALONE)
            )
            alone = b.select(b.and_(again, b.icmp_signed(">", before, self.i64(0))), twice, self.i64(ALONE))
            self.put(b, "alone_for", alone)
            self.put(b, "alone_until", b.add(now, alone))


def start_workers(engine, count: int) -> int:
    """Start the pool's threads; they receive no signals and end with the process.  -> how many there are

    The system may refuse more threads.  The loops then run on those that there are, in the worst case on the caller's.
    """
    library = ctypes.CDLL(None)
    for name, make in LOCKS.items():
        getattr(library, make)(ctypes.c_void_p(engine.get_global_value_address(name)), None)
    worker = ctypes.c_void_p(engine.get_function_address("worker"))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        for started in range(count):
            if library.pthread_create(ctypes.byref(ctypes.c_void_p()), None, worker, None):
                return started
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return count
