// The inner part of a tiled matrix product: a block's tile of the output, spread over the registers of its threads.
#pragma once
#include "common.cuh"

// WARPS_M x WARPS_N warps compute a tile of ROWS x COLUMNS.  A warp computes 4 * TM rows and 8 * TN columns, each of
// its threads TM x TN sums in quads: 4 rows of every 16, 4 columns of every 32.  Threads 0, 1, 2, 3 of a warp are at
// (0, 0), (1, 0), (0, 1), (1, 1): two neighbors read the same four columns and every second thread the same four
// rows, which shared memory serves together.  CUTLASS arranges its lanes the same way (RowMajorInterleaved<2> in
// gemm/warp/mma_simt_policy.h).
template <int WARPS_M, int WARPS_N, int TM, int TN>
struct RegisterTile {
    static constexpr int ROWS = WARPS_M * 4 * TM, COLUMNS = WARPS_N * 8 * TN, THREADS = WARPS_M * WARPS_N * 32;

    // The first row and column of thread t in the tile.
    static __device__ __forceinline__ int row(int t) {
        return t / 32 / WARPS_N * 4 * TM + (t % 32 / 16 * 2 + t % 2) * 4;
    }
    static __device__ __forceinline__ int column(int t) { return t / 32 % WARPS_N * 8 * TN + t % 16 / 2 * 4; }

    // The thread's other rows and columns, relative to its first.
    static __device__ __forceinline__ constexpr int row_apart(int i) { return i / 4 * 16 + i % 4; }
    static __device__ __forceinline__ constexpr int column_apart(int j) { return j / 4 * 32 + j % 4; }

    // Add STEP terms to every sum.  a_tile (STEP, A_PITCH) and b_tile (STEP, B_PITCH) are in shared memory and start at
    // the thread's first row and column.
    template <int STEP, int A_PITCH, int B_PITCH>
    static __device__ __forceinline__ void multiply(const float *a_tile, const float *b_tile, float (&sum)[TM][TN]) {
#pragma unroll 4  // unrolled further, it takes too many registers for several blocks to share a multiprocessor
        for (int k = 0; k < STEP; ++k) {
            float4 x[TM / 4], y[TN / 4];
#pragma unroll
            for (int i = 0; i < TM / 4; ++i) x[i] = load4(a_tile + k * A_PITCH + 16 * i);
#pragma unroll
            for (int j = 0; j < TN / 4; ++j) y[j] = load4(b_tile + k * B_PITCH + 32 * j);
#pragma unroll
            for (int i = 0; i < TM; ++i)
#pragma unroll
                for (int j = 0; j < TN; ++j) sum[i][j] += part(x[i / 4], i % 4) * part(y[j / 4], j % 4);
        }
    }

    static __device__ __forceinline__ float part(float4 v, int i) {
        return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
    }
};
