// Softmax and its logarithm in float32, and their gradients: a ladder from one thread per row to rows kept in
// registers.
//
//   kernel       a row belongs to   reads of x   what it adds
//   naive        a thread           3            (along any dimension)
//   block_rows   a block            1            neighbors read neighbors, float4; a row of up to 16384 numbers
//                                                stays in registers, a longer one is read twice
//   warp_rows    a warp             1            no barriers; for rows of up to 256 numbers
//
// Least traffic per element: 8 bytes forward (x, y), 12 backward (g, y, gx).  Maximum and sum are found in one pass:
// each thread keeps the largest number m so far and the sum of exp(x - m), and rescales the sum when m grows (Milakov
// & Gimelshein 2018, arXiv 1805.02867, algorithm 3); then the threads' pairs are combined.  A row of -inf gives nan,
// and so does every row with a nan or +inf in it, as in the reference.
#include "rows.cuh"

// The number to subtract from a row whose largest number so far is `highest`: 0 instead of -inf, as -inf - -inf is nan.
__device__ __forceinline__ float centre_of(float highest) { return highest == -infinity() ? 0.0f : highest; }

// ---- naive: a thread takes row r of x (A, C, B), that is x[r / B, :, r % B] -----------------------------------------

template <bool LOG>
__device__ __forceinline__ void naive(const float *x, float *y, long long rows, int C, int B) {
    long long r = (long long)blockIdx.x * blockDim.x + threadIdx.x, first = r / B * C * B + r % B;
    if (r >= rows) return;
    float highest = -infinity(), total = 0;
    for (int c = 0; c < C; ++c) highest = fmaxf(highest, x[first + (long long)c * B]);
    for (int c = 0; c < C; ++c) total += expf(x[first + (long long)c * B] - highest);
    for (int c = 0; c < C; ++c) {
        float d = x[first + (long long)c * B] - highest;
        y[first + (long long)c * B] = LOG ? d - logf(total) : expf(d) / total;
    }
}

template <bool LOG>
__device__ __forceinline__ void naive_grad(const float *g, const float *y, float *gx, long long rows, int C, int B) {
    long long r = (long long)blockIdx.x * blockDim.x + threadIdx.x, first = r / B * C * B + r % B;
    if (r >= rows) return;
    float total = 0;
    for (int c = 0; c < C; ++c) {
        long long i = first + (long long)c * B;
        total += LOG ? g[i] : g[i] * y[i];
    }
    for (int c = 0; c < C; ++c) {
        long long i = first + (long long)c * B;
        gx[i] = LOG ? g[i] - expf(y[i]) * total : y[i] * (g[i] - total);
    }
}

// ---- block_rows, warp_rows: rows of `size` numbers ------------------------------------------------------------------

// A team reads its row in pieces of N floats per thread.  If one piece is the whole row, it is still in registers
// when the sum is known; otherwise the pieces are read again.
template <bool WARP, int N, bool LOG>
__device__ __forceinline__ void forward(const float *x, float *y, long long rows, int size) {
    Team<WARP> team;
    if (team.row >= rows) return;
    x += team.row * size, y += team.row * size;
    bool quads = size % 4 == 0 && in_fours(x) && in_fours(y);
    Piece<N> piece;
    float highest = -infinity(), total = 0;
    for (int start = 0; start < size; start += N * team.threads) {
        piece.load(x + start, size - start, team, quads, -infinity());
        float before = highest;
#pragma unroll
        for (int i = 0; i < N; ++i) highest = fmaxf(highest, piece.v[i]);
        float centre = centre_of(highest);
        total *= expf(before - centre);
#pragma unroll
        for (int i = 0; i < N; ++i) total += expf(piece.v[i] - centre);
    }
    float all = team.max(highest);
    total = team.sum(total * expf(highest - centre_of(all)));
    float scale = LOG ? logf(total) : 1 / total;
    for (int start = 0; start < size; start += N * team.threads) {
        if (size > N * team.threads) piece.load(x + start, size - start, team, quads, 0);
#pragma unroll
        for (int i = 0; i < N; ++i)
            piece.v[i] = LOG ? piece.v[i] - all - scale : expf(piece.v[i] - all) * scale;
        piece.store(y + start, size - start, team, quads);
    }
}

// gx = y (g - sum(g y)); for the logarithm, gx = g - exp(y) sum(g)
template <bool WARP, int N, bool LOG>
__device__ __forceinline__ void backward(const float *g, const float *y, float *gx, long long rows, int size) {
    Team<WARP> team;
    if (team.row >= rows) return;
    g += team.row * size, y += team.row * size, gx += team.row * size;
    bool quads = size % 4 == 0 && in_fours(g) && in_fours(y) && in_fours(gx);
    Piece<N> gs, ys;
    float total = 0;
    for (int start = 0; start < size; start += N * team.threads) {
        gs.load(g + start, size - start, team, quads, 0);
        ys.load(y + start, size - start, team, quads, 0);
#pragma unroll
        for (int i = 0; i < N; ++i) total += LOG ? gs.v[i] : gs.v[i] * ys.v[i];
    }
    total = team.sum(total);
    for (int start = 0; start < size; start += N * team.threads) {
        if (size > N * team.threads) {
            gs.load(g + start, size - start, team, quads, 0);
            ys.load(y + start, size - start, team, quads, 0);
        }
#pragma unroll
        for (int i = 0; i < N; ++i)
            gs.v[i] = LOG ? gs.v[i] - expf(ys.v[i]) * total : ys.v[i] * (gs.v[i] - total);
        gs.store(gx + start, size - start, team, quads);
    }
}

#define SOFTMAX_KERNELS(NAME, LOG)                                                                                     \
    extern "C" __global__ void NAME##_naive(const float *x, float *y, long long rows, int C, int B) {                  \
        naive<LOG>(x, y, rows, C, B);                                                                                  \
    }                                                                                                                  \
    extern "C" __global__ void NAME##_grad_naive(const float *g, const float *y, float *gx, long long rows, int C,     \
                                                 int B) {                                                              \
        naive_grad<LOG>(g, y, gx, rows, C, B);                                                                         \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(256)                                                                  \
        NAME##_warp_rows(const float *x, float *y, long long rows, int size) {                                         \
        forward<true, 8, LOG>(x, y, rows, size);                                                                       \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(1024)                                                                 \
        NAME##_block_rows(const float *x, float *y, long long rows, int size) {                                        \
        forward<false, 16, LOG>(x, y, rows, size);                                                                     \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(256)                                                                  \
        NAME##_grad_warp_rows(const float *g, const float *y, float *gx, long long rows, int size) {                   \
        backward<true, 8, LOG>(g, y, gx, rows, size);                                                                  \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(1024)                                                                 \
        NAME##_grad_block_rows(const float *g, const float *y, float *gx, long long rows, int size) {                  \
        backward<false, 16, LOG>(g, y, gx, rows, size);                                                                \
    }

SOFTMAX_KERNELS(softmax, false)
SOFTMAX_KERNELS(log_softmax, true)
