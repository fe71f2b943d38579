// Norm, clipping and moving average of all arrays of a list in float32, one launch for all of them.
//
//   kernel             one thread computes   bytes per element
//   squares_of_all     16 elements           4: read; a block writes the sum of its 4096 squares
//   norm_of_parts      a 256th               a thousandth of that: one block adds the sums in order
//   clip_all           16 elements           8: read and written; 0 if the norm is small enough
//   average_all        16 elements           12: both read, the average written
//
// Squares are added in double: the float32 square of a gradient of 1e20 would be infinite.  One conversion and one
// multiply-add per 4 bytes is less than even a GeForce, with a 64th of its throughput in double, computes while it
// reads.  No atomics: the same bits every time.
#include "array_table.cuh"

__device__ __forceinline__ double block_sum_of_doubles(double v) {
    __shared__ double of_warps[TABLE_THREADS / 32];
    for (int distance = 16; distance > 0; distance /= 2) v += __shfl_xor_sync(FULL_WARP, v, distance);
    if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = v;
    __syncthreads();
    double total = 0;
    for (int warp = 0; warp < TABLE_THREADS / 32; ++warp) total += of_warps[warp];
    return total;
}

__device__ __forceinline__ double square(float x) { return (double)x * (double)x; }

// parts (blocks,)
extern "C" __global__ void __launch_bounds__(TABLE_THREADS)
    squares_of_all(const long long *table, int count, double *parts) {
    Chunk<1> chunk(table, count);
    const float *x = chunk.x[0];
    double total = 0;
    if (chunk.in_quads()) {
        float4 v[QUADS];
#pragma unroll
        for (int q = 0; q < QUADS; ++q) v[q] = load4(x + (q * TABLE_THREADS + threadIdx.x) * 4);
#pragma unroll
        for (int q = 0; q < QUADS; ++q) total += (square(v[q].x) + square(v[q].y)) + (square(v[q].z) + square(v[q].w));
    } else {
        for (int i = threadIdx.x; i < chunk.left; i += TABLE_THREADS) total += square(x[i]);
    }
    total = block_sum_of_doubles(total);
    if (threadIdx.x == 0) parts[blockIdx.x] = total;
}

// One block: norm = sqrt(the sum of parts)
extern "C" __global__ void __launch_bounds__(TABLE_THREADS)
    norm_of_parts(const double *parts, int count, float *norm) {
    double total = 0;
    for (int i = threadIdx.x; i < count; i += TABLE_THREADS) total += parts[i];
    total = block_sum_of_doubles(total);
    if (threadIdx.x == 0) *norm = (float)sqrt(total);
}

// x <- x min(1, most / (norm + 1e-6))
extern "C" __global__ void __launch_bounds__(TABLE_THREADS)
    clip_all(const long long *table, int count, const float *norm, float most) {
    float factor = most / (*norm + 1e-6f);
    if (factor >= 1.0f) return;
    Chunk<1> chunk(table, count);
    float *x = chunk.x[0];
    if (chunk.in_quads()) {
        float4 v[QUADS];
#pragma unroll
        for (int q = 0; q < QUADS; ++q) v[q] = load4(x + (q * TABLE_THREADS + threadIdx.x) * 4);
#pragma unroll
        for (int q = 0; q < QUADS; ++q)
            store4(x + (q * TABLE_THREADS + threadIdx.x) * 4,
                   make_float4(v[q].x * factor, v[q].y * factor, v[q].z * factor, v[q].w * factor));
    } else {
        for (int i = threadIdx.x; i < chunk.left; i += TABLE_THREADS) x[i] *= factor;
    }
}

__device__ __forceinline__ float toward(float average, float x, float rest) { return average + rest * (x - average); }

// average <- average + rest (x - average); `changing`: rest in the device's memory, or null
extern "C" __global__ void __launch_bounds__(TABLE_THREADS)
    average_all(const long long *table, int count, float rest, const float *changing) {
    if (changing) rest = *changing;
    Chunk<2> chunk(table, count);
    float *average = chunk.x[0];
    const float *x = chunk.x[1];
    if (chunk.in_quads()) {
        float4 a[QUADS], v[QUADS];
#pragma unroll
        for (int q = 0; q < QUADS; ++q) {
            int i = (q * TABLE_THREADS + threadIdx.x) * 4;
            a[q] = load4(average + i), v[q] = load4(x + i);
        }
#pragma unroll
        for (int q = 0; q < QUADS; ++q)
            store4(average + (q * TABLE_THREADS + threadIdx.x) * 4,
                   make_float4(toward(a[q].x, v[q].x, rest), toward(a[q].y, v[q].y, rest),
                               toward(a[q].z, v[q].z, rest), toward(a[q].w, v[q].w, rest)));
    } else {
        for (int i = threadIdx.x; i < chunk.left; i += TABLE_THREADS) average[i] = toward(average[i], x[i], rest);
    }
}
