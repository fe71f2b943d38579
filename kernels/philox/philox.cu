// Philox4x32-10 on the GPU: numbers as a function of a counter, made in registers and written once.
//
//   kernel                one thread computes             written; read
//   philox_words          a block: 4 words                16 bytes
//   philox_uniforms       4 float32 in [0, 1)             16 bytes
//   philox_normals        4 float32, two pairs            16 bytes
//   philox_normals64      4 float64, two pairs            32 bytes
//   philox_bernoullis     4 comparisons, 0 or 1           16 bytes; 16 bytes of p
//
// Nothing is shared and no order has to be kept: thread i needs only i.  Array operations would write and read the
// counters of every round, in about a hundred launches.  Here ten rounds take about a hundred instructions, nothing
// is read and 16 bytes are written, so on a large GPU memory bandwidth is the limit.
//
// Words, uniforms and Bernoulli draws have the CPU's bits.  Normals follow the CPU's formula in double and differ
// only by the last digit of the logarithm: in float32, rounded once, almost never.  On consumer GPUs double precision
// runs at 1/64 of the speed of float; a normal takes about 35 such operations.
#include "common.cuh"

// As in kernels/philox/reference.py: the key is the seed, the counter is block, purpose, step.  Where `step` is not null
// it points to the low and the high word of the step: a CUDA graph has its arguments for good, but not what they point to.
struct Stream {
    unsigned key_low, key_high, first_block, purpose, step_low, step_high;

    __device__ __forceinline__ Stream(unsigned key_low, unsigned key_high, unsigned first_block, unsigned purpose,
                                      unsigned step_low, unsigned step_high, const unsigned *step)
        : key_low(key_low), key_high(key_high), first_block(first_block), purpose(purpose),
          step_low(step ? step[0] : step_low), step_high(step ? step[1] : step_high) {}

    // The four words of block i: ten rounds of two 32 x 32 -> 64 bit products.
    __device__ __forceinline__ uint4 block(long long i) const {
        uint4 c = make_uint4(first_block + (unsigned)i, purpose, step_low, step_high);
        unsigned k0 = key_low, k1 = key_high;
#pragma unroll
        for (int round = 0; round < 10; ++round) {
            c = make_uint4(__umulhi(0xCD9E8D57u, c.z) ^ c.y ^ k0, 0xCD9E8D57u * c.z,
                           __umulhi(0xD2511F53u, c.x) ^ c.w ^ k1, 0xD2511F53u * c.x);
            k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
        }
        return c;
    }
};

__device__ __forceinline__ long long thread_of_grid() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }

// The upper 24 bits, as many as float32 holds; both operations are exact.
__device__ __forceinline__ float uniform(unsigned word) { return (float)(word >> 8) * (1.0f / (1 << 24)); }

__device__ __forceinline__ float4 uniforms(uint4 w) {
    return make_float4(uniform(w.x), uniform(w.y), uniform(w.z), uniform(w.w));
}

// Box-Muller: r cos(2 pi u2) and r sin(2 pi u2), r = sqrt(-2 ln u1), u1 = (a + 1) 2^-32, u2 = b 2^-32.  The angle is
// the nearest quarter turn, exactly, plus a rest |t| <= pi/4, computed by its Taylor series, highest powers first.
__device__ __forceinline__ double2 normals(unsigned a, unsigned b) {
    constexpr double COSINE[] = {1 / 20922789888000.0, -1 / 87178291200.0, 1 / 479001600.0, -1 / 3628800.0,
                                 1 / 40320.0,          -1 / 720.0,         1 / 24.0,        -1 / 2.0,
                                 1.0};
    constexpr double SINE[] = {1 / 355687428096000.0, -1 / 1307674368000.0, 1 / 6227020800.0, -1 / 39916800.0,
                               1 / 362880.0,          -1 / 5040.0,          1 / 120.0,        -1 / 6.0,
                               1.0};
    unsigned quarter = (b + (1u << 29)) >> 30;  // wraps: b near a full turn counts as quarter 0
    double t = (int)(b - (quarter << 30)) * (6.283185307179586 / 4294967296.0), tt = t * t;
    double cosine = COSINE[0], sine = SINE[0];
#pragma unroll
    for (int k = 1; k < 9; ++k) cosine = cosine * tt + COSINE[k], sine = sine * tt + SINE[k];
    sine *= t;
    double r = sqrt(-2.0 * log((a + 1.0) * (1.0 / 4294967296.0)));
    double x = quarter & 1 ? sine : cosine, y = quarter & 1 ? cosine : sine;
    return make_double2(r * ((quarter + 1) & 2 ? -x : x), r * (quarter & 2 ? -y : y));
}

// `out`: four numbers for each of `blocks`, on a 16-byte boundary.
extern "C" __global__ void philox_words(uint4 *out, long long blocks, unsigned key_low, unsigned key_high,
                                        unsigned first_block, unsigned purpose, unsigned step_low,
                                        unsigned step_high, const unsigned *step) {
    Stream stream(key_low, key_high, first_block, purpose, step_low, step_high, step);
    long long i = thread_of_grid();
    if (i < blocks) out[i] = stream.block(i);
}

extern "C" __global__ void philox_uniforms(float4 *out, long long blocks, unsigned key_low, unsigned key_high,
                                           unsigned first_block, unsigned purpose, unsigned step_low,
                                           unsigned step_high, const unsigned *step) {
    Stream stream(key_low, key_high, first_block, purpose, step_low, step_high, step);
    long long i = thread_of_grid();
    if (i < blocks) out[i] = uniforms(stream.block(i));
}

extern "C" __global__ void philox_normals(float4 *out, long long blocks, unsigned key_low, unsigned key_high,
                                          unsigned first_block, unsigned purpose, unsigned step_low,
                                          unsigned step_high, const unsigned *step) {
    Stream stream(key_low, key_high, first_block, purpose, step_low, step_high, step);
    long long i = thread_of_grid();
    if (i >= blocks) return;
    uint4 w = stream.block(i);
    double2 first = normals(w.x, w.y), second = normals(w.z, w.w);
    out[i] = make_float4((float)first.x, (float)first.y, (float)second.x, (float)second.y);
}

extern "C" __global__ void philox_normals64(double2 *out, long long blocks, unsigned key_low, unsigned key_high,
                                            unsigned first_block, unsigned purpose, unsigned step_low,
                                            unsigned step_high, const unsigned *step) {
    Stream stream(key_low, key_high, first_block, purpose, step_low, step_high, step);
    long long i = thread_of_grid();
    if (i >= blocks) return;
    uint4 w = stream.block(i);
    out[2 * i] = normals(w.x, w.y);
    out[2 * i + 1] = normals(w.z, w.w);
}

// out[j] = 1 where the stream's j-th uniform is below p[j], else 0, for j < n.
extern "C" __global__ void philox_bernoullis(const float *p, float *out, long long n, unsigned key_low,
                                             unsigned key_high, unsigned first_block, unsigned purpose,
                                             unsigned step_low, unsigned step_high, const unsigned *step) {
    Stream stream(key_low, key_high, first_block, purpose, step_low, step_high, step);
    long long i = thread_of_grid(), j = 4 * i;
    if (j >= n) return;
    float4 u = uniforms(stream.block(i));
    if (j + 4 <= n && in_fours(p) && in_fours(out)) {
        float4 v = load4(p + j);
        store4(out + j, make_float4(u.x < v.x, u.y < v.y, u.z < v.z, u.w < v.w));
        return;
    }
    float four[] = {u.x, u.y, u.z, u.w};
#pragma unroll
    for (int k = 0; k < 4; ++k)
        if (j + k < n) out[j + k] = four[k] < p[j + k];
}
