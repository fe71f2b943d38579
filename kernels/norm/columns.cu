// Batch norm of x (N, C) in float32, where a channel is a column: a block of 32 x 8 threads takes 32 neighboring
// columns, so that a warp reads 32 neighbors of a row.  Its eight warps share the rows and add up their sums in order.
//
//   kernel                   bytes per element, once x is in a cache   launches
//   normalize_columns        8: x read (three times), y written        1
//   normalize_grad_columns   12: g and x read (twice), gx written      1, with the gradients of weight and bias
#include "common.cuh"

constexpr int COLUMNS = 32, ROWS = 8;

// The sum of v over the eight threads of a column, in all of them.  `scratch` is free again when the call returns.
__device__ __forceinline__ float column_sum(float v, float (&scratch)[ROWS][COLUMNS]) {
    scratch[threadIdx.y][threadIdx.x] = v;
    __syncthreads();
    float total = 0;
    for (int r = 0; r < ROWS; ++r) total += scratch[r][threadIdx.x];
    __syncthreads();
    return total;
}

// y (N, C), mean and var (C,); weight and bias (C,) or null
extern "C" __global__ void __launch_bounds__(COLUMNS * ROWS)
    normalize_columns(const float *x, const float *weight, const float *bias, float *y, float *mean, float *var, int N,
                      int C, float eps) {
    __shared__ float scratch[ROWS][COLUMNS];
    int c = blockIdx.x * COLUMNS + threadIdx.x, rows = c < C ? N : 0;  // all threads reach the barriers
    // the first number and the mean distance from it: the mean of equal numbers is that number, and their variance 0
    float first = rows ? x[c] : 0, sum = 0, squares = 0;
    if (!(first - first == 0)) first = 0;  // inf or nan
    for (int n = threadIdx.y; n < rows; n += ROWS) sum += x[(long long)n * C + c] - first;
    float middle = first + column_sum(sum, scratch) / N;
    for (int n = threadIdx.y; n < rows; n += ROWS) {
        float apart = x[(long long)n * C + c] - middle;
        squares += apart * apart;
    }
    float variance = column_sum(squares, scratch) / N, rstd = 1 / sqrtf(variance + eps);
    if (c >= C) return;
    float scale = weight ? weight[c] : 1, shift = bias ? bias[c] : 0;
    for (int n = threadIdx.y; n < N; n += ROWS) {
        long long i = (long long)n * C + c;
        y[i] = (x[i] - middle) * rstd * scale + shift;
    }
    if (threadIdx.y == 0) mean[c] = middle, var[c] = variance;
}

// gx = (h - mean(h) - n mean(h n)) rstd, h = g weight, n = (x - mean) rstd; gweight = Σ g n and gbias = Σ g, or null
extern "C" __global__ void __launch_bounds__(COLUMNS * ROWS)
    normalize_grad_columns(const float *g, const float *x, const float *weight, const float *mean, const float *var,
                           float *gx, float *gweight, float *gbias, int N, int C, float eps) {
    __shared__ float scratch[ROWS][COLUMNS];
    int c = blockIdx.x * COLUMNS + threadIdx.x, rows = c < C ? N : 0;
    float middle = c < C ? mean[c] : 0, rstd = c < C ? 1 / sqrtf(var[c] + eps) : 0;
    float sum = 0, sum_n = 0;
    for (int n = threadIdx.y; n < rows; n += ROWS) {
        long long i = (long long)n * C + c;
        sum += g[i], sum_n += g[i] * ((x[i] - middle) * rstd);
    }
    sum = column_sum(sum, scratch), sum_n = column_sum(sum_n, scratch);
    if (c >= C) return;
    float scale = weight ? weight[c] : 1;
    for (int n = threadIdx.y; n < N; n += ROWS) {
        long long i = (long long)n * C + c;
        gx[i] = (g[i] - sum / N - (x[i] - middle) * rstd * (sum_n / N)) * scale * rstd;
    }
    if (threadIdx.y == 0 && gweight) gweight[c] = sum_n, gbias[c] = sum;
}
