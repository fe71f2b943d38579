// Losses of logits and their gradients in float32.
//
//   kernel                    one thread computes     bytes per element
//   bce_with_logits           4 elements              12: x and the target are read, the loss is written
//   bce_with_logits_grad      4 elements              16; 12 if g is one number (bce_with_logits_grad_of_sum)
//   cross_entropy             a 32nd of a row         4: a warp reads a row twice, the second time from cache
//   cross_entropy_grad        a 32nd of a row         8: x is read, gx is written
//
// Cross-entropy keeps two numbers per row, the maximum m and log Σ exp(x - m), from which the gradient recomputes the
// softmax: rows of probabilities are never stored.  No two threads write to the same place: a loss belongs to one row,
// and the 1 at the class is subtracted where the row is written.
#include "elementwise.cuh"

using elementwise::each, elementwise::THREADS;

// -t log p - (1 - t) log(1 - p) = max(x, 0) - x t + log(1 + exp(-|x|)), p = sigmoid(x)
extern "C" __global__ void __launch_bounds__(THREADS)
    bce_with_logits(const float *x, const float *target, float *loss, long long n) {
    each([](float x, float t) { return fmaxf(x, 0.0f) - x * t + log1pf(expf(-fabsf(x))); }, loss, n, x, target);
}

// gx = g (sigmoid(x) - target)
extern "C" __global__ void __launch_bounds__(THREADS)
    bce_with_logits_grad(const float *g, const float *x, const float *target, float *gx, long long n) {
    each([](float g, float x, float t) { return g * (sigmoid_of(x) - t); }, gx, n, g, x, target);
}

// g is one number, as in the gradient of a sum or a mean.
extern "C" __global__ void __launch_bounds__(THREADS)
    bce_with_logits_grad_of_sum(const float *g, const float *x, const float *target, float *gx, long long n) {
    float all = *g;
    each([all](float x, float t) { return all * (sigmoid_of(x) - t); }, gx, n, x, target);
}

// One warp per row; all threads of a warp stay to the end.
__device__ __forceinline__ int row_of_warp() { return blockIdx.x * (THREADS / 32) + threadIdx.x / 32; }

// fmaxf would drop nan; a row that contains nan has nan as its maximum.
__device__ __forceinline__ float larger(float a, float b) { return a > b || a != a ? a : b; }

// x (rows, C), index, weight (rows,), index -1 for rows that do not count -> loss, most, log_sum (rows,)
extern "C" __global__ void __launch_bounds__(THREADS)
    cross_entropy(const float *x, const long long *index, const float *weight, float *loss, float *most,
                  float *log_sum, int rows, int C) {
    int row = row_of_warp(), lane = threadIdx.x % 32;
    if (row >= rows) return;
    x += (long long)row * C;
    float m = -infinity(), sum = 0.0f;
    for (int c = lane; c < C; c += 32) m = larger(x[c], m);
    for (int distance = 16; distance > 0; distance /= 2) m = larger(m, __shfl_xor_sync(FULL_WARP, m, distance));
    for (int c = lane; c < C; c += 32) sum += expf(x[c] - m);
    float log_of = logf(warp_sum(sum));
    if (lane > 0) return;
    long long at = index[row];
    loss[row] = at < 0 ? 0.0f : (log_of - (x[at] - m)) * weight[row];
    most[row] = m, log_sum[row] = log_of;
}

// gx = g weight (softmax(x) - 1 at the class), and 0 in rows that do not count, even if g is infinite
extern "C" __global__ void __launch_bounds__(THREADS)
    cross_entropy_grad(const float *g, const float *x, const long long *index, const float *weight,
                       const float *most, const float *log_sum, float *gx, int rows, int C) {
    int row = row_of_warp(), lane = threadIdx.x % 32;
    if (row >= rows) return;
    x += (long long)row * C, gx += (long long)row * C;
    int at = (int)index[row];
    float h = at < 0 ? 0.0f : g[row] * weight[row], m = most[row], log_of = log_sum[row];
    for (int c = lane; c < C; c += 32) {
        float p = expf((x[c] - m) - log_of) * h;
        gx[c] = c == at ? p - h : p;
    }
}
