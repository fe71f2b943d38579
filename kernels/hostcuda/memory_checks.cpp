// The checked build: every load and store of a kernel is checked.
//
// The compiler inserts the calls.  -fsanitize=thread makes it call __tsan_read4(address) before each load of 4 bytes, and so
// on; -fsanitize=alignment,bounds makes it call __ubsan_handle_...() if a pointer is misaligned or an index leaves an
// array.  Usually a sanitizer's library answers these calls.  Here we do, because we know what it cannot know: which CUDA
// thread runs, which arrays the launch passed, and when the block met at a barrier.
#include "machine.h"

#include <stdarg.h>
#include <stdlib.h>

namespace hostcuda {

// ---- one cell for each 4 bytes of shared and global memory: who touched it last ------------------------------------
// Time is counted in intervals: each barrier and each block starts a new one, and `interval` never decreases.
// Two accesses to the same bytes by different threads, at least one of them a write, are ordered by a barrier if their
// intervals differ, and by __syncwarp if the threads belong to one warp that has met in between.  Otherwise it is a race.
struct Touch {
    unsigned interval = 0;              // 0: never
    unsigned meeting = 0;               // __syncwarps of the warp before it
    unsigned block = 0;                 // number of the block in the grid
    unsigned short thread = 0;
    unsigned char bytes = 0;            // which of the 4, one bit each
    bool atomic = false;
};
constexpr unsigned short SEVERAL = 0xffff;                    // read by several threads: any writer races with one of them
constexpr unsigned short OF_WARP = 0x8000;                    // read by several threads of one warp: this plus its number
struct Cell {
    Touch write, read;
    unsigned initialised_in = 0;        // first interval of the block that wrote here
    unsigned char initialised = 0;      // the bytes that it wrote
};

static unsigned first_of_block, first_of_launch;              // intervals
static bool fence_seen;                 // __threadfence: blocks communicate, and only atomics order that
static Cell *static_cells, *dynamic_cells;
static Cell *region_cells[64];
static size_t region_cell_count[64];

static Cell *new_cells(size_t bytes) {
    void *memory = calloc(bytes / 4 + 2, sizeof(Cell));
    if (!memory) fail("out of memory", "no memory for the checks");
    return static_cast<Cell *>(memory);
}

void start_launch_checks() {
    if (launch->region_count > 64) fail("too many arguments", "the checked build takes up to 64 arrays");
    if (!static_cells) static_cells = new_cells(STATIC_AREA), dynamic_cells = new_cells(SHARED_LIMIT);
    for (int i = 0; i < launch->region_count; i++) {
        size_t cells = launch->regions[i].bytes / 4 + 2;
        if (cells > region_cell_count[i]) {                   // old entries belong to earlier launches
            free(region_cells[i]);
            region_cells[i] = new_cells(launch->regions[i].bytes);
            region_cell_count[i] = cells;
        }
    }
    first_of_launch = interval + 1;
    fence_seen = false;
}
void start_block_checks() { first_of_block = ++interval; }
void fence() { fence_seen = true; }

// ---- the rules -----------------------------------------------------------------------------------------------------
static unsigned block_number() { return blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z); }

static unsigned warp_of(unsigned short thread) {
    return thread == SEVERAL ? ~0u : thread >= OF_WARP ? thread - OF_WARP : thread / 32;
}

// Does `before` collide with the access that happens now?  An atomic and a plain read do not: `seen = *p` before a loop of
// atomicCAS is CUDA's own idiom.
static bool unordered(const Touch &before, unsigned char bytes, bool only_atomics_write) {
    if (before.interval < first_of_launch || !(before.bytes & bytes) || only_atomics_write) return false;
    if (before.interval < first_of_block) return !fence_seen; // another block (shared memory: the cell is wiped, see below)
    if (before.interval != interval || before.thread == current) return false;
    return !(warp_of(before.thread) == unsigned(current) / 32 && before.meeting != warp_meetings[current / 32]);
}

// What was accessed, for an error message; put into words only when there is an error.
struct Memory {
    enum { STATIC, DYNAMIC, ARRAY } kind;
    const char *name;
    size_t at;
    const char *words(char (&text)[200]) const {
        if (kind == STATIC) snprintf(text, sizeof text, "__shared__ %s (byte %zu)", name, at);
        if (kind == DYNAMIC) snprintf(text, sizeof text, "dynamic shared memory (byte %zu)", at);
        if (kind == ARRAY) snprintf(text, sizeof text, "%s[%zu]", name, at);
        return text;
    }
};

[[noreturn]] static void report_race(size_t code, const Memory &memory, const Touch &before, const char *did, Access access) {
    unsigned b = before.block, t = before.thread;
    char who[120], what[200];
    if (t >= OF_WARP) snprintf(who, sizeof who, "several threads");
    else
        snprintf(who, sizeof who, "thread (%u, %u, %u) of block (%u, %u, %u)", threads[t].index.x, threads[t].index.y,
                 threads[t].index.z, b % gridDim.x, b / gridDim.x % gridDim.y, b / gridDim.x / gridDim.y);
    fail_at(code, "race", "race: this thread %s %s, which %s %s with no barrier in between",
            access == READ ? "reads" : "writes", memory.words(what), who, did);
}

static void note(Cell &cell, unsigned char bytes, Access access, const Memory &memory, size_t code) {
    bool atomic = access == ATOMIC, shared = memory.kind != Memory::ARRAY;
    char what[200];
    if (shared && access != WRITE && (cell.initialised_in != first_of_block || (bytes & ~cell.initialised)))
        fail_at(code, "uninitialised shared memory", "uninitialised shared memory: this thread reads %s, which the block has not written", memory.words(what));
    if (!shared || cell.write.interval >= first_of_block)
        if (unordered(cell.write, bytes, cell.write.atomic && access != WRITE)) report_race(code, memory, cell.write, "wrote", access);
    if (access != READ && (!shared || cell.read.interval >= first_of_block))
        if (unordered(cell.read, bytes, atomic)) report_race(code, memory, cell.read, "read", access);

    Touch now = {interval, warp_meetings[current / 32], block_number(), static_cast<unsigned short>(current), bytes, atomic};
    if (access == READ) {
        unsigned warp = current / 32;
        bool same_warp = warp_of(cell.read.thread) == warp;
        bool again = cell.read.interval == interval && cell.read.thread != current && (!same_warp || cell.read.meeting == now.meeting);
        if (again) now.thread = same_warp ? OF_WARP + warp : SEVERAL, now.bytes |= cell.read.bytes;
        cell.read = now;
    } else {
        cell.write = now;
        if (cell.initialised_in != first_of_block) cell.initialised_in = first_of_block, cell.initialised = 0;
        cell.initialised |= bytes;
    }
}

static void note_range(Cell *cells, size_t offset, size_t bytes, Access access, const Memory &memory, size_t code) {
    while (bytes) {
        size_t first = offset % 4, count = bytes < 4 - first ? bytes : 4 - first;
        note(cells[offset / 4], static_cast<unsigned char>(((1u << count) - 1) << first), access, memory, code);
        offset += count, bytes -= count;
    }
}

// ---- finding out what an address is --------------------------------------------------------------------------------
static const char *verb(Access access) { return access == READ ? "reads" : "writes"; }

static void check_static(size_t offset, size_t bytes, Access access, size_t code) {
    const PlacedVariable *near = nullptr;
    for (int i = 0; i < placed_count; i++) {
        const PlacedVariable &v = placed[i];
        if (offset >= v.start && offset + bytes <= v.start + v.size)
            return note_range(static_cells, offset, bytes, access, {Memory::STATIC, v.variable->names, offset - v.start}, code);
        if (!near || offset >= v.start) near = &v;            // sorted by address
    }
    long away = long(offset) - long(near->start);
    fail_at(code, "out of bounds", "out of bounds: this thread %s %zu bytes at byte %ld of __shared__ %s, which has %zu bytes",
            verb(access), bytes, away, near->variable->names, near->size);
}

static void check(uintptr_t address, size_t bytes, Access access, size_t code) {
    const Stack *stack = threads[current].stack;
    if (address >= uintptr_t(stack->low) && address + bytes <= uintptr_t(stack->high)) return;
    size_t offset = address - uintptr_t(static_shared);
    if (offset < STATIC_AREA) return check_static(offset, bytes, access, code);
    offset = address - uintptr_t(dynamic_shared);
    if (offset < SHARED_LIMIT) {
        if (offset + bytes > launch->shared)
            fail_at(code, "out of bounds", "out of bounds: this thread %s %zu bytes at byte %zu of the dynamic shared memory; the launch asked for %zu bytes",
                    verb(access), bytes, offset, launch->shared);
        return note_range(dynamic_cells, offset, bytes, access, {Memory::DYNAMIC, "", offset}, code);
    }
    int first = -1;                                           // of the arrays here: one array may be two arguments
    bool writable = false;
    for (int i = 0; i < launch->region_count; i++) {
        const Region &region = launch->regions[i];
        offset = address - uintptr_t(region.start);
        if (offset >= region.bytes || offset + bytes > region.bytes) continue;
        if (first < 0) first = i;
        writable |= region.writable;
        if (access == READ || writable) break;
    }
    if (first >= 0) {
        const Region &region = launch->regions[first];
        offset = address - uintptr_t(region.start);
        if (access != READ && !writable)
            fail_at(code, "read-only", "this thread writes %s[%zu], which the kernel declares const", region.name, offset / region.item);
        return note_range(region_cells[first], offset, bytes, access, {Memory::ARRAY, region.name, offset / region.item}, code);
    }
    if (in_this_library(address)) return;                     // __constant__ and __device__ variables, tables
    char where[300];
    if (in_a_stack(address))
        fail_at(code, "out of bounds", "out of bounds: this thread %s a local variable of another thread", verb(access));
    describe_address(where, sizeof where, address, bytes);
    fail_at(code, "out of bounds", "out of bounds: this thread %s %s", verb(access), where);
}

void check_access(const void *address, size_t bytes, Access access) { check(uintptr_t(address), bytes, access, 0); }

}  // namespace hostcuda

// ---- the calls that the compiler inserts ---------------------------------------------------------------------------
#define EXPORTED extern "C" __attribute__((visibility("hidden"), used))
#define CALLER hostcuda::code_offset(__builtin_return_address(0))
#define LOADS_AND_STORES(BYTES)                                                                                             \
    EXPORTED void __tsan_read##BYTES(void *a) { hostcuda::check(uintptr_t(a), BYTES, hostcuda::READ, CALLER); }             \
    EXPORTED void __tsan_write##BYTES(void *a) { hostcuda::check(uintptr_t(a), BYTES, hostcuda::WRITE, CALLER); }           \
    EXPORTED void __tsan_unaligned_read##BYTES(void *a) { hostcuda::check(uintptr_t(a), BYTES, hostcuda::READ, CALLER); }   \
    EXPORTED void __tsan_unaligned_write##BYTES(void *a) { hostcuda::check(uintptr_t(a), BYTES, hostcuda::WRITE, CALLER); } \
    EXPORTED void __tsan_volatile_read##BYTES(void *a) { hostcuda::check(uintptr_t(a), BYTES, hostcuda::READ, CALLER); }    \
    EXPORTED void __tsan_volatile_write##BYTES(void *a) { hostcuda::check(uintptr_t(a), BYTES, hostcuda::WRITE, CALLER); }
LOADS_AND_STORES(1)
LOADS_AND_STORES(2)
LOADS_AND_STORES(4)
LOADS_AND_STORES(8)
LOADS_AND_STORES(16)
EXPORTED void __tsan_read_range(void *a, size_t bytes) { hostcuda::check(uintptr_t(a), bytes, hostcuda::READ, CALLER); }
EXPORTED void __tsan_write_range(void *a, size_t bytes) { hostcuda::check(uintptr_t(a), bytes, hostcuda::WRITE, CALLER); }
EXPORTED void __tsan_init() {}
EXPORTED void __tsan_func_entry(void *) {}
EXPORTED void __tsan_func_exit() {}

namespace {
struct SourceLocation { const char *file; uint32_t line, column; };                         // layouts of the compiler's
struct TypeDescriptor { uint16_t kind, info; char name[1]; };
struct TypeMismatch { SourceLocation where; TypeDescriptor *type; unsigned char log_alignment, access; };
struct OutOfBounds { SourceLocation where; TypeDescriptor *array, *index; };
const char *base_name(const char *path) {
    const char *slash = path ? strrchr(path, '/') : nullptr;
    return slash ? slash + 1 : path ? path : "?";
}
}  // namespace

EXPORTED void __ubsan_handle_type_mismatch_v1(TypeMismatch *what, uintptr_t address) {
    const char *file = base_name(what->where.file);
    if (!address)
        hostcuda::fail("out of bounds", "out of bounds: a null pointer to %s is used (%s:%u)", what->type->name, file, what->where.line);
    hostcuda::fail("misaligned", "misaligned: an access to %s at an address that is no multiple of %u bytes (%s:%u)",
                   what->type->name, 1u << what->log_alignment, file, what->where.line);
}
EXPORTED void __ubsan_handle_out_of_bounds(OutOfBounds *what, uintptr_t index) {
    hostcuda::fail("out of bounds", "out of bounds: index %ld of an array of type %s (%s:%u)", long(int(index)),
                   what->array->name, base_name(what->where.file), what->where.line);
}
EXPORTED void __ubsan_handle_divrem_overflow(SourceLocation *where, uintptr_t, uintptr_t) {
    hostcuda::fail("division by zero", "an integer division by zero, or of the smallest int by -1 (%s:%u)", base_name(where->file), where->line);
}
