// Adam and AdamW in float32, in place: reads p, g, m, v and writes p, m, v once, 28 bytes an element.
//
//   kernel              one thread computes   what it adds
//   adam_one_pass       one element           one pass instead of the formula's twelve; one launch per parameter
//   adam_multi_tensor   4 x 4 elements        one launch for all parameters; float4, four of them in flight at once
//
// There is almost nothing to compute.  What counts is how many bytes are in flight at any time, and how often a
// launch is paid for: a network has a hundred parameters, most of them biases and scales of a few hundred elements.
#include "array_table.cuh"

// beta1, 1 - beta1, ...; correction = 1 / sqrt(1 - beta2^step), rate = lr / (1 - beta1^step); decay is Adam's weight
// decay, shrink = 1 - lr * weight decay is AdamW's.
struct AdamStep {
    float beta1, rest1, beta2, rest2, correction, eps, rate, decay, shrink;

    // m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g²,  p <- p - rate m / (sqrt(v) correction + eps)
    __device__ __forceinline__ void update(float &p, float g, float &m, float &v) const {
        float value = p * shrink;
        g += decay * value;
        m = beta1 * m + rest1 * g;
        v = beta2 * v + rest2 * (g * g);
        p = value - rate * (m / (sqrtf(v) * correction + eps));
    }
};

extern "C" __global__ void adam_one_pass(float *p, const float *g, float *m, float *v, long long n, float beta1,
                                         float rest1, float beta2, float rest2, float correction, float eps,
                                         float rate, float decay, float shrink) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    AdamStep step{beta1, rest1, beta2, rest2, correction, eps, rate, decay, shrink};
    if (i < n) step.update(p[i], g[i], m[i], v[i]);
}

// `table`: rows of p, g, m, v.  `changing`: correction, rate and shrink in the device's memory, or null.
extern "C" __global__ void __launch_bounds__(TABLE_THREADS)
    adam_multi_tensor(const long long *table, int count, float beta1, float rest1, float beta2, float rest2,
                      float correction, float eps, float rate, float decay, float shrink, const float *changing) {
    if (changing) correction = changing[0], rate = changing[1], shrink = changing[2];
    AdamStep step{beta1, rest1, beta2, rest2, correction, eps, rate, decay, shrink};
    Chunk<4> chunk(table, count);
    float *p = chunk.x[0], *m = chunk.x[2], *v = chunk.x[3];
    const float *g = chunk.x[1];
    if (!chunk.in_quads()) {
        for (int i = threadIdx.x; i < chunk.left; i += TABLE_THREADS) step.update(p[i], g[i], m[i], v[i]);
        return;
    }
    float4 ps[QUADS], gs[QUADS], ms[QUADS], vs[QUADS];
#pragma unroll
    for (int q = 0; q < QUADS; ++q) {
        int i = (q * TABLE_THREADS + threadIdx.x) * 4;
        ps[q] = load4(p + i), gs[q] = load4(g + i), ms[q] = load4(m + i), vs[q] = load4(v + i);
    }
#pragma unroll
    for (int q = 0; q < QUADS; ++q) {
        int i = (q * TABLE_THREADS + threadIdx.x) * 4;
        step.update(ps[q].x, gs[q].x, ms[q].x, vs[q].x);
        step.update(ps[q].y, gs[q].y, ms[q].y, vs[q].y);
        step.update(ps[q].z, gs[q].z, ms[q].z, vs[q].z);
        step.update(ps[q].w, gs[q].w, ms[q].w, vs[q].w);
        store4(p + i, ps[q]), store4(m + i, ms[q]), store4(v + i, vs[q]);
    }
}
