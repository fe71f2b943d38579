// Planted bugs.  With -DFIXED the same kernels are correct; tests/cuda/test_hostcuda_bugs.py lists what is reported.
#include "tensor_core.cuh"

#ifdef FIXED
#define BUG(wrong, right) right
#else
#define BUG(wrong, right) wrong
#endif

extern "C" __global__ void divergent_barrier(float *y) {
    if (threadIdx.x < 16) {
        y[threadIdx.x] = 1.f;
        BUG(__syncthreads(), );
    }
    __syncthreads();
    y[threadIdx.x] = 2.f;
}
extern "C" __global__ void barrier_in_a_branch(float *y) {
    if (threadIdx.x < 16) BUG(__syncthreads(), y[threadIdx.x] = 1.f);
}
extern "C" __global__ void deadlock(float *y) {
    if (threadIdx.x < 16) __syncwarp(BUG(0xffffffffu, 0x0000ffffu));
    __syncthreads();
    y[threadIdx.x] = 1.f;
}
extern "C" __global__ void divergent_warp(float *y) {
    unsigned mask = threadIdx.x < 8 ? BUG(0xffffffffu, 0x000000ffu) : BUG(0xfffffff0u, 0xffffff00u);
    y[threadIdx.x] = __shfl_sync(mask, float(threadIdx.x), threadIdx.x);
}
extern "C" __global__ void not_in_its_mask(float *y) {
    y[threadIdx.x] = __shfl_xor_sync(BUG(0xfffffffeu, 0xffffffffu), float(threadIdx.x), 1);
}
extern "C" __global__ void different_instructions(int *y) {
    BUG(if (threadIdx.x % 2) y[threadIdx.x] = __any_sync(0xffffffffu, 1); else , )
    y[threadIdx.x] = __all_sync(0xffffffffu, 1);
}

// n elements, a block of at least n threads
extern "C" __global__ void writes_past_the_end(float *y, int n) {
    int i = threadIdx.x;
    if (i BUG(<=, <) n) y[i] = 1.f;
}
extern "C" __global__ void reads_past_the_end(const float *x, float *y, int n) {
    int i = threadIdx.x;
    if (i < n) y[i] = x[BUG(i + 1, min(i + 1, n - 1))];
}
extern "C" __global__ void writes_before_the_start(float *y, int n) {
    int i = threadIdx.x;
    if (i < n) y[BUG(i - 1, i)] = 1.f;
}
extern "C" __global__ void negative_as_unsigned(float *y, int n) {
    if (threadIdx.x < n) y[threadIdx.x BUG(- 1, )] = 1.f;
}
extern "C" __global__ void null_pointer(float *y, const float *bias) {
    y[threadIdx.x] = BUG(bias[threadIdx.x], bias ? bias[threadIdx.x] : 0.f);
}
extern "C" __global__ void misaligned_global(const float *x, float *y) {
    float4 v = *reinterpret_cast<const float4 *>(x + BUG(1, 0) + 4 * threadIdx.x);
    y[threadIdx.x] = v.x + v.w;
}
extern "C" __global__ void misaligned_shared(const float *x, float *y) {
    __shared__ __align__(16) float s[32][BUG(5, 4)];
    *reinterpret_cast<float4 *>(s[threadIdx.x]) = reinterpret_cast<const float4 *>(x)[threadIdx.x];
    y[threadIdx.x] = s[threadIdx.x][3];
}
extern "C" __global__ void shared_index_too_large(float *y) {
    __shared__ float s[32];
    s[threadIdx.x BUG(+ 1, )] = 1.f;
    __syncthreads();
    y[threadIdx.x] = 1.f;
}
__device__ void fill(float *p, int n) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) p[i] = 1.f;
}
extern "C" __global__ void shared_pointer_too_far(float *y) {
    __shared__ float s[32];
    __shared__ float t[32];
    fill(t, 32);
    fill(s, BUG(33, 32));
    __syncthreads();
    y[threadIdx.x] = s[threadIdx.x] + t[threadIdx.x];
}
extern "C" __global__ void dynamic_too_small(float *y) {
    extern __shared__ float s[];
    fill(s, BUG(33, 32));  // the launch asks for 32 floats
    __syncthreads();
    y[threadIdx.x] = s[threadIdx.x];
}
extern "C" __global__ void local_index_too_large(float *y) {
    float a[4] = {0.f, 1.f, 2.f, 3.f};
    y[threadIdx.x] = a[threadIdx.x % BUG(5, 4)];
}
extern "C" __global__ void uninitialised(float *y) {
    __shared__ float s[64];
    BUG(if (threadIdx.x > 0), ) s[threadIdx.x] = 1.f;
    __syncthreads();
    y[threadIdx.x] = s[31 - threadIdx.x];
}
extern "C" __global__ void no_barrier_between(const float *x, float *y) {
    __shared__ float s[64];
    s[threadIdx.x] = 0.f;
    __syncthreads();
    s[threadIdx.x] = x[threadIdx.x];
    BUG(, __syncthreads());
    y[threadIdx.x] = s[63 - threadIdx.x];
}
extern "C" __global__ void no_barrier_before_the_next_tile(const float *x, float *y) {
    __shared__ float s[64];
    float sum = 0.f;
    for (int tile = 0; tile < 3; tile++) {
        s[threadIdx.x] = x[64 * tile + threadIdx.x];
        __syncthreads();
        for (int i = 0; i < 64; i++) sum += s[i] * (i + 1);
        BUG(, __syncthreads());
    }
    y[threadIdx.x] = sum;
}
extern "C" __global__ void no_syncwarp(const float *x, float *y) {
    __shared__ float s[32];
    s[threadIdx.x] = 0.f;
    __syncwarp();
    s[threadIdx.x] = x[threadIdx.x];
    BUG(, __syncwarp());
    y[threadIdx.x] = s[31 - threadIdx.x];
}
extern "C" __global__ void no_syncwarp_after_reading(const float *x, float *y) {
    __shared__ float s[32];
    s[threadIdx.x] = x[threadIdx.x];
    __syncwarp();
    float sum = 0.f;
    for (int i = 0; i < 32; i++) sum += s[i] * (i + 1);
    BUG(, __syncwarp());
    s[threadIdx.x] = sum;  // read by several threads, all of this warp
    __syncwarp();
    y[threadIdx.x] = s[31 - threadIdx.x];
}
extern "C" __global__ void syncwarp_after_reading_of_another_warp(const float *x, float *y) {
    __shared__ float s[32];
    if (threadIdx.x < 32) s[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    for (int i = 0; i < 32; i++)
        if (threadIdx.x < 32) y[threadIdx.x] += s[i];
    BUG(__syncwarp(), __syncthreads());
    if (threadIdx.x >= 32) s[threadIdx.x - 32] = x[threadIdx.x];
}
extern "C" __global__ void syncwarp_for_two_warps(const float *x, float *y) {
    __shared__ float s[64];
    s[threadIdx.x] = 0.f;
    __syncthreads();
    s[threadIdx.x] = x[threadIdx.x];
    BUG(__syncwarp(), __syncthreads());
    y[threadIdx.x] = s[63 - threadIdx.x];
}
extern "C" __global__ void sum_without_atomics(float *total) {
    BUG(total[0] += 1.f, atomicAdd(&total[0], 1.f));
}
extern "C" __global__ void blocks_write_the_same(int *y) {
    y[BUG(threadIdx.x, threadIdx.x + blockDim.x * blockIdx.x)] = blockIdx.x;
}
extern "C" __global__ void no_wait_for_the_copy(const float *x, float *y) {
    __shared__ __align__(16) float s[128];
    cp_async16(&s[4 * threadIdx.x], x + 4 * threadIdx.x);
    cp_async_commit();
    BUG(, cp_async_wait<0>());
    __syncthreads();
    y[threadIdx.x] = s[127 - threadIdx.x];
}
extern "C" __global__ void another_threads_local(float *y) {
    __shared__ float *place;
    float mine = threadIdx.x;
    if (threadIdx.x == 0) place = BUG(&mine, &y[32]);
    __syncthreads();
    if (threadIdx.x == 1) *place = 5.f;
    __syncthreads();
    y[threadIdx.x] = mine;
}
extern "C" __global__ void divides_by_zero(int *y, int d) { y[threadIdx.x] = 7 / BUG(d, (d ? d : 1)); }
extern "C" __global__ void asserts(int *y, int n) {
    assert(n BUG(< 3, >= 3));
    y[threadIdx.x] = n;
}
extern "C" __global__ void traps(int *y) {
    BUG(if (threadIdx.x == 2) __trap(), );
    y[threadIdx.x] = 1;
}
__device__ int deep(int n, volatile int *y) {
    volatile int room[64];
    room[n % 64] = n;
    return n == 0 ? 0 : deep(n - 1, y) + room[n % 64];
}
extern "C" __global__ void too_deep(int *y) { y[threadIdx.x] = deep(BUG(10000, 10), y); }
extern "C" __global__ void too_much_shared(float *y) {
    __shared__ float s[BUG(16384, 8192)];
    s[threadIdx.x] = 1.f;
    y[threadIdx.x] = s[threadIdx.x];
}
