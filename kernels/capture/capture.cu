// The numbers of a training step for a CUDA graph that reads them: rates, counters, weights.
//
// They travel as arguments of this launch.  A copy from the host would need pinned memory that may not be written again
// before the copy is done, and so something to wait for.
#include "common.cuh"

// out[i] = the i-th of `count` words
extern "C" __global__ void set_words(unsigned long long *out, int count,
                                      unsigned long long w0, unsigned long long w1, unsigned long long w2,
                                      unsigned long long w3, unsigned long long w4, unsigned long long w5,
                                      unsigned long long w6, unsigned long long w7, unsigned long long w8,
                                      unsigned long long w9, unsigned long long w10, unsigned long long w11,
                                      unsigned long long w12, unsigned long long w13, unsigned long long w14,
                                      unsigned long long w15) {
    const unsigned long long words[] = {w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, w14, w15};
    int i = threadIdx.x;
    if (i < count) out[i] = words[i];
}
