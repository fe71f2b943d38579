// The machine that runs a kernel on a CPU: fibers and their turns, barriers, warps, and a launch.
// hostcuda.h is the part that a kernel sees.
//
// A block runs like this.  All its threads are put into a queue.  The first one gets a stack and runs until it returns or
// must wait.  Then the next one in the queue continues.  A waiting thread is in no queue: the last thread to arrive at a
// barrier puts all of them back.  If the queue is empty while threads still wait, nobody can wake them: a deadlock.
#include "machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

// ---- switching from one fiber to another ---------------------------------------------------------------------------
// A function call already saves what the caller wants to keep.  That leaves the registers that a callee must preserve:
// push them, save the stack pointer, load the other fiber's stack pointer, pop its registers, return into it.
extern "C" void hostcuda_switch(void **save_here, void *go_there);
#if defined(__x86_64__)
constexpr int SAVED_WORDS = 6;          // below the return address
asm(".text\n.globl hostcuda_switch\n.hidden hostcuda_switch\nhostcuda_switch:\n"
    "  push %rbp\n  push %rbx\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n"
    "  mov %rsp, (%rdi)\n"
    "  mov %rsi, %rsp\n"
    "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbx\n  pop %rbp\n"
    "  ret\n");
#elif defined(__aarch64__)
constexpr int SAVED_WORDS = 20;         // x19-x30 (x29 frame, x30 return address), d8-d15
asm(".text\n.balign 4\n.globl hostcuda_switch\n.hidden hostcuda_switch\nhostcuda_switch:\n"
    "  sub sp, sp, #160\n"
    "  stp x19, x20, [sp, #0]\n  stp x21, x22, [sp, #16]\n  stp x23, x24, [sp, #32]\n"
    "  stp x25, x26, [sp, #48]\n  stp x27, x28, [sp, #64]\n  stp x29, x30, [sp, #80]\n"
    "  stp d8, d9, [sp, #96]\n  stp d10, d11, [sp, #112]\n  stp d12, d13, [sp, #128]\n  stp d14, d15, [sp, #144]\n"
    "  mov x9, sp\n  str x9, [x0]\n"
    "  mov sp, x1\n"
    "  ldp x19, x20, [sp, #0]\n  ldp x21, x22, [sp, #16]\n  ldp x23, x24, [sp, #32]\n"
    "  ldp x25, x26, [sp, #48]\n  ldp x27, x28, [sp, #64]\n  ldp x29, x30, [sp, #80]\n"
    "  ldp d8, d9, [sp, #96]\n  ldp d10, d11, [sp, #112]\n  ldp d12, d13, [sp, #128]\n  ldp d14, d15, [sp, #144]\n"
    "  add sp, sp, #160\n"
    "  ret\n");
#else
#error "hostcuda switches between fibers on x86-64 and aarch64 only"
#endif

namespace hostcuda {

// ---- the state of the running block --------------------------------------------------------------------------------
Thread threads[MAX_THREADS];
int current, thread_count;
Launch *launch;
unsigned interval, warp_meetings[MAX_WARPS];
unsigned long launch_number;

static const Kernel *kernel;
static void *launcher_stack_pointer;    // where run_block() continues when no fiber can run
static sigjmp_buf launch_failed;

static int order[MAX_THREADS];          // the threads in the order in which they take their first turn
static int queue[MAX_THREADS], queue_head, queue_length;   // a ring
static int living, at_barrier, true_predicates;            // threads that have not returned; at the barrier; ...
static Votes votes;                     // the result of the last barrier: the next one cannot change it before all have read it

struct WarpState {
    uint32_t arrived;                   // lanes that wait at a warp instruction
    uint32_t living;                    // lanes that have not returned
    void (*execute[32])(Warp &);
    Warp operands;
};
static WarpState warps[MAX_WARPS];

int lane_id() { return current % 32; }
uint32_t live_lanes() { return warps[current / 32].living; }

const char *base_name(Place place) {
    const char *slash = strrchr(place.file_name(), '/');
    return slash ? slash + 1 : place.file_name();
}

// ---- failing -------------------------------------------------------------------------------------------------------
static void copy3(unsigned to[3], uint3 from) { to[0] = from.x, to[1] = from.y, to[2] = from.z; }

[[noreturn]] static void fail_va(size_t code, const char *kind, const char *format, va_list arguments) {
    launch->failed = 1;
    copy3(launch->fail_block, blockIdx);
    copy3(launch->fail_thread, threadIdx);
    snprintf(launch->kind, sizeof launch->kind, "%s", kind);
    vsnprintf(launch->message, sizeof launch->message, format, arguments);
    launch->code_offset = code;
    siglongjmp(launch_failed, 1);       // to hostcuda_launch: the stacks of the fibers are simply reused
}
void fail(const char *kind, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fail_va(0, kind, format, arguments);
}
void fail_at(size_t code, const char *kind, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fail_va(code, kind, format, arguments);
}

// ---- stacks --------------------------------------------------------------------------------------------------------
// A thread that returns passes its stack to the next one that starts, so a kernel without barriers needs only one stack.
// Below each stack is a forbidden page, where an overflow stops.
size_t page;
static char *stack_area;
static Stack stacks[MAX_THREADS];
static Stack *free_stacks[MAX_THREADS];
static int stacks_made, stacks_free;

bool in_a_stack(uintptr_t address) { return address - uintptr_t(stack_area) < MAX_THREADS * (STACK + page); }

static Stack *take_stack() {
    if (stacks_free) return free_stacks[--stacks_free];
    Stack &stack = stacks[stacks_made];
    char *base = stack_area + stacks_made * (STACK + page);
    if (mprotect(base + page, STACK, PROT_READ | PROT_WRITE)) fail("out of memory", "no memory for a fiber's stack");
    // Stacks that start at the same offset in a page share the same few cache lines: shift each a little.
    size_t shift = size_t(stacks_made) * 320 % 4096;
    stack = {base + page, base + page + STACK - shift};
    stacks_made++;
    return &stack;
}

// ---- turns ---------------------------------------------------------------------------------------------------------
static void enqueue(int thread) {
    int end = queue_head + queue_length++;
    queue[end >= MAX_THREADS ? end - MAX_THREADS : end] = thread;
}
static int dequeue() {
    if (!queue_length) return -1;
    int thread = queue[queue_head];
    queue_head = queue_head + 1 == MAX_THREADS ? 0 : queue_head + 1;
    queue_length--;
    return thread;
}

static void fiber_main();

static void make_current(int thread) {
    current = thread;
    threadIdx = threads[thread].index;
}

// Give the turn to `next` (-1: to run_block); returns when this fiber's turn comes again.
static void switch_to(int next, void **save_here) {
    launch->switches++;
    if (next < 0) return hostcuda_switch(save_here, launcher_stack_pointer);
    make_current(next);
    Thread &thread = threads[next];
    if (thread.state == NOT_STARTED) {
        thread.stack = take_stack();
        void **top = reinterpret_cast<void **>(thread.stack->high);
#if defined(__x86_64__)
        *--top = nullptr;                                     // fiber_main has no caller: a debugger's backtrace ends
        *--top = reinterpret_cast<void *>(fiber_main);        // `ret` goes there
#endif
        for (int i = 0; i < SAVED_WORDS; i++) *--top = nullptr;
#if defined(__aarch64__)
        top[11] = reinterpret_cast<void *>(fiber_main);       // x30
#endif
        thread.stack_pointer = top;
    }
    thread.state = READY;
    hostcuda_switch(save_here, thread.stack_pointer);
}

// This thread has to wait: others run until it is put back into the queue.  (It may already be there.)
static void wait() {
    Thread &me = threads[current];
    int next = dequeue();
    if (next == current) return;
    switch_to(next, &me.stack_pointer);
}

static void thread_returns();

// The life of a fiber: run the kernel's body for one thread after another.  Each thread that starts here finds an empty
// stack; only if the next thread in the queue already has its own stack must the fiber switch.
static void fiber_main() {
    Stack *stack = threads[current].stack;
    for (;;) {
        kernel->call(launch->arguments);
        thread_returns();
        int next = dequeue();
        if (next >= 0 && threads[next].state == NOT_STARTED) {
            threads[next].stack = stack;
            threads[next].state = READY;
            make_current(next);
            continue;
        }
        free_stacks[stacks_free++] = stack;
        void *never_again;
        switch_to(next, &never_again);
    }
}

// ---- the block's barrier -------------------------------------------------------------------------------------------
static void put_in_order();
static bool elsewhere(Place a, Place b) { return a.line() != b.line() || a.column() != b.column(); }

static void release_barrier_if_complete() {
    if (!at_barrier || at_barrier != living) return;
#ifdef HOSTCUDA_CHECKED                 // sm_70 and newer tolerate it, but CUDA's rule is: all threads or none
    for (int t = 0; living < thread_count && t < thread_count; t++)
        if (threads[t].state == RETURNED) {
            make_current(t);
            fail("divergent barrier", "divergent barrier: this thread has returned while %d others wait at a barrier", living);
        }
#endif
    votes = {true_predicates, at_barrier};
    at_barrier = true_predicates = 0;
    interval++;
    if (launch->order == 2) put_in_order();
    const Thread *first = nullptr;
    for (int i = 0; i < thread_count; i++) {
        Thread &thread = threads[order[i]];
        if (thread.state != AT_BARRIER) continue;
        if (!first) first = &thread;
        if (elsewhere(thread.place, first->place)) {
            make_current(order[i]);
            fail("divergent barrier", "divergent barrier: this thread waits at %s (%s:%u), thread (%u, %u, %u) at %s (%s:%u)",
                 thread.waits_for, base_name(thread.place), thread.place.line(), first->index.x, first->index.y, first->index.z,
                 first->waits_for, base_name(first->place), first->place.line());
        }
        thread.state = READY;
        enqueue(order[i]);
    }
}

Votes block_barrier(const char *instruction, bool predicate, Place place) {
    Thread &me = threads[current];
    me.state = AT_BARRIER;
    me.waits_for = instruction;
    me.place = place;
    at_barrier++;
    true_predicates += predicate;
    release_barrier_if_complete();      // also puts this thread into the queue
    wait();
    return votes;
}

// ---- instructions of a warp ----------------------------------------------------------------------------------------
// The instruction is executed once for all lanes of `mask`, when the last of them arrives.  It does not wait for lanes
// that have returned (as on sm_70 and newer).
static void complete_warp_instruction(int w, int arriving) {
    WarpState &warp = warps[w];
    const Thread &last = threads[32 * w + arriving];
    uint32_t lanes = last.mask & warp.living;
    if ((warp.arrived & lanes) != lanes) return;
    for (int lane = 0; lane < 32; lane++) {
        if (!(lanes >> lane & 1)) continue;
        const Thread &thread = threads[32 * w + lane];
        if (thread.mask == last.mask && !strcmp(thread.waits_for, last.waits_for)) continue;
        make_current(32 * w + lane);
        fail("divergent warp", "divergent warp: this thread is at %s (%s:%u) with mask %08x, lane %d of its warp at %s (%s:%u) with mask %08x",
             thread.waits_for, base_name(thread.place), thread.place.line(), thread.mask, arriving,
             last.waits_for, base_name(last.place), last.place.line(), last.mask);
    }
    warp.arrived &= ~lanes;
    warp.operands.lanes = lanes;
    warp.execute[arriving](warp.operands);
    if (!strcmp(last.waits_for, "__syncwarp")) warp_meetings[w]++;
    for (int i = 0; i < 32; i++) {
        int lane = launch->order == 1 ? 31 - i : launch->order == 2 ? (i * 13 + int(launch->seed)) & 31 : i;
        if (!(lanes >> lane & 1)) continue;
        threads[32 * w + lane].state = READY;
        if (32 * w + lane != current) enqueue(32 * w + lane);  // the lane that came last continues at once
    }
}

const void *warp_instruction(const char *instruction, uint32_t mask, void (*execute)(Warp &), const void *operand,
                             size_t bytes, Place place) {
    int lane = current % 32, w = current / 32;
    WarpState &warp = warps[w];
    Thread &me = threads[current];
    if (!(mask >> lane & 1))
        fail("divergent warp", "%s (%s:%u): mask %08x does not name the calling lane %d", instruction, base_name(place), place.line(), mask, lane);
    if (bytes) memcpy(warp.operands.operand[lane].data, operand, bytes);
    warp.execute[lane] = execute;
    warp.arrived |= 1u << lane;
    me.state = IN_WARP;
    me.mask = mask;
    me.waits_for = instruction;
    me.place = place;
    complete_warp_instruction(w, lane);
    if (me.state == IN_WARP) wait();
    return warp.operands.result[lane].data;
}

// ---- cp.async ------------------------------------------------------------------------------------------------------
struct Copy { void *to; const void *from; size_t bytes; int group; };
struct CopyQueue { int count, group; Copy copies[128]; };
static CopyQueue copy_queues[MAX_THREADS];

void copy_later(void *shared, const void *global, size_t bytes) {
    CopyQueue &queue = copy_queues[current];
    if (queue.count == 128) fail("cp.async", "more than 128 copies of one thread wait: is cp_async_wait missing?");
    queue.copies[queue.count++] = {shared, global, bytes, queue.group};
}
void close_copy_group() { copy_queues[current].group++; }
void finish_copies(int groups_that_may_stay_open) {
    CopyQueue &queue = copy_queues[current];
    int kept = 0;
    for (int i = 0; i < queue.count; i++) {
        Copy copy = queue.copies[i];
        if (copy.group >= queue.group - groups_that_may_stay_open) {
            queue.copies[kept++] = copy;
            continue;
        }
        check_access(copy.to, copy.bytes, WRITE);
        memcpy(copy.to, copy.from, copy.bytes);
    }
    queue.count = kept;
}

// ---- shared memory -------------------------------------------------------------------------------------------------
// Before each block all of it is filled with one bits: NaN as a float of any size, -1 as an int.
alignas(1024) char static_shared[STATIC_AREA];
alignas(1024) char dynamic_shared[SHARED_LIMIT + 4096];
PlacedVariable placed[256];
int placed_count;
#ifdef HOSTCUDA_SANITIZED               // tell AddressSanitizer which part of the two areas is in use
extern "C" void __asan_poison_memory_region(const void *start, size_t bytes);
extern "C" void __asan_unpoison_memory_region(const void *start, size_t bytes);
static void forbid(const void *start, size_t bytes) { __asan_poison_memory_region(start, bytes); }
static void allow(const void *start, size_t bytes) { __asan_unpoison_memory_region(start, bytes); }
#else
static void forbid(const void *, size_t) {}
static void allow(const void *, size_t) {}
#endif
static size_t static_end;               // end of the variables placed so far, with the gaps between them

char *place_shared_variable(SharedVariable &variable) {
    constexpr size_t GAP = 64;          // between two variables, so that an index past the end of one does not land in the next
    size_t alignment = variable.alignment < 16 ? 16 : variable.alignment;
    size_t start = (static_end + GAP + alignment - 1) / alignment * alignment;
    if (placed_count == 256 || start + variable.size > STATIC_AREA)
        fail("shared memory", "__shared__ %s does not fit", variable.names);
    static_end = start + variable.size;
    launch->static_shared += variable.size;
    if (launch->static_shared > 48 << 10)
        fail("shared memory", "%zu bytes of static __shared__ variables: a GPU gives 49152 (more only as dynamic shared memory)",
             launch->static_shared);
    placed[placed_count++] = {&variable, start, variable.size};
    allow(static_shared + start, variable.size);
    memset(static_shared + start, 0xff, variable.size);
    variable.launch = launch_number;
    return variable.address = static_shared + start;
}
char *dynamic_shared_memory() { return dynamic_shared; }

// ---- one block -----------------------------------------------------------------------------------------------------
static uint32_t random_state;
static uint32_t random_number() {       // xorshift32
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    return random_state ^= random_state << 5;
}
static void put_in_order() {
    for (int i = 0; i < thread_count; i++) order[i] = launch->order == 1 ? thread_count - 1 - i : i;
    if (launch->order == 2)
        for (int i = thread_count - 1; i > 0; i--) {
            int j = int(random_number() % unsigned(i + 1)), swap = order[i];
            order[i] = order[j], order[j] = swap;
        }
}

static void thread_returns() {
    int w = current / 32;
    threads[current].state = RETURNED;
    living--;
    warps[w].living &= ~(1u << current % 32);
    // Others may have waited only for this thread.
    for (uint32_t waiting = warps[w].arrived; waiting; waiting &= waiting - 1) {
        int lane = __builtin_ctz(waiting);
        if (warps[w].arrived >> lane & 1) complete_warp_instruction(w, lane);
    }
    release_barrier_if_complete();
}

[[noreturn]] static void report_deadlock() {
    const Thread *first = nullptr, *other = nullptr;          // two threads that wait for different things
    int count = 0;
    for (int i = 0; i < thread_count; i++) {
        Thread &thread = threads[i];
        if (thread.state == RETURNED) continue;
        count++;
        if (!first) first = &thread, make_current(i);
        else if (!other && elsewhere(thread.place, first->place)) other = &thread;
    }
    if (other)
        fail("deadlock", "deadlock: %d threads wait for one another: this thread at %s (%s:%u), thread (%u, %u, %u) at %s (%s:%u)",
             count, first->waits_for, base_name(first->place), first->place.line(), other->index.x, other->index.y, other->index.z,
             other->waits_for, base_name(other->place), other->place.line());
    fail("deadlock", "deadlock: %d threads wait at %s (%s:%u), which the others never reach", count, first->waits_for,
         base_name(first->place), first->place.line());
}

static void run_block() {
    living = thread_count;
    at_barrier = true_predicates = queue_head = queue_length = 0;
    for (int i = 0; i < placed_count; i++) memset(static_shared + placed[i].start, 0xff, placed[i].size);
    memset(dynamic_shared, 0xff, launch->shared);
    for (int w = 0; w * 32 < thread_count; w++) {
        int lanes = thread_count - 32 * w;
        warps[w].arrived = 0;
        warps[w].living = lanes >= 32 ? ~0u : (1u << lanes) - 1;
    }
    put_in_order();
    for (int i = 0; i < thread_count; i++) {
        threads[order[i]].state = NOT_STARTED;
        copy_queues[order[i]].count = copy_queues[order[i]].group = 0;
        enqueue(order[i]);
    }
#ifdef HOSTCUDA_CHECKED
    start_block_checks();
#endif
    switch_to(dequeue(), &launcher_stack_pointer);            // returns when no fiber can run
    if (living) report_deadlock();
}

// ---- one launch ----------------------------------------------------------------------------------------------------
// Blocks in the order of the launch.  In random order: steps of a stride that is coprime to their number.
static uint64_t gcd(uint64_t a, uint64_t b) { return b ? gcd(b, a % b) : a; }

static void run_grid() {
    uint64_t blocks = uint64_t(gridDim.x) * gridDim.y * gridDim.z, stride = 1, start = 0;
    if (launch->order == 1) stride = blocks - 1, start = blocks - 1;
    if (launch->order == 2) {
        stride = blocks > 2 ? 1 + random_number() % (blocks - 1) : 1;
        while (gcd(stride, blocks) != 1) stride++;
        start = random_number() % blocks;
    }
    uint64_t number = start;
    for (uint64_t i = 0; i < blocks; i++, number = (number + stride) % blocks) {
        blockIdx = {unsigned(number % gridDim.x), unsigned(number / gridDim.x % gridDim.y), unsigned(number / gridDim.x / gridDim.y)};
        run_block();
    }
}

extern "C" __attribute__((visibility("default"))) int hostcuda_launch(const Kernel *what, Launch *how) {
    launch = how;
    kernel = what;
    launch_number++;
    gridDim = dim3(how->grid[0], how->grid[1], how->grid[2]);
    blockDim = dim3(how->block[0], how->block[1], how->block[2]);
    blockIdx = threadIdx = {0, 0, 0};
    thread_count = int(blockDim.x * blockDim.y * blockDim.z);
    current = placed_count = 0;
    static_end = 0;
    random_state = how->seed * 2654435761u + 88172645u;
    if (!random_state) random_state = 1;
    stacks_free = 0;                    // also those that were in use when an earlier launch failed
    for (int i = stacks_made - 1; i >= 0; i--) free_stacks[stacks_free++] = &stacks[i];
    if (!stack_area) {
        page = size_t(sysconf(_SC_PAGESIZE));
        void *area = mmap(nullptr, MAX_THREADS * (STACK + page), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (area != MAP_FAILED) stack_area = static_cast<char *>(area);
    }
    for (int t = 0; t < thread_count; t++) {
        unsigned u = unsigned(t);
        threads[t].index = {u % blockDim.x, u / blockDim.x % blockDim.y, u / (blockDim.x * blockDim.y)};
        threads[t].stack = nullptr;
    }
    catch_signals();
    if (!sigsetjmp(launch_failed, 1)) {
        if (!stack_area) fail("out of memory", "no room for the fibers' stacks");
        if (launch->guard) guard_arguments();
        forbid(static_shared, STATIC_AREA), forbid(dynamic_shared, sizeof dynamic_shared);
        allow(dynamic_shared, launch->shared);
#ifdef HOSTCUDA_CHECKED
        start_launch_checks();
#endif
        run_grid();
        if (launch->guard) return_arguments();
    }
    leave_signals();
    fflush(stdout);                     // what the kernel printed comes before what Python prints next
    launch = nullptr;
    return how->failed;
}

}  // namespace hostcuda
