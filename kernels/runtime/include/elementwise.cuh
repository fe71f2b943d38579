// y[i] = f(x[i], ...) in one pass: everything is read once and written once.  The arithmetic takes less time than the
// memory traffic, so speed depends on how many bytes are in flight: a thread loads four numbers in one instruction, and
// the eight blocks of 256 threads that share a multiprocessor have 32 kilobytes in flight.
#pragma once
#include "common.cuh"

namespace elementwise {

constexpr int THREADS = 256, CHUNK = 4 * THREADS;  // numbers per block

template <class F, class... Fours>
__device__ __forceinline__ float4 apply(F f, Fours... v) {
    return make_float4(f(v.x...), f(v.y...), f(v.z...), f(v.w...));
}

// Called by the whole grid: block b takes CHUNK of the n numbers, from b CHUNK on.  The last block, and arrays that
// are not on a 16-byte boundary, go one number at a time; neighboring threads take neighboring numbers.
template <class F, class... Inputs>
__device__ __forceinline__ void each(F f, float *y, long long n, const Inputs *...x) {
    long long start = (long long)blockIdx.x * CHUNK;
    int left = (int)min((long long)CHUNK, n - start);
    if (left == CHUNK && in_fours(y) && (... && in_fours(x))) {
        long long i = start + 4 * threadIdx.x;
        store4(y + i, apply(f, load4(x + i)...));
        return;
    }
    for (int i = threadIdx.x; i < left; i += THREADS) y[start + i] = f(x[start + i]...);
}

}  // namespace elementwise

// 1 / (1 + exp(-x)); for negative x, exp(x) / (1 + exp(x)), so that nothing overflows.
__device__ __forceinline__ float sigmoid_of(float x) {
    float small = expf(-fabsf(x));
    return (x >= 0.0f ? 1.0f : small) / (1.0f + small);
}
