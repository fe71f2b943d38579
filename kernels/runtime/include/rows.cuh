// Shared by the kernels that work on rows of memory: which threads work on a row, and which part each of them holds.
#pragma once
#include "common.cuh"

// The threads that work on one row: a warp (of several in the block, each with its own row) or the whole block.
template <bool WARP>
struct Team {
    int thread = WARP ? threadIdx.x % 32 : threadIdx.x, threads = WARP ? 32 : blockDim.x;
    long long row = WARP ? (long long)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32 : blockIdx.x;

    __device__ __forceinline__ float sum(float v) const {
        if (WARP) return warp_sum(v);
        __shared__ float scratch[32];
        return block_sum(v, scratch);
    }
    __device__ __forceinline__ float max(float v) const {
        if (WARP) return warp_max(v);
        __shared__ float scratch[32];
        return block_max(v, scratch);
    }
};

// The N floats that one thread holds of the N * threads floats of a row that its team holds.  With `quads` they are N
// / 4 groups of four neighbors, each loaded in one instruction, otherwise single floats.  Neighboring threads of the
// team hold neighboring groups or floats.
template <int N>
struct Piece {
    static_assert(N % 4 == 0, "whole quads");
    float v[N];

    // From here on the row has `left` floats; `beyond` is the value of those past the end.
    template <class Team>
    __device__ __forceinline__ void load(const float *row, int left, Team team, bool quads, float beyond) {
        if (quads) {
#pragma unroll
            for (int i = 0; i < N; i += 4) {
                int column = i * team.threads + 4 * team.thread;
                float4 q = make_float4(beyond, beyond, beyond, beyond);
                if (column < left) q = load4(row + column);
                v[i] = q.x, v[i + 1] = q.y, v[i + 2] = q.z, v[i + 3] = q.w;
            }
        } else {
#pragma unroll
            for (int i = 0; i < N; ++i) {
                int column = i * team.threads + team.thread;
                v[i] = column < left ? row[column] : beyond;
            }
        }
    }

    // Whether the i-th float belongs to the row.
    template <class Team>
    __device__ __forceinline__ bool inside(int i, int left, Team team, bool quads) const {
        return (quads ? (i & ~3) * team.threads + 4 * team.thread : i * team.threads + team.thread) < left;
    }

    template <class Team>
    __device__ __forceinline__ void store(float *row, int left, Team team, bool quads) const {
        if (quads) {
#pragma unroll
            for (int i = 0; i < N; i += 4) {
                int column = i * team.threads + 4 * team.thread;
                if (column < left) store4(row + column, make_float4(v[i], v[i + 1], v[i + 2], v[i + 3]));
            }
        } else {
#pragma unroll
            for (int i = 0; i < N; ++i) {
                int column = i * team.threads + team.thread;
                if (column < left) row[column] = v[i];
            }
        }
    }
};
