// Shared by machine.cpp (fibers, barriers, launch), guards.cpp (arguments, signals) and memory_checks.cpp (loads and
// stores).
#pragma once
#include "hostcuda.h"

namespace hostcuda {

// An array argument of the launch, as the kernel sees it.
struct Region {
    char *start;
    size_t bytes;
    void **pointer;                     // the argument itself; null for an array that is no argument
    const char *name;                   // the parameter's name
    unsigned item;                      // bytes of an element
    int writable;
};

// The launch that Python asks for, and its result.  launch.py mirrors this struct field by field.
struct Launch {
    unsigned grid[3], block[3];
    size_t shared;                      // bytes of dynamic shared memory
    int order;                          // 0 forward, 1 reverse, 2 random
    unsigned seed;                      // of the random order
    void **arguments;
    Region *regions;                    // the arrays among them
    int region_count;
    int guard;                          // let the kernel work on copies that end at a forbidden page
    // the result
    int failed;
    unsigned fail_block[3], fail_thread[3];
    char kind[40], message[600];
    size_t code_offset;                 // of the failing instruction in this library, 0 if unknown: Python finds its line
    size_t static_shared;               // bytes of __shared__ variables that the launch reached
    unsigned long switches;
};

constexpr int MAX_THREADS = 1024, MAX_WARPS = MAX_THREADS / 32;
constexpr size_t STACK = 128 << 10;     // of a fiber
constexpr size_t SHARED_LIMIT = 227 << 10;                    // of one block, sm_90

enum State : unsigned char { NOT_STARTED, READY, AT_BARRIER, IN_WARP, RETURNED };

struct Stack { char *low, *high; };

struct alignas(64) Thread {             // one cache line: a switch touches no more
    void *stack_pointer;                // where it continues; its registers are saved there
    Stack *stack;
    const char *waits_for;              // the instruction
    Place place;
    uint3 index;                        // threadIdx
    uint32_t mask;                      // of the warp instruction it waits for
    State state;
};

extern Thread threads[MAX_THREADS];
extern int current, thread_count;       // the running fiber
extern Launch *launch;                  // the running launch, or null
extern unsigned interval;               // counts barriers and blocks: see memory_checks.cpp
extern unsigned warp_meetings[MAX_WARPS];   // __syncwarps completed by each warp

// Shared memory of the block: static variables from the start of one area, dynamic memory in another.
constexpr size_t STATIC_AREA = 512 << 10;
extern char static_shared[], dynamic_shared[];
struct PlacedVariable { const SharedVariable *variable; size_t start, size; };
extern PlacedVariable placed[];
extern int placed_count;

[[noreturn]] void fail_at(size_t code, const char *kind, const char *format, ...) __attribute__((format(printf, 3, 4)));
size_t code_offset(const void *code);   // of an instruction, from the start of this library
bool in_this_library(uintptr_t address);
bool in_a_stack(uintptr_t address);     // of any fiber
void describe_address(char *text, size_t room, uintptr_t address, size_t bytes);

// guards.cpp
extern size_t page;                     // bytes of a page of memory
void catch_signals();
void leave_signals();
void guard_arguments();
void return_arguments();

// memory_checks.cpp
void start_launch_checks();
void start_block_checks();

}  // namespace hostcuda
