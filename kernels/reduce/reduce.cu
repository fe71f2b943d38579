// Sums in float32 over the middle dimension: x (A, R, B) -> y (A, B).
//
//   kernel    one thread adds          how
//   naive     all R numbers            one thread per output: too few threads, or (B = 1) reads that are not coalesced
//   rows      R / (slices * threads)   B = 1: a block per slice of a row, float4, partial sums combined by shuffles
//   columns   R / (slices * 8)         B > 1: a warp reads 32 neighboring columns, 8 warps share the rows
//
// Two stages: when there are few outputs, each is cut into slices so that all multiprocessors are busy.  The blocks
// write their sums, and a second launch adds these in order.  No atomics: the same bits every time.
// Traffic: 4 bytes per element, each read once; the second stage reads a thousandth of that.
#include "rows.cuh"

extern "C" __global__ void sum_naive(const float *x, float *y, long long outputs, int R, int B) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= outputs) return;
    x += i / B * R * B + i % B;
    float total = 0;
    for (int r = 0; r < R; ++r) total += x[(long long)r * B];
    y[i] = total;
}

// Block (slice, row): y (A, slices)
extern "C" __global__ void __launch_bounds__(1024)
    sum_rows(const float *x, float *y, int R, int slice, int slices) {
    constexpr int N = 16;
    Team<false> team;
    long long row = blockIdx.x / slices;
    int first = blockIdx.x % slices * slice, length = min(slice, R - first);
    x += row * R + first;
    bool quads = R % 4 == 0 && slice % 4 == 0 && in_fours(x);
    Piece<N> piece;
    float totals[4] = {};
    for (int start = 0; start < length; start += N * team.threads) {
        piece.load(x + start, length - start, team, quads, 0);
#pragma unroll
        for (int i = 0; i < N; ++i) totals[i % 4] += piece.v[i];
    }
    float total = team.sum((totals[0] + totals[1]) + (totals[2] + totals[3]));
    if (threadIdx.x == 0) y[blockIdx.x] = total;
}

// Block (32 columns, slice, matrix) of 32 x 8 threads: y (A, slices, B).  Four loads are in flight per thread.
constexpr int WARPS = 8;

extern "C" __global__ void __launch_bounds__(32 * WARPS)
    sum_columns(const float *x, float *y, int R, int B, int slice, int slices, int column_groups) {
    __shared__ float sums[WARPS][32];
    long long matrix = blockIdx.x / column_groups / slices;
    int part = blockIdx.x / column_groups % slices, column = blockIdx.x % column_groups * 32 + threadIdx.x;
    int first = part * slice, last = min(first + slice, R);
    float total = 0;
    if (column < B) {
        x += matrix * R * B + column;
        int r = first + threadIdx.y;
        for (; r + 3 * WARPS < last; r += 4 * WARPS) {
            float v[4];
#pragma unroll
            for (int i = 0; i < 4; ++i) v[i] = x[(long long)(r + i * WARPS) * B];
            total += (v[0] + v[1]) + (v[2] + v[3]);
        }
        for (; r < last; r += WARPS) total += x[(long long)r * B];
    }
    sums[threadIdx.y][threadIdx.x] = total;
    __syncthreads();
    if (threadIdx.y > 0 || column >= B) return;
    for (int w = 1; w < WARPS; ++w) total += sums[w][threadIdx.x];
    y[(matrix * slices + part) * B + column] = total;
}
