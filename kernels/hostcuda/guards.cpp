// Stops wild accesses: copies of the arguments between forbidden pages, and signal handlers that turn the processor's
// refusal into an error that names the thread.
#include "machine.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

namespace hostcuda {

// ---- accesses that the processor refuses ---------------------------------------------------------------------------
extern "C" __attribute__((visibility("hidden"))) const char __ehdr_start[], _end[];   // this library, by the linker

size_t code_offset(const void *code) { return uintptr_t(code) - uintptr_t(__ehdr_start); }
bool in_this_library(uintptr_t address) { return address >= uintptr_t(__ehdr_start) && address < uintptr_t(_end); }

// Which argument is at an address, or nearest to it?  For error messages.
void describe_address(char *text, size_t room, uintptr_t address, size_t bytes) {
    const Region *nearest = nullptr;
    uintptr_t distance = uintptr_t(1) << 36;                  // an index that wrapped around 32 bits is still reported
    for (int i = 0; i < launch->region_count; i++) {
        const Region &region = launch->regions[i];
        uintptr_t start = uintptr_t(region.start), end = start + region.bytes;
        uintptr_t away = address < start ? start - address : address + bytes > end ? address + bytes - end : 0;
        if (away < distance) nearest = &region, distance = away;
    }
    if (!nearest) {
        snprintf(text, room, "address %#zx, far from every argument", size_t(address));
        return;
    }
    long offset = long(address - uintptr_t(nearest->start)), item = long(nearest->item);
    long index = (offset >= 0 ? offset : offset - item + 1) / item;                   // rounded down
    snprintf(text, room, "%s[%ld], which has %zu elements", nearest->name, index, nearest->bytes / nearest->item);
}

static const int SIGNALS[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGINT};
constexpr int SIGNAL_COUNT = sizeof SIGNALS / sizeof *SIGNALS;

static pthread_t launching_thread;      // of the operating system: Python has others
static struct sigaction signals_before[SIGNAL_COUNT];

static void on_signal(int signal, siginfo_t *info, void *context) {
    if (!pthread_equal(pthread_self(), launching_thread)) {   // not ours: pass it to the previous handler
        for (int i = 0; i < SIGNAL_COUNT; i++)
            if (SIGNALS[i] == signal) sigaction(signal, &signals_before[i], nullptr);
        if (signal == SIGINT) raise(signal);
        return;
    }
    size_t code = 0;
#if defined(__x86_64__)
    code = size_t(static_cast<ucontext_t *>(context)->uc_mcontext.gregs[REG_RIP]);
#elif defined(__aarch64__)
    code = size_t(static_cast<ucontext_t *>(context)->uc_mcontext.pc);
#else
    (void)context;
#endif
    if (code) code = code_offset(reinterpret_cast<void *>(code)) + 1;  // as a return address: after the instruction
    uintptr_t address = uintptr_t(info->si_addr);
    const Stack *stack = threads[current].stack;
    char where[300];
    if (signal == SIGINT) fail_at(code, "interrupted", "interrupted: this thread was running");
    if (signal == SIGFPE) fail_at(code, "division by zero", "an integer division by zero (a GPU would go on with a wrong number)");
    if (signal == SIGILL) fail_at(code, "trap", "an illegal instruction: unreachable code was reached");
    if (stack && address < uintptr_t(stack->low) && address >= uintptr_t(stack->low) - page)
        fail_at(code, "stack overflow", "stack overflow: the thread's local variables need more than %zu KiB", STACK >> 10);
#if defined(__x86_64__)
    if (signal == SIGSEGV && info->si_code == SI_KERNEL)       // x86-64 reports it without an address
        fail_at(code, "misaligned", "a misaligned vector access (float2, float4, ...), or a wild pointer");
#endif
    if (signal == SIGBUS) fail_at(code, "misaligned", "a misaligned access");
    describe_address(where, sizeof where, address, 1);
    fail_at(code, "out of bounds", "out of bounds: access to %s", where);
}

// The handlers are installed only during a launch.  They run on their own stack, as the fiber's may be full.
static stack_t stack_before;

void catch_signals() {
    static char signal_stack[64 << 10];
    launching_thread = pthread_self();
    stack_t stack = {};
    stack.ss_sp = signal_stack;
    stack.ss_size = sizeof signal_stack;
    sigaltstack(&stack, &stack_before);
    struct sigaction action = {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    for (int i = 0; i < SIGNAL_COUNT; i++) sigaction(SIGNALS[i], &action, &signals_before[i]);
}
void leave_signals() {
    for (int i = 0; i < SIGNAL_COUNT; i++) sigaction(SIGNALS[i], &signals_before[i], nullptr);
    sigaltstack(&stack_before, nullptr);
}

// ---- copies with a guard page --------------------------------------------------------------------------------------
// The kernel does not get the caller's array but a copy that ends where forbidden pages begin:
//     | forbidden | ones, less than a page | the array | ones, up to 15 bytes | forbidden |
// An access past the end stops the kernel at once.  The remaining margins are checked after the launch.
// Arguments that overlap (a kernel that works in place, views of one array) share one copy.
constexpr size_t KEPT = 16 << 20;       // the memory of a larger copy is released after the launch
constexpr size_t FORBIDDEN = 64 << 20;  // on either side; address space only, no memory
struct GuardedCopy {
    char *area;                         // of `pages` pages between the two forbidden parts; kept for the next launch
    size_t pages;
    char *original, *copy;
    size_t bytes;
    bool writable;
    const Region *region;               // one of those inside, for its name
};
constexpr int MAX_COPIES = 64;
static GuardedCopy copies[MAX_COPIES];
static int copy_count;

static void group_overlapping_regions() {
    copy_count = 0;
    for (int i = 0; i < launch->region_count; i++) {
        const Region &region = launch->regions[i];
        if (!region.pointer) continue;                        // reached through an address that we do not know
        char *start = region.start, *end = region.start + region.bytes;
        bool writable = region.writable;
        for (int j = 0; j < copy_count;) {                    // merge every group that this one overlaps
            GuardedCopy &other = copies[j];
            if (start >= other.original + other.bytes || other.original >= end) { j++; continue; }
            if (other.original < start) start = other.original;
            if (other.original + other.bytes > end) end = other.original + other.bytes;
            writable |= other.writable;
            GuardedCopy last = copies[--copy_count];          // the last group takes its place; areas stay where they are
            other.original = last.original, other.bytes = last.bytes, other.writable = last.writable, other.region = last.region;
            j = 0;
        }
        if (copy_count == MAX_COPIES) fail("too many arguments", "up to %d arrays can be guarded: pass guard=False", MAX_COPIES);
        GuardedCopy &group = copies[copy_count++];
        group.original = start, group.bytes = size_t(end - start), group.writable = writable, group.region = &region;
    }
}

static void give_back(GuardedCopy &group) {
    if (group.area) munmap(group.area - FORBIDDEN, group.pages * page + 2 * FORBIDDEN);
    group.area = nullptr;
}

static void make_area(GuardedCopy &group) {
    size_t pages = (group.bytes + 15 + page - 1) / page;
    if (group.area && pages == group.pages) return;
    give_back(group);
    void *area = mmap(nullptr, pages * page + 2 * FORBIDDEN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED || mprotect(static_cast<char *>(area) + FORBIDDEN, pages * page, PROT_READ | PROT_WRITE))
        fail("out of memory", "no memory for guarded copies of the arguments: pass guard=False");
    group.area = static_cast<char *>(area) + FORBIDDEN;
    group.pages = pages;
}

void guard_arguments() {
    group_overlapping_regions();
    for (int j = 0; j < copy_count; j++) {
        GuardedCopy &group = copies[j];
        make_area(group);
        char *end = group.area + group.pages * page;
        group.copy = end - group.bytes;
        group.copy -= (uintptr_t(group.copy) - uintptr_t(group.original)) % 16;   // as aligned as the original
        memset(group.area, 0xff, size_t(group.copy - group.area));
        memcpy(group.copy, group.original, group.bytes);
        memset(group.copy + group.bytes, 0xff, size_t(end - group.copy) - group.bytes);
    }
    for (int i = 0; i < launch->region_count; i++) {
        Region &region = launch->regions[i];
        for (int j = 0; region.pointer && j < copy_count; j++)
            if (region.start >= copies[j].original && region.start < copies[j].original + copies[j].bytes) {
                region.start = copies[j].copy + (region.start - copies[j].original);
                *region.pointer = region.start;
                break;
            }
    }
}

static bool all_ones(const char *start, const char *end) {
    while (start < end)
        if (*start++ != char(0xff)) return false;
    return true;
}

// After the launch: check the margins and copy the results back.
void return_arguments() {
    for (int j = 0; j < copy_count; j++) {
        const GuardedCopy &group = copies[j];
        const char *end = group.copy + group.bytes;
        bool before = !all_ones(group.area, group.copy), after = !all_ones(end, group.area + group.pages * page);
        if (before || after)
            fail("out of bounds afterwards", "out of bounds: some thread has written %s %s, which has %zu elements (found after the last block; "
                 "checked=True names the thread)", after ? "past the end of" : "before", group.region->name, group.region->bytes / group.region->item);
    }
    for (int j = 0; j < copy_count; j++) {
        if (copies[j].writable) memcpy(copies[j].original, copies[j].copy, copies[j].bytes);
        if (copies[j].bytes > KEPT) give_back(copies[j]);
    }
}

}  // namespace hostcuda
