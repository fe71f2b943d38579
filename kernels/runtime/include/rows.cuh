// What the kernels share that work on rows of memory: who works on a row, and what each thread holds of it.
#pragma once
#include "common.cuh"

// The threads that work on one row: a warp (a block is several, with a row each) or a block.
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

// One thread's N floats of the N * threads that its team has of a row: with `quads` N / 4 times four neighbours, in one
// instruction each, otherwise single ones; what is next to each other in the team is next to each other in memory.
template <int N>
struct Piece {
    static_assert(N % 4 == 0, "whole quads");
    float v[N];

    // The row has `left` floats more from here on; `beyond` stands for the others.
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

    // Whether the i-th float is one of the row.
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
