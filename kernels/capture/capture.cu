// The numbers of a training step for a CUDA graph that reads them: rates, counters, weights.
//
// They travel as arguments of this launch.  A copy from the host would need pinned memory that may not be written again
// before the copy is done, and so something to wait for.
#include "common.cuh"

typedef unsigned long long word;

// out[i] = the i-th of `count` words
extern "C" __global__ void set_words(word *out, int count, word w0, word w1, word w2, word w3, word w4, word w5, word w6,
                                     word w7, word w8, word w9, word w10, word w11, word w12, word w13, word w14,
                                     word w15) {
    const word words[] = {w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, w14, w15};
    int i = threadIdx.x;
    if (i < count) out[i] = words[i];
}
