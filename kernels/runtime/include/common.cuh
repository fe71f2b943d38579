// Functions that all kernels share.  NVRTC compiles them for the GPU, g++ with hostcuda.h for the CPU; no CUDA header
// is needed.
#pragma once

constexpr unsigned FULL_WARP = 0xffffffffu;

__device__ __forceinline__ float infinity() { return __int_as_float(0x7f800000); }

__host__ __device__ constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }

// Four neighboring floats on a 16-byte boundary, in one instruction.
__device__ __forceinline__ float4 load4(const float *address) { return *reinterpret_cast<const float4 *>(address); }
__device__ __forceinline__ void store4(float *address, float4 v) { *reinterpret_cast<float4 *>(address) = v; }

__device__ __forceinline__ bool in_fours(const void *address) { return (unsigned long long)address % 16 == 0; }

// Tell the compiler that an address which was itself read from memory points to global memory: loads and stores through
// it are shorter.
template <typename T>
__device__ __forceinline__ T *in_global(T *address) {
#ifndef HOSTCUDA
    __builtin_assume(__isGlobal(address));
#endif
    return address;
}

// x, hidden from the optimizer: values that depend on it are computed again here instead of being kept in registers.
__device__ __forceinline__ int again(int x) {
    asm volatile("" : "+r"(x));
    return x;
}

// ---- reductions: the same result in every thread, always added in the same order ------------------------------------

// Over the 32 threads of a warp, in five exchanges; all 32 must take part.
__device__ __forceinline__ float warp_sum(float v) {
    for (int distance = 16; distance > 0; distance /= 2) v += __shfl_xor_sync(FULL_WARP, v, distance);
    return v;
}

__device__ __forceinline__ float warp_max(float v) {
    for (int distance = 16; distance > 0; distance /= 2) v = fmaxf(v, __shfl_xor_sync(FULL_WARP, v, distance));
    return v;
}

// Over a one-dimensional block of up to 1024 threads, a multiple of 32.  `scratch`: 32 floats of shared memory, free
// again when the call returns.
__device__ __forceinline__ float block_sum(float v, float *scratch) {
    int lane = threadIdx.x % 32, warps = blockDim.x / 32;
    v = warp_sum(v);
    if (lane == 0) scratch[threadIdx.x / 32] = v;
    __syncthreads();
    v = warp_sum(lane < warps ? scratch[lane] : 0.0f);
    __syncthreads();
    return v;
}

__device__ __forceinline__ float block_max(float v, float *scratch) {
    int lane = threadIdx.x % 32, warps = blockDim.x / 32;
    v = warp_max(v);
    if (lane == 0) scratch[threadIdx.x / 32] = v;
    __syncthreads();
    v = warp_max(lane < warps ? scratch[lane] : -infinity());
    __syncthreads();
    return v;
}
