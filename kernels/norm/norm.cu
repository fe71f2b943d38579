// Normalization in float32 and its gradient: layer, group, instance and batch norm; also followed by SiLU.
//
// y = (x - mean) / sqrt(var + eps) * weight + bias.  The numbers that are normalized together are a "row": in a layer
// norm the last dimensions, in a group norm the pixels of the channels of a group, in a batch norm one channel of all
// images.
//
//   kernel            a row belongs to       x is read      from DRAM   what it adds
//   naive             a thread               3 times        3           (all layouts)
//   slabs             a block, a warp takes  3 times        1 or more   neighbors read neighbors, float4; what a block
//                     a channel of an image                             reads again is most likely still in a cache
//   block_rows        a block                once           1           a row of up to 8192 numbers (group norm: 16384)
//                                                                       stays in registers; a longer one as in slabs
//   warp_rows         a warp                 once           1           no barriers; for rows of up to 256 numbers
//   *_grad            as above               g, x twice     1           also sums g and g n: see below
//
// Least traffic per element: 8 bytes forward (x, y), 12 backward (g, x, gx).  block_rows and warp_rows reach it; the
// gradients reach it while a row and its gradient stay in the caches.  In a batch norm a channel may be larger than
// any cache: then 16 and 20 bytes.  The variance is the mean of (x - mean)²; the mean of x² minus mean² would lose
// digits.  The mean is computed from differences to the row's first number.  For equal numbers it is exact, and no
// rounding error is left to divide by sqrt(eps); in any other row the first number is at most sqrt(n) deviations from
// the mean.
//
// The gradients of weight and bias need no atomics: each block writes its own sums, which `reduce.cu` adds in order.
#include "rows.cuh"

__device__ __forceinline__ float sigmoid(float z) { return 1 / (1 + expf(-z)); }
__device__ __forceinline__ float silu(float z) { return z / (1 + expf(-z)); }
__device__ __forceinline__ float silu_slope(float z) {
    float s = sigmoid(z);
    return s * (1 + z * (1 - s));
}

// Where the numbers of row r are: `slabs` times `inner` neighbors, which share a weight.  Layer norm: inner = 1.
struct Layout {
    int slabs, inner;
    long long row_stride, slab_stride;
    int weight_row, weight_slab, period;

    __device__ __forceinline__ long long start(long long r, int slab) const { return r * row_stride + slab * slab_stride; }
    __device__ __forceinline__ int channel(long long r, int slab) const {
        return (int)((r * weight_row + (long long)slab * weight_slab) % period);
    }
    __device__ __forceinline__ float count() const { return (float)slabs * inner; }
};

// The number that is subtracted before a row is summed: its first, if that is finite.
__device__ __forceinline__ float origin_of(const float *row) { return fabsf(*row) < infinity() ? *row : 0.0f; }

// A scale and a shift; either vector may be missing.
struct Affine {
    const float *weight, *bias;
    __device__ __forceinline__ float scale(int c) const { return weight ? weight[c] : 1.0f; }
    __device__ __forceinline__ float shift(int c) const { return bias ? bias[c] : 0.0f; }
};

#define LAYOUT int slabs, int inner, long long row_stride, long long slab_stride, int weight_row, int weight_slab, int period
#define LAYOUT_GIVEN \
    Layout { slabs, inner, row_stride, slab_stride, weight_row, weight_slab, period }

// ---- naive: a thread takes a row ------------------------------------------------------------------------------------

template <bool SILU>
__device__ __forceinline__ void naive(const float *x, Affine affine, float *y, float *mean, float *var, long long rows,
                                      float eps, Layout at) {
    long long r = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (r >= rows) return;
    float total = 0, squares = 0, origin = origin_of(x + at.start(r, 0));
    for (int k = 0; k < at.slabs; ++k)
        for (int s = 0; s < at.inner; ++s) total += x[at.start(r, k) + s] - origin;
    float middle = origin + total / at.count();
    for (int k = 0; k < at.slabs; ++k)
        for (int s = 0; s < at.inner; ++s) {
            float d = x[at.start(r, k) + s] - middle;
            squares += d * d;
        }
    float variance = squares / at.count(), rstd = 1 / sqrtf(variance + eps);
    for (int k = 0; k < at.slabs; ++k) {
        int c = at.channel(r, k);
        for (int s = 0; s < at.inner; ++s) {
            float z = (x[at.start(r, k) + s] - middle) * rstd * affine.scale(c) + affine.shift(c);
            y[at.start(r, k) + s] = SILU ? silu(z) : z;
        }
    }
    mean[r] = middle, var[r] = variance;
}

// gx = (h - mean(h) - n mean(h n)) / sigma, h = g · weight, n the normalized x.  With SiLU, g is first multiplied by
// SiLU's slope.  Σ g n and Σ g of each slab go to g_n and g_sum (rows, slabs).
template <bool SILU>
__device__ __forceinline__ void naive_grad(const float *g, const float *x, Affine affine, const float *mean,
                                           const float *var, float *gx, float *g_n, float *g_sum, long long rows,
                                           float eps, Layout at) {
    long long r = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (r >= rows) return;
    float middle = mean[r], rstd = 1 / sqrtf(var[r] + eps), h_sum = 0, h_n = 0;
    for (int pass = 0; pass < 2; ++pass)
        for (int k = 0; k < at.slabs; ++k) {
            int c = at.channel(r, k);
            float scale = affine.scale(c), shift = affine.shift(c), slab_sum = 0, slab_n = 0;
            for (int s = 0; s < at.inner; ++s) {
                long long i = at.start(r, k) + s;
                float n = (x[i] - middle) * rstd, slope = g[i];
                if (SILU) slope *= silu_slope(n * scale + shift);
                if (pass) gx[i] = (slope * scale - h_sum - n * h_n) * rstd;
                slab_sum += slope, slab_n += slope * n;
            }
            if (pass) continue;
            g_n[r * at.slabs + k] = slab_n, g_sum[r * at.slabs + k] = slab_sum;
            h_sum += slab_sum * scale / at.count(), h_n += slab_n * scale / at.count();
        }
}

// ---- slabs: a block takes a row; its warps take `slices` of each slab
// ------------------------------------------------

constexpr int SLAB = 8;  // floats per lane

// Call f(offset of a piece in memory, floats left in the slice, channel of the slab) for every piece that this warp
// has of row r, and after(task, channel) at the end of each slice.  Tasks number the slices of all slabs of the row.
template <class F, class After>
__device__ __forceinline__ void each_piece(Layout at, long long r, int slices, int slice, F f, After after) {
    int warp = threadIdx.x / 32, warps = blockDim.x / 32;
    for (int task = warp; task < at.slabs * slices; task += warps) {
        int slab = task / slices, first = task % slices * slice, length = min(slice, at.inner - first);
        long long offset = at.start(r, slab) + first;
        int c = at.channel(r, slab);
        for (int start = 0; start < length; start += 32 * SLAB) f(offset + start, length - start, c);
        after(task, c);
    }
}

__device__ __forceinline__ bool in_quads(Layout at, int slice) {
    return at.inner % 4 == 0 && slice % 4 == 0 && at.row_stride % 4 == 0 && at.slab_stride % 4 == 0;
}

template <bool SILU>
__device__ __forceinline__ void slabs_forward(const float *x, Affine affine, float *y, float *mean, float *var,
                                              float eps, int slices, int slice, Layout at) {
    __shared__ float scratch[32];
    Team<true> lanes;
    long long r = blockIdx.x;
    bool quads = in_quads(at, slice) && in_fours(x) && in_fours(y);
    Piece<SLAB> piece;
    float total = 0, squares = 0, origin = origin_of(x + at.start(r, 0));
    auto nothing = [](int, int) {};
    each_piece(at, r, slices, slice, [&](long long offset, int left, int) {
        piece.load(x + offset, left, lanes, quads, origin);
#pragma unroll
        for (int i = 0; i < SLAB; ++i) total += piece.v[i] - origin;
    }, nothing);
    float middle = origin + block_sum(total, scratch) / at.count();
    each_piece(at, r, slices, slice, [&](long long offset, int left, int) {
        piece.load(x + offset, left, lanes, quads, middle);
#pragma unroll
        for (int i = 0; i < SLAB; ++i) squares += (piece.v[i] - middle) * (piece.v[i] - middle);
    }, nothing);
    float variance = block_sum(squares, scratch) / at.count(), rstd = 1 / sqrtf(variance + eps);
    each_piece(at, r, slices, slice, [&](long long offset, int left, int c) {
        float scale = affine.scale(c), shift = affine.shift(c);
        piece.load(x + offset, left, lanes, quads, 0);
#pragma unroll
        for (int i = 0; i < SLAB; ++i) {
            float z = (piece.v[i] - middle) * rstd * scale + shift;
            piece.v[i] = SILU ? silu(z) : z;
        }
        piece.store(y + offset, left, lanes, quads);
    }, nothing);
    if (threadIdx.x == 0) mean[r] = middle, var[r] = variance;
}

// Σ g n and Σ g of each slice go to g_n and g_sum (rows, slabs, slices).
template <bool SILU>
__device__ __forceinline__ void slabs_backward(const float *g, const float *x, Affine affine, const float *mean,
                                               const float *var, float *gx, float *g_n, float *g_sum, float eps,
                                               int slices, int slice, Layout at) {
    __shared__ float scratch[32];
    Team<true> lanes;
    long long r = blockIdx.x;
    bool quads = in_quads(at, slice) && in_fours(g) && in_fours(x) && in_fours(gx);
    float middle = mean[r], rstd = 1 / sqrtf(var[r] + eps);
    Piece<SLAB> gs, xs;  // of g (times SiLU's slope) and of n
    auto load = [&](long long offset, int left, int c) {
        gs.load(g + offset, left, lanes, quads, 0);
        xs.load(x + offset, left, lanes, quads, middle);
        float scale = SILU ? affine.scale(c) : 0, shift = SILU ? affine.shift(c) : 0;
#pragma unroll
        for (int i = 0; i < SLAB; ++i) {
            xs.v[i] = (xs.v[i] - middle) * rstd;
            if (SILU) gs.v[i] *= silu_slope(xs.v[i] * scale + shift);
        }
    };
    float slice_sum = 0, slice_n = 0, h_sum = 0, h_n = 0;
    each_piece(at, r, slices, slice, [&](long long offset, int left, int c) {
        load(offset, left, c);
#pragma unroll
        for (int i = 0; i < SLAB; ++i) slice_sum += gs.v[i], slice_n += gs.v[i] * xs.v[i];
    }, [&](int task, int c) {
        slice_sum = warp_sum(slice_sum), slice_n = warp_sum(slice_n);
        if (lanes.thread == 0) {
            g_n[r * at.slabs * slices + task] = slice_n, g_sum[r * at.slabs * slices + task] = slice_sum;
            h_sum += slice_sum * affine.scale(c), h_n += slice_n * affine.scale(c);
        }
        slice_sum = slice_n = 0;
    });
    h_sum = block_sum(h_sum, scratch) / at.count();
    h_n = block_sum(h_n, scratch) / at.count();
    each_piece(at, r, slices, slice, [&](long long offset, int left, int c) {
        float scale = affine.scale(c);
        load(offset, left, c);
#pragma unroll
        for (int i = 0; i < SLAB; ++i) gs.v[i] = (gs.v[i] * scale - h_sum - xs.v[i] * h_n) * rstd;
        gs.store(gx + offset, left, lanes, quads);
    }, [](int, int) {});
}

// ---- block_rows, warp_rows: contiguous rows of `size` numbers, in registers
// ------------------------------------------

// GROUPS: `inner` neighbors share a weight, and a row has its own size / inner of the `period` weights.  Otherwise
// there is one weight for each position in a row.
template <bool WARP, int N, bool GROUPS, bool SILU>
__device__ __forceinline__ void rows_forward(const float *x, Affine affine, float *y, float *mean, float *var,
                                             long long rows, int size, float eps, int inner, int period) {
    Team<WARP> team;
    if (team.row >= rows) return;
    x += team.row * size, y += team.row * size;
    bool quads = size % 4 == 0 && in_fours(x) && in_fours(y);
    quads = quads && (GROUPS ? inner % 4 == 0 : in_fours(affine.weight) && in_fours(affine.bias));
    bool held = size <= N * team.threads;
    Piece<N> piece;
    float total = 0, squares = 0, origin = origin_of(x);
    for (int start = 0; start < size; start += N * team.threads) {
        piece.load(x + start, size - start, team, quads, origin);
#pragma unroll
        for (int i = 0; i < N; ++i) total += piece.v[i] - origin;
    }
    float middle = origin + team.sum(total) / size;
    for (int start = 0; start < size; start += N * team.threads) {
        if (!held) piece.load(x + start, size - start, team, quads, 0);
#pragma unroll
        for (int i = 0; i < N; ++i) {
            float d = piece.inside(i, size - start, team, quads) ? piece.v[i] - middle : 0;
            squares += d * d;
        }
    }
    float variance = team.sum(squares) / size, rstd = 1 / sqrtf(variance + eps);
    int first = GROUPS ? (int)(team.row * (size / inner) % period) : 0;
    for (int start = 0; start < size; start += N * team.threads) {
        if (!held) piece.load(x + start, size - start, team, quads, 0);
        if (GROUPS) {
            int c = 0;
#pragma unroll
            for (int i = 0; i < N; ++i) {
                if (!piece.inside(i, size - start, team, quads)) continue;
                if (quads && i % 4 == 0) c = first + (start + i * team.threads + 4 * team.thread) / inner;
                if (!quads) c = first + (start + i * team.threads + team.thread) / inner;
                piece.v[i] = (piece.v[i] - middle) * rstd * affine.scale(c) + affine.shift(c);
            }
        } else {
            Piece<N> scale, shift;
            scale.load(affine.weight + start, affine.weight ? size - start : 0, team, quads, 1);
            shift.load(affine.bias + start, affine.bias ? size - start : 0, team, quads, 0);
#pragma unroll
            for (int i = 0; i < N; ++i) piece.v[i] = (piece.v[i] - middle) * rstd * scale.v[i] + shift.v[i];
        }
        if (SILU)
#pragma unroll
            for (int i = 0; i < N; ++i) piece.v[i] = silu(piece.v[i]);
        piece.store(y + start, size - start, team, quads);
    }
    if (team.thread == 0) mean[team.row] = middle, var[team.row] = variance;
}

// A block takes every gridDim.x-th row and keeps its part of Σ g n and Σ g for each column: in registers if they can
// hold a row, otherwise in its row of g_n and g_sum (blocks, size), which start as 0.
constexpr int GRAD = 8;  // floats per thread

extern "C" __global__ void __launch_bounds__(512)
    normalize_grad_block_rows(const float *g, const float *x, const float *weight, const float *mean, const float *var,
                              float *gx, float *g_n, float *g_sum, long long rows, int size, float eps) {
    Team<false> team;
    long long mine = (long long)blockIdx.x * size;
    bool quads = size % 4 == 0 && in_fours(g) && in_fours(x) && in_fours(gx) && in_fours(weight);
    bool held = size <= GRAD * team.threads;
    Piece<GRAD> gs, xs, scale, sum_n = {}, sum = {};
    for (long long r = blockIdx.x; r < rows; r += gridDim.x) {
        const float *g_row = g + r * size, *x_row = x + r * size;
        float middle = mean[r], rstd = 1 / sqrtf(var[r] + eps), h_sum = 0, h_n = 0;
        auto load = [&](int start) {
            gs.load(g_row + start, size - start, team, quads, 0);
            xs.load(x_row + start, size - start, team, quads, middle);
            scale.load(weight + start, weight ? size - start : 0, team, quads, 1);
#pragma unroll
            for (int i = 0; i < GRAD; ++i) xs.v[i] = (xs.v[i] - middle) * rstd;
        };
        for (int start = 0; start < size; start += GRAD * team.threads) {
            load(start);
#pragma unroll
            for (int i = 0; i < GRAD; ++i) h_sum += gs.v[i] * scale.v[i], h_n += gs.v[i] * scale.v[i] * xs.v[i];
        }
        h_sum = team.sum(h_sum) / size, h_n = team.sum(h_n) / size;
        for (int start = 0; start < size; start += GRAD * team.threads) {
            if (!held) {
                load(start);
                sum_n.load(g_n + mine + start, size - start, team, quads, 0);
                sum.load(g_sum + mine + start, size - start, team, quads, 0);
            }
#pragma unroll
            for (int i = 0; i < GRAD; ++i) {
                sum_n.v[i] += gs.v[i] * xs.v[i], sum.v[i] += gs.v[i];
                xs.v[i] = (gs.v[i] * scale.v[i] - h_sum - xs.v[i] * h_n) * rstd;
            }
            xs.store(gx + r * size + start, size - start, team, quads);
            if (held) continue;
            sum_n.store(g_n + mine + start, size - start, team, quads);
            sum.store(g_sum + mine + start, size - start, team, quads);
        }
    }
    if (!held) return;
    sum_n.store(g_n + mine, size, team, quads);
    sum.store(g_sum + mine, size, team, quads);
}

extern "C" __global__ void __launch_bounds__(1024)
    normalize_block_rows(const float *x, const float *weight, const float *bias, float *y, float *mean, float *var,
                         long long rows, int size, float eps) {
    rows_forward<false, 8, false, false>(x, {weight, bias}, y, mean, var, rows, size, eps, 1, size);
}

extern "C" __global__ void __launch_bounds__(256)
    normalize_warp_rows(const float *x, const float *weight, const float *bias, float *y, float *mean, float *var,
                        long long rows, int size, float eps) {
    rows_forward<true, 8, false, false>(x, {weight, bias}, y, mean, var, rows, size, eps, 1, size);
}

#define NORM_KERNELS(NAME, SILU)                                                                                       \
    extern "C" __global__ void NAME##_naive(const float *x, const float *weight, const float *bias, float *y,          \
                                            float *mean, float *var, long long rows, float eps, LAYOUT) {              \
        naive<SILU>(x, {weight, bias}, y, mean, var, rows, eps, LAYOUT_GIVEN);                                         \
    }                                                                                                                  \
    extern "C" __global__ void NAME##_grad_naive(const float *g, const float *x, const float *weight,                  \
                                                 const float *bias, const float *mean, const float *var, float *gx,    \
                                                 float *g_n, float *g_sum, long long rows, float eps, LAYOUT) {        \
        naive_grad<SILU>(g, x, {weight, bias}, mean, var, gx, g_n, g_sum, rows, eps, LAYOUT_GIVEN);                    \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(1024)                                                                 \
        NAME##_slabs(const float *x, const float *weight, const float *bias, float *y, float *mean, float *var,        \
                     float eps, int slices, int slice, LAYOUT) {                                                       \
        slabs_forward<SILU>(x, {weight, bias}, y, mean, var, eps, slices, slice, LAYOUT_GIVEN);                        \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(1024)                                                                 \
        NAME##_grad_slabs(const float *g, const float *x, const float *weight, const float *bias, const float *mean,   \
                          const float *var, float *gx, float *g_n, float *g_sum, float eps, int slices, int slice,     \
                          LAYOUT) {                                                                                    \
        slabs_backward<SILU>(g, x, {weight, bias}, mean, var, gx, g_n, g_sum, eps, slices, slice, LAYOUT_GIVEN);       \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(1024)                                                                 \
        NAME##_groups_block_rows(const float *x, const float *weight, const float *bias, float *y, float *mean,        \
                                 float *var, long long rows, int size, float eps, int inner, int period) {             \
        rows_forward<false, 16, true, SILU>(x, {weight, bias}, y, mean, var, rows, size, eps, inner, period);          \
    }

NORM_KERNELS(normalize, false)
NORM_KERNELS(normalize_silu, true)

// ---- the gradients of weight and bias -------------------------------------------------------------------------------
// `parts`: what the kernels above leave, `size` floats of Σ g n and as many of Σ g.  gweight and gbias (period,) are their
// sums over i < I and j < J of parts[p * apart + i * step + j].
constexpr int SUM_ROWS = 8;

// J > 1: a warp per output, whose threads read neighbors.
extern "C" __global__ void __launch_bounds__(32 * SUM_ROWS)
    normalize_sum_rows(const float *parts, float *gweight, float *gbias, int period, long long size, int I, int J,
                       int apart, int step) {
    int p = blockIdx.x * SUM_ROWS + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (p >= period) return;
    const float *from = parts + blockIdx.y * size + (long long)p * apart;
    float total = 0;
    for (int i = 0; i < I; ++i)
        for (int j = lane; j < J; j += 32) total += from[(long long)i * step + j];
    total = warp_sum(total);
    if (lane == 0) (blockIdx.y ? gbias : gweight)[p] = total;
}

// J = apart = 1: a block of 32 x 8 threads per 32 neighboring outputs.
extern "C" __global__ void __launch_bounds__(32 * SUM_ROWS)
    normalize_sum_columns(const float *parts, float *gweight, float *gbias, int period, long long size, int I,
                          int step) {
    __shared__ float sums[SUM_ROWS][32];
    int column = threadIdx.x % 32, row = threadIdx.x / 32, p = blockIdx.x * 32 + column;
    const float *from = parts + blockIdx.y * size + p;
    float total = 0;
    if (p < period)
        for (int i = row; i < I; i += SUM_ROWS) total += from[(long long)i * step];
    sums[row][column] = total;
    __syncthreads();
    if (row > 0 || p >= period) return;
    for (int r = 1; r < SUM_ROWS; ++r) total += sums[r][column];
    (blockIdx.y ? gbias : gweight)[p] = total;
}
