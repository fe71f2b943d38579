// What a kernel may rely on, one kernel for each; tests/cuda/test_hostcuda.py has the expected results.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#define FULL 0xffffffffu

extern "C" __global__ void indices(int *out) {
    int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    int *place = out + 6 * (block * int(blockDim.x * blockDim.y * blockDim.z) + thread);
    place[0] = blockIdx.x, place[1] = blockIdx.y, place[2] = blockIdx.z;
    place[3] = threadIdx.x, place[4] = threadIdx.y, place[5] = threadIdx.z;
}

// out (4, blockDim): one row for each kind of shuffle
extern "C" __global__ void shuffles(const float *x, float *out, int amount, int width) {
    int t = threadIdx.x, n = blockDim.x;
    out[t] = __shfl_sync(FULL, x[t], amount, width);
    out[n + t] = __shfl_up_sync(FULL, x[t], amount, width);
    out[2 * n + t] = __shfl_down_sync(FULL, x[t], amount, width);
    out[3 * n + t] = __shfl_xor_sync(FULL, x[t], amount, width);
}

// one part of the warp shuffles twice as often as the other
extern "C" __global__ void partial_masks(const long long *x, long long *out) {
    int t = threadIdx.x;
    long long v = x[t];
    if (t % 32 < 16) {
        v += __shfl_xor_sync(0x0000ffffu, v, 1);
        v += __shfl_xor_sync(0x0000ffffu, v, 2);
    } else v = __shfl_sync(0xffff0000u, v, 31);
    out[t] = v;
}

// out (8, blockDim)
extern "C" __global__ void votes(const int *x, unsigned *out) {
    int t = threadIdx.x, n = blockDim.x;
    out[t] = __ballot_sync(FULL, x[t] > 0);
    out[n + t] = __any_sync(FULL, x[t] > 0);
    out[2 * n + t] = __all_sync(FULL, x[t] > 0);
    out[3 * n + t] = __activemask();
    out[4 * n + t] = __match_any_sync(FULL, x[t]);
    out[5 * n + t] = __syncthreads_count(x[t] > 0);
    out[6 * n + t] = __syncthreads_or(x[t] > 0);
    out[7 * n + t] = __syncthreads_and(x[t] > 0);
}

// out (6, blockDim)
extern "C" __global__ void warp_reductions(const int *x, int *out) {
    int t = threadIdx.x, n = blockDim.x;
    out[t] = __reduce_add_sync(FULL, x[t]);
    out[n + t] = __reduce_min_sync(FULL, x[t]);
    out[2 * n + t] = __reduce_max_sync(FULL, x[t]);
    out[3 * n + t] = __reduce_and_sync(FULL, unsigned(x[t]));
    out[4 * n + t] = __reduce_or_sync(FULL, unsigned(x[t]));
    out[5 * n + t] = __reduce_xor_sync(FULL, unsigned(x[t]));
}

template <int N> __device__ float reversed_within(float value) {
    __shared__ float room[N];
    __syncthreads();
    room[threadIdx.x % N] = value;
    __syncthreads();
    return room[N - 1 - threadIdx.x % N];
}
// shared memory of a template, of two sizes, beside the kernel's own, and dynamic shared memory; block of 32
extern "C" __global__ void shared_memory(const float *x, float *out) {
    __shared__ float own[32], pair[2][32];
    extern __shared__ __align__(16) float dynamic[];
    int t = threadIdx.x;
    own[t] = x[t], pair[0][t] = 2.f * x[t], pair[1][t] = 3.f * x[t], dynamic[t] = 4.f * x[t];
    float wide = reversed_within<32>(x[t]), narrow = t < 16 ? 0.f : x[t];
    narrow = reversed_within<32>(narrow);
    __syncthreads();
    int other = 31 - t;
    out[t] = own[other] + pair[0][other] + pair[1][other] + dynamic[other] + wide + narrow + sizeof(pair);
}

__device__ int calls;
extern "C" __global__ void atomics(int *i, unsigned *u, float *f) {
    int t = threadIdx.x + blockIdx.x * blockDim.x;
    atomicAdd(&i[0], t);
    atomicMax(&i[1], t * 7 % 101);
    atomicMin(&i[2], -t);
    atomicSub(&i[3], 1);
    int old = i[4], seen;
    do {
        seen = old;
        old = atomicCAS(&i[4], seen, seen + 2);
    } while (old != seen);
    atomicExch(&i[5], 42);
    atomicAdd(&u[0], 3u);
    atomicInc(&u[1], 9u);
    atomicOr(&u[2], 1u << t % 32);
    atomicAdd(&f[0], 0.5f);
    atomicExch(&f[1], 42.5f);
    atomicAdd(&calls, 1);
}

// Threads past n return before the barrier, which does not wait for them (sm_70 and newer).
extern "C" __global__ void early_exit(const float *x, float *out, int n) {
    __shared__ float s[128];
    int t = threadIdx.x;
    if (t >= n) return;
    s[t] = x[t];
    __syncthreads();
    float v = s[n - 1 - t];
    out[t] = v + __shfl_sync(FULL, v, 0);
}

extern "C" __global__ void vectors(const float4 *x, float4 *out, int2 pair, const uchar4 *bytes, uint4 *sums) {
    int t = threadIdx.x;
    float4 v = x[t];
    out[t] = make_float4(v.w, v.z, v.y + pair.x, v.x * pair.y);
    uchar4 b = bytes[t];
    sums[t] = make_uint4(b.x, b.x + b.y, b.x + b.y + b.z, b.x + b.y + b.z + b.w);
    float2 *halves = reinterpret_cast<float2 *>(&out[t]);
    halves[0] = make_float2(halves[0].y, halves[0].x);
}

// the sum of a block of any size: shuffles inside a warp, shared memory between warps
extern "C" __global__ void block_sum(const int *x, int *out, int n) {
    __shared__ int part[32];
    int t = threadIdx.x, sum = 0, warps = (blockDim.x + 31) / 32;
    for (int i = t; i < n; i += blockDim.x) sum += x[blockIdx.x * n + i];
    int lanes = min(32, int(blockDim.x) - t / 32 * 32);
    for (int step = 16; step; step >>= 1) {
        int other = __shfl_down_sync(FULL, sum, step);
        if (t % 32 + step < lanes) sum += other;
    }
    if (t % 32 == 0) part[t / 32] = sum;
    __syncthreads();
    if (t == 0) {
        for (int w = 1; w < warps; w++) sum += part[w];
        out[blockIdx.x] = sum;
    }
}

// out (12, n)
extern "C" __global__ void bits(const unsigned *x, const unsigned *y, unsigned *out, int n) {
    int t = threadIdx.x;
    unsigned a = x[t], b = y[t];
    unsigned results[12] = {unsigned(__popc(a)), unsigned(__clz(a)), unsigned(__ffs(a)), __brev(a), __umulhi(a, b),
                            unsigned(__mulhi(int(a), int(b))), __byte_perm(a, b, 0x5140), __funnelshift_l(a, b, 7),
                            __funnelshift_r(a, b, 7), unsigned(__float_as_int(__uint_as_float(a))),
                            unsigned(__clzll((long long)a)), unsigned(__umul64hi((unsigned long long)a << 32, b))};
    for (int i = 0; i < 12; i++) out[i * n + t] = results[i];
}

extern "C" __global__ void to_16_bits(const float *x, __half *h, __nv_bfloat16 *b, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) h[i] = __float2half(x[i]), b[i] = __float2bfloat16(x[i]);
}
extern "C" __global__ void from_16_bits(const half *h, const __nv_bfloat16 *b, float *x, float *y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) x[i] = __half2float(h[i]), y[i] = __bfloat162float(b[i]);
}

// out (10, n)
extern "C" __global__ void arithmetic(const float *x, float *out, int n) {
    int t = threadIdx.x;
    float a = x[t], s, c;
    __sincosf(a, &s, &c);
    float results[10] = {__expf(a), __logf(fabsf(a)), rsqrtf(fabsf(a)), __fdividef(a, 3.f), s * s + c * c, float(__float2int_rn(a)),
                         float(__float2int_rd(a)), __saturatef(a), fmaxf(a, min(a, 1.f)), __fmul_rn(a, a) - __fmaf_rn(a, a, 0.f)};
    for (int i = 0; i < 10; i++) out[i * n + t] = results[i];
}

__constant__ float table[4] = {1.f, 2.f, 3.f, 4.f};
extern "C" __global__ void from_a_table(float *out) { out[threadIdx.x] = table[threadIdx.x % 4]; }

// Macros and line breaks in a signature; a limit on the block.
#define SCALE(NAME, TYPE, FACTOR)                                   \
    extern "C" __global__ __launch_bounds__(32 * 2)                 \
    void NAME(const TYPE *__restrict__ x,                           \
              TYPE *__restrict__ out, int n) {                      \
        for (int i = threadIdx.x; i < n; i += blockDim.x) out[i] = __ldg(x + i) * (TYPE)FACTOR; \
    }
SCALE(doubled, float, 2)
SCALE(tripled, long long, 3)

struct Settings { float scale; int offset; float *also; };
extern "C" __global__ void with_settings(float *x, Settings settings) {
    x[threadIdx.x] = x[threadIdx.x] * settings.scale + settings.offset;
    if (settings.also) settings.also[threadIdx.x] = 1.f;
}
extern "C" __global__ void speaks(int n) {
    if (threadIdx.x < n) printf("thread %d of block %d\n", int(threadIdx.x), int(blockIdx.x));
}
