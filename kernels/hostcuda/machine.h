// What machine.cpp (fibers, barriers, launch) and memory_checks.cpp (every load and store) know together.
#pragma once
#include "hostcuda.h"

namespace hostcuda {

// An array argument of the launch, as the kernel sees it.
struct Region {
    char *start;
    size_t bytes;
    const char *name;                   // the parameter's name
    unsigned item;                      // bytes of an element
    int writable;
};

// The launch as Python asks for it, and its answer.  __init__.py mirrors this struct field by field.
struct Launch {
    unsigned grid[3], block[3];
    size_t shared;                      // bytes of dynamic shared memory
    int order;                          // 0 forward, 1 reverse, 2 random
    unsigned seed;                      // of the random order
    void **arguments;
    const Region *regions;
    int region_count;
    // the answer
    int failed;
    unsigned fail_block[3], fail_thread[3];
    char kind[40], message[600];
    size_t code_offset;                 // of the failing instruction in this library, 0 if unknown: Python finds its line
    size_t static_shared;               // bytes of __shared__ variables that the launch met
    unsigned long switches;
};

constexpr int MAX_THREADS = 1024, MAX_WARPS = MAX_THREADS / 32;
constexpr size_t SHARED_LIMIT = 227 << 10;                    // of one block, sm_90

enum State { NOT_STARTED, READY, AT_BARRIER, IN_WARP, RETURNED };

struct Stack { char *low, *high; };

struct Thread {
    void *stack_pointer;                // where it goes on; its registers lie there
    Stack *stack;
    State state;
    uint3 index;                        // threadIdx
    const char *waits_for;              // the instruction
    Place place;
    uint32_t mask;                      // of the warp instruction it waits for
    Votes votes;                        // the barrier's answer
};

extern Thread threads[MAX_THREADS];
extern int current, thread_count;       // the fiber whose turn it is
extern Launch *launch;                  // the running launch, or null
extern unsigned barriers_passed;        // by the block
extern unsigned warp_meetings[MAX_WARPS];   // __syncwarps completed by each warp

// Shared memory of the block: static variables grow from the start, dynamic memory has a place of its own.
extern char static_shared[], dynamic_shared[];
struct PlacedVariable { const SharedVariable *variable; size_t start, size; };
extern PlacedVariable placed[];
extern int placed_count;

[[noreturn]] void fail_at(size_t code, const char *kind, const char *format, ...) __attribute__((format(printf, 3, 4)));
size_t describe_address(char *text, size_t room, uintptr_t address, size_t bytes);
void start_block_checks();
void start_launch_checks();

}  // namespace hostcuda
