// Activations and their gradients in float32, one pass each.
//
//   kernel       one thread computes   bytes per element
//   NAME         4 elements            8: x read, y written
//   NAME_grad    4 elements            12: g and x (or y) read, gx written
//
// The rung below is the reference on a GPU: one launch for each operation of the formula, each reading and writing
// whole arrays.  A gradient computes its exponential again instead of reading it from memory: arithmetic is cheap,
// memory is not.  The formulas are those of kernels/activation/reference.py.
#include "elementwise.cuh"

using elementwise::each, elementwise::THREADS;

extern "C" __global__ void __launch_bounds__(THREADS) sigmoid(const float *x, float *y, long long n) {
    each([](float x) { return sigmoid_of(x); }, y, n, x);
}

// gx = g y (1 - y)
extern "C" __global__ void __launch_bounds__(THREADS)
    sigmoid_grad(const float *g, const float *y, float *gx, long long n) {
    each([](float g, float y) { return g * (y * (1.0f - y)); }, gx, n, g, y);
}

extern "C" __global__ void __launch_bounds__(THREADS) silu(const float *x, float *y, long long n) {
    each([](float x) { return x * sigmoid_of(x); }, y, n, x);
}

// gx = g p (1 + x (1 - p)), p = sigmoid(x)
extern "C" __global__ void __launch_bounds__(THREADS)
    silu_grad(const float *g, const float *x, float *gx, long long n) {
    each(
        [](float g, float x) {
            float p = sigmoid_of(x);
            return g * (p * (1.0f + x * (1.0f - p)));
        },
        gx, n, g, x);
}

// The normal distribution function: (1 + erf(x / sqrt 2)) / 2
__device__ __forceinline__ float normal_below(float x) { return 0.5f * (1.0f + erff(x * 0.70710678f)); }

extern "C" __global__ void __launch_bounds__(THREADS) gelu(const float *x, float *y, long long n) {
    each([](float x) { return x * normal_below(x); }, y, n, x);
}

// gx = g (P(x) + x p(x)), p(x) = exp(-x²/2) / sqrt(2 pi) the normal density
extern "C" __global__ void __launch_bounds__(THREADS)
    gelu_grad(const float *g, const float *x, float *gx, long long n) {
    each([](float g, float x) { return g * (normal_below(x) + x * (expf(-0.5f * x * x) * 0.39894228f)); }, gx, n, g,
         x);
}

constexpr float TANH_SCALE = 0.7978845608f, TANH_CUBIC = 0.044715f;  // sqrt(2 / pi)

__device__ __forceinline__ float tanh_of(float x) { return tanhf(TANH_SCALE * (x + TANH_CUBIC * x * x * x)); }

// x (1 + tanh u) / 2, u = sqrt(2 / pi) (x + 0.044715 x³)
extern "C" __global__ void __launch_bounds__(THREADS) gelu_tanh(const float *x, float *y, long long n) {
    each([](float x) { return 0.5f * x * (1.0f + tanh_of(x)); }, y, n, x);
}

// gx = g ((1 + t) + x (1 - t²) du/dx) / 2, t = tanh u
extern "C" __global__ void __launch_bounds__(THREADS)
    gelu_tanh_grad(const float *g, const float *x, float *gx, long long n) {
    each(
        [](float g, float x) {
            float t = tanh_of(x), slope = TANH_SCALE * (1.0f + 3.0f * TANH_CUBIC * x * x);
            return g * (0.5f * (1.0f + t + x * (1.0f - t * t) * slope));
        },
        gx, n, g, x);
}

// g where the output is positive or nan
extern "C" __global__ void __launch_bounds__(THREADS)
    relu_grad(const float *g, const float *y, float *gx, long long n) {
    each([](float g, float y) { return y <= 0.0f ? 0.0f : g; }, gx, n, g, y);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    leaky_relu(const float *x, float *y, long long n, float slope) {
    each([slope](float x) { return x > 0.0f ? x : x * slope; }, y, n, x);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    leaky_relu_grad(const float *g, const float *x, float *gx, long long n, float slope) {
    each([slope](float g, float x) { return x > 0.0f ? g : g * slope; }, gx, n, g, x);
}
