// A program that runs one launch under AddressSanitizer and UndefinedBehaviorSanitizer: sanitize.py builds and starts it.
//
//     program JOB RESULT
//
// JOB holds the launch and its arguments as sanitize.py writes them.  Each array becomes one allocation, so that
// the sanitizer knows where it ends.  RESULT gets the arrays as the kernel leaves them.
#include "machine.h"

#include <stdlib.h>

using hostcuda::Kernel;
using hostcuda::Launch;
using hostcuda::Region;

extern "C" const Kernel *const hostcuda_kernels[];            // ends with a null; build.py appends it to the kernels
extern "C" int hostcuda_launch(const Kernel *what, Launch *how);

// The thread that is running when a sanitizer reports.
static void name_the_thread() {
    static bool told;
    if (told || !hostcuda::launch) return;
    told = true;
    fprintf(stderr, "\nhostcuda-thread %u %u %u %u %u %u\n", blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
}
#define CALLED_BY_THE_SANITIZER extern "C" __attribute__((visibility("default")))
CALLED_BY_THE_SANITIZER void __ubsan_on_report() { name_the_thread(); }
CALLED_BY_THE_SANITIZER void __asan_on_error() { name_the_thread(); }

static void read(void *to, size_t bytes, FILE *file) {
    if (bytes && fread(to, 1, bytes, file) != bytes) fprintf(stderr, "the job is cut short\n"), exit(4);
}
static uint64_t number(FILE *file) {
    uint64_t value;
    read(&value, 8, file);
    return value;
}
static char *text(FILE *file) {
    size_t length = number(file);
    char *value = static_cast<char *>(calloc(length + 1, 1));
    read(value, length, file);
    return value;
}

int main(int count, char **words) {
    FILE *job = count == 3 ? fopen(words[1], "rb") : nullptr;
    if (!job) return fprintf(stderr, "usage: %s JOB RESULT\n", words[0]), 4;
    const char *name = text(job);
    static Launch launch;
    for (unsigned &n : launch.grid) n = unsigned(number(job));
    for (unsigned &n : launch.block) n = unsigned(number(job));
    launch.shared = number(job);
    launch.order = int(number(job));
    launch.seed = unsigned(number(job));

    // First the memory (overlapping arrays share one piece), then the arguments: values, or places in that memory.
    static char *memory[64];
    static size_t size[64];
    size_t pieces = number(job);
    for (size_t i = 0; i < pieces; i++) {
        size[i] = number(job);
        memory[i] = static_cast<char *>(malloc(size[i]));
        read(memory[i], size[i], job);
    }
    static void *arguments[128], *pointers[128];
    size_t arguments_count = number(job);
    for (size_t i = 0; i < arguments_count; i++) {
        size_t piece = number(job), offset = number(job);     // pieces: a value of `offset` bytes; pieces + 1: null
        arguments[i] = &pointers[i];
        if (piece < pieces) pointers[i] = memory[piece] + offset;
        if (piece == pieces) arguments[i] = aligned_alloc(64, (offset + 63) / 64 * 64), read(arguments[i], offset, job);
    }
    for (size_t left = number(job); left; left--) {            // addresses stored in the memory
        size_t piece = number(job), offset = number(job), target = number(job);
        char *address = memory[target] + number(job);
        memcpy(memory[piece] + offset, &address, sizeof address);
    }
    launch.arguments = arguments;

    const Kernel *kernel = hostcuda_kernels[0];
    for (int i = 0; kernel && strcmp(kernel->name, name); i++) kernel = hostcuda_kernels[i + 1];
    if (!kernel) return fprintf(stderr, "no kernel %s\n", name), 4;
    if (hostcuda_launch(kernel, &launch)) {
        fprintf(stderr, "hostcuda-thread %u %u %u %u %u %u\nhostcuda-error %s: %s\n", launch.fail_block[0], launch.fail_block[1],
                launch.fail_block[2], launch.fail_thread[0], launch.fail_thread[1], launch.fail_thread[2], launch.kind, launch.message);
        return 3;
    }
    FILE *result = fopen(words[2], "wb");
    for (size_t i = 0; i < pieces; i++) fwrite(memory[i], 1, size[i], result);
    return fclose(result) ? 4 : 0;
}
