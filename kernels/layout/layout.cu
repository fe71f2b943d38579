// Gathering numbers that are scattered over many small arrays, such as the losses of a step.
#include "common.cuh"

constexpr int THREADS = 128;

// out[first:] = the elements of eight arrays, one array after the other.  A thread copies one: it reads 4 bytes, writes 8.
// to0 ... to7: where each ends.  Absent arrays come last and end where the last one ends.
extern "C" __global__ void __launch_bounds__(THREADS)
    collect(const float *a0, const float *a1, const float *a2, const float *a3, const float *a4, const float *a5,
            const float *a6, const float *a7, int to0, int to1, int to2, int to3, int to4, int to5, int to6, int to7,
            double *out, long long first) {
    int i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= to7) return;
    const float *array = a0;
    int begin = 0;
    if (i >= to0) array = a1, begin = to0;
    if (i >= to1) array = a2, begin = to1;
    if (i >= to2) array = a3, begin = to2;
    if (i >= to3) array = a4, begin = to3;
    if (i >= to4) array = a5, begin = to4;
    if (i >= to5) array = a6, begin = to5;
    if (i >= to6) array = a7, begin = to6;
    out[first + i] = array[i - begin];
}
