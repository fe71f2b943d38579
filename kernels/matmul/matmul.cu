// Matrix products in float32: out (B, M, N) = a (B, M, K) times b (B, K, N), from one thread per sum to tiles in
// registers.  a and b may be transposed or broadcast: element (i, k) of a is a[i * a_row + k * a_col], the next matrix
// of the batch starts a_batch further on, and blockIdx.z = 0 is matrix `first`.  out is contiguous.
//
//   kernel           one thread computes   reads per product   idea
//   naive            one sum               2                   neighbors read neighbors (coalesced)
//   tiled            one sum               2 / 32              tiles of 32 x 32 in shared memory
//   register_tiled   8 x 4 sums            2 / 64              12 floats of shared memory for 32 products, two buffers
//   vectorized       8 x 8 sums            2 / 128             16 for 64; float4 from global memory
//
// From one kernel to the next, the same work moves to faster memory: DRAM and L2, shared memory, registers.  S. Boehm,
// "How to optimize a CUDA matmul kernel" (github.com/siboehm/SGEMM_CUDA), explains each step with measurements.
// The last two also add a bias to every row of out.  register_tiled_with_sums is register_tiled, and the blocks of its
// first column of tiles add up the rows of a, which they have in shared memory: a linear layer's gradients of weight
// and bias are gᵀ x and the sums of the rows of gᵀ.
// The grid: x counts tiles of rows (it can be longest along x), y tiles of columns, z matrices of the batch.
// Sums run over k in order: the same bits every time.
#include "register_tile.cuh"

// One thread per element of out; neighboring threads take neighboring columns, so that a warp reads 32 neighbors of b
// at once and one element of a that all of them share.  Two reads and one multiply-add per product: bound by memory,
// however much the caches hold.
extern "C" __global__ void matmul_naive(const float *a, const float *b, float *out, int M, int N, int K,
                                        long long a_batch, int a_row, int a_col, long long b_batch, int b_row,
                                        int b_col, int first) {
    int m = blockIdx.x * blockDim.y + threadIdx.y, n = blockIdx.y * blockDim.x + threadIdx.x;
    if (m >= M || n >= N) return;
    int batch = first + blockIdx.z;
    const float *x = a + batch * a_batch + (long long)m * a_row;
    const float *y = b + batch * b_batch + (long long)n * b_col;
    float sum = 0;
    for (int k = 0; k < K; ++k) sum += x[(long long)k * a_col] * y[(long long)k * b_row];
    out[((long long)batch * M + m) * N + n] = sum;
}

// A block of 32 x 32 threads computes a tile of out.  Step by step along k, it copies a 32 x 32 tile of a and one of b
// to shared memory, one element of each per thread, and then uses every element 32 times: a 32nd of naive's reads.
// Neighboring threads copy neighboring elements, which lie along k or along m; the 33rd column keeps a transposed copy
// from hitting the same bank of shared memory 32 times.
constexpr int TILE = 32;

extern "C" __global__ void __launch_bounds__(TILE * TILE)
    matmul_tiled(const float *a, const float *b, float *out, int M, int N, int K, long long a_batch, int a_row,
                 int a_col, long long b_batch, int b_row, int b_col, int first) {
    __shared__ float a_tile[TILE][TILE + 1], b_tile[TILE][TILE + 1];
    int tx = threadIdx.x, ty = threadIdx.y, m0 = blockIdx.x * TILE, n0 = blockIdx.y * TILE;
    int am = a_col == 1 ? ty : tx, ak = a_col == 1 ? tx : ty;  // the element of each tile that this thread copies
    int bn = b_col == 1 ? tx : ty, bk = b_col == 1 ? ty : tx;
    int batch = first + blockIdx.z;
    const float *x = a + batch * a_batch + (long long)(m0 + am) * a_row + (long long)ak * a_col;
    const float *y = b + batch * b_batch + (long long)(n0 + bn) * b_col + (long long)bk * b_row;
    float sum = 0;
    for (int k0 = 0; k0 < K; k0 += TILE) {
        a_tile[am][ak] = m0 + am < M && k0 + ak < K ? x[(long long)k0 * a_col] : 0;
        b_tile[bk][bn] = n0 + bn < N && k0 + bk < K ? y[(long long)k0 * b_row] : 0;
        __syncthreads();
        for (int k = 0; k < TILE; ++k) sum += a_tile[ty][k] * b_tile[k][tx];
        __syncthreads();
    }
    int m = m0 + ty, n = n0 + tx;
    if (m < M && n < N) out[((long long)batch * M + m) * N + n] = sum;
}

// ---- register_tiled, vectorized -----------------------------------------------------------------------------------
//
// A block computes a tile of out: 64 x 64 with 128 threads, or 128 x 128 with 256.  It walks along k in steps of 8.
// For each k, a thread of the larger tile reads 8 floats of a's column and 8 of b's row from shared memory, in four
// reads of 16 bytes, and makes 64 products of them: one read instruction for 16 that compute.  While one step is
// computed, the floats of the next are on their way from global memory to registers; they are then stored in the other
// one of two buffers, so that one barrier per step is enough.

constexpr int STEP = 8;  // columns of a and rows of b in shared memory

// How a thread takes its 4 of the (extent x 8) floats of a step from global memory.
enum Access {
    ALONG_K,     // one float4: 4 neighbors along k, transposed on the way to shared memory
    ALONG_SIDE,  // one float4: 4 neighbors along the rows of a, the columns of b
    ANY,         // 4 floats, any strides; neighbors in the warp are neighbors in memory
};

// One thread's share in copying a matrix, step by step, into tiles[k][0 .. SIDE) of shared memory.  "side" is the other
// axis: the rows of a, the columns of b.  Rows padded by 4 floats spread what a warp stores at once over 32 banks.
template <Access ACCESS, int SIDE, int THREADS>
struct Copy {
    static constexpr int PITCH = SIDE + 4;
    static_assert(SIDE * STEP == 4 * THREADS, "4 floats a thread");

    const float *next;            // this thread's first float in the next step
    long long advance, jump = 0;  // from step to step; ANY: from float to float in memory,
    int k_jump = 0;               // along k, and
    int apart = PITCH;            // in shared memory
    int to;                       // the first float's place in shared memory
    int k;                        // the first float's k in a step; larger than any K if its side is outside the matrix
    int inside = 0;               // ANY: bit i says whether the side of float i is inside the matrix

    __device__ __forceinline__ Copy(const float *matrix, int first, int extent, int side_stride, int k_stride) {
        int t = threadIdx.x, side, side_jump = 0;
        if (ACCESS == ALONG_K) {
            side = t / 2, k = t % 2 * 4;
        } else if (ACCESS == ALONG_SIDE) {
            side = t % (SIDE / 4) * 4, k = t / (SIDE / 4);
        } else if (k_stride == 1) {
            side = t / STEP, k = t % STEP, side_jump = THREADS / STEP;
        } else {
            side = t % SIDE, k = t / SIDE, k_jump = THREADS / SIDE;
        }
        next = matrix + (long long)(first + side) * side_stride + (long long)k * k_stride;
        advance = (long long)STEP * (ACCESS == ALONG_K ? 1 : k_stride);
        to = k * PITCH + side;
        if (ACCESS == ANY) {
            jump = (long long)side_jump * side_stride + (long long)k_jump * k_stride;
            apart = k_jump * PITCH + side_jump;
            for (int i = 0; i < 4; ++i) inside |= (first + side + i * side_jump < extent) << i;
        } else if (first + side >= extent) {
            k = 1 << 30;
        }
    }

    // The next step's floats; 0 outside the matrix, whose columns end k_left further on.
    __device__ __forceinline__ float4 load(int k_left) {
        float4 v = make_float4(0, 0, 0, 0);
        if (ACCESS == ANY) {
            if (inside & 1 && k < k_left) v.x = next[0];
            if (inside & 2 && k + k_jump < k_left) v.y = next[jump];
            if (inside & 4 && k + 2 * k_jump < k_left) v.z = next[2 * jump];
            if (inside & 8 && k + 3 * k_jump < k_left) v.w = next[3 * jump];
        } else if (k < k_left) {
            v = load4(next);
        }
        next += advance;
        return v;
    }

    __device__ __forceinline__ void store(float *tile, float4 v) const {
        tile += to;
        if (ACCESS == ALONG_SIDE) {
            store4(tile, v);
        } else {
            tile[0] = v.x, tile[apart] = v.y, tile[2 * apart] = v.z, tile[3 * apart] = v.w;
        }
    }
};

// One block's tile of out: WARPS_M x WARPS_N warps, TM x TN sums per thread, in the layout of register_tile.cuh.
// `bias` (N,) is added to every row, unless it is null; SUMS: row_sums[m] = the sum of row m of a.
template <Access A, Access B, int WARPS_M, int WARPS_N, int TM, int TN, bool SUMS = false>
struct RegisterTiled {
    using Tile = RegisterTile<WARPS_M, WARPS_N, TM, TN>;
    using CopyA = Copy<A, Tile::ROWS, Tile::THREADS>;
    using CopyB = Copy<B, Tile::COLUMNS, Tile::THREADS>;
    static constexpr int A_TILE = STEP * CopyA::PITCH, B_TILE = STEP * CopyB::PITCH;
    static constexpr int SHARED = 2 * (A_TILE + B_TILE);

    static __device__ __forceinline__ void run(float *shared, const float *a, const float *b, float *out, int M, int N,
                                               int K, long long a_batch, int a_row, int a_col, long long b_batch,
                                               int b_row, int b_col, int first, const float *bias,
                                               float *row_sums = nullptr) {
        int m0 = blockIdx.x * Tile::ROWS, n0 = blockIdx.y * Tile::COLUMNS;
        int m = Tile::row(threadIdx.x), n = Tile::column(threadIdx.x);
        float *a_tiles = shared, *b_tiles = shared + 2 * A_TILE;
        int batch = first + blockIdx.z;
        CopyA copy_a(a + batch * a_batch, m0, M, a_row, a_col);
        CopyB copy_b(b + batch * b_batch, n0, N, b_col, b_row);
        float sum[TM][TN] = {}, row_sum = 0;
        copy_a.store(a_tiles, copy_a.load(K));
        copy_b.store(b_tiles, copy_b.load(K));
        __syncthreads();
        int buffer = 0;
        for (int left = K - STEP; left > -STEP; left -= STEP) {
            float4 next_a = copy_a.load(left), next_b = copy_b.load(left);
            Tile::template multiply<STEP, CopyA::PITCH, CopyB::PITCH>(a_tiles + buffer * A_TILE + m,
                                                                      b_tiles + buffer * B_TILE + n, sum);
            if (SUMS && blockIdx.y == 0 && threadIdx.x < Tile::ROWS)
                row_sum += sum_of_step(a_tiles + buffer * A_TILE + threadIdx.x);
            buffer ^= 1;
            copy_a.store(a_tiles + buffer * A_TILE, next_a);
            copy_b.store(b_tiles + buffer * B_TILE, next_b);
            __syncthreads();
        }
        int t = again(threadIdx.x);  // recomputed, so that the loop need not keep it in registers
        if (bias) add_bias(bias, n0 + Tile::column(t), N, sum);
        write(out + (long long)again(batch) * M * N, m0 + Tile::row(t), n0 + Tile::column(t), M, N, sum);
        if (SUMS && blockIdx.y == 0 && t < Tile::ROWS && m0 + t < M) row_sums[m0 + t] = row_sum;
    }

    // The STEP floats of one row of a in shared memory, 0 past the end
    static __device__ __forceinline__ float sum_of_step(const float *a_tile) {
        float v[STEP];
#pragma unroll
        for (int k = 0; k < STEP; ++k) v[k] = a_tile[k * CopyA::PITCH];
        return ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
    }

    static __device__ __forceinline__ void add_bias(const float *bias, int n, int N, float (&sum)[TM][TN]) {
#pragma unroll
        for (int j = 0; j < TN; ++j) {
            int column = n + Tile::column_apart(j);
            float add = column < N ? bias[column] : 0;
#pragma unroll
            for (int i = 0; i < TM; ++i) sum[i][j] += add;
        }
    }

    static __device__ __forceinline__ void write(float *out, int m, int n, int M, int N, const float (&sum)[TM][TN]) {
#pragma unroll
        for (int i = 0; i < TM; ++i) {
            int row = m + Tile::row_apart(i);
            if (row >= M) continue;
#pragma unroll
            for (int j = 0; j < TN; j += 4) {
                int column = n + Tile::column_apart(j);
                float *to = out + (long long)row * N + column;
                if (N % 4 == 0) {
                    if (column < N) store4(to, make_float4(sum[i][j], sum[i][j + 1], sum[i][j + 2], sum[i][j + 3]));
                } else {
#pragma unroll
                    for (int c = 0; c < 4; ++c)
                        if (column + c < N) to[c] = sum[i][j + c];
                }
            }
        }
    }
};

// Any layout and size, in tiles of 64 x 64.
extern "C" __global__ void __launch_bounds__(128, 4)
    matmul_register_tiled(const float *a, const float *b, float *out, int M, int N, int K, long long a_batch, int a_row,
                          int a_col, long long b_batch, int b_row, int b_col, int first,
                          const float *bias) {
    using Tiled = RegisterTiled<ANY, ANY, 2, 2, 8, 4>;
    __shared__ __align__(16) float shared[Tiled::SHARED];
    Tiled::run(shared, a, b, out, M, N, K, a_batch, a_row, a_col, b_batch, b_row, b_col, first, bias);
}

extern "C" __global__ void __launch_bounds__(128, 4)
    matmul_register_tiled_with_sums(const float *a, const float *b, float *out, int M, int N, int K, long long a_batch,
                                    int a_row, int a_col, long long b_batch, int b_row, int b_col, int first,
                                    float *row_sums) {
    using Tiled = RegisterTiled<ANY, ANY, 2, 2, 8, 4, true>;
    __shared__ __align__(16) float shared[Tiled::SHARED];
    Tiled::run(shared, a, b, out, M, N, K, a_batch, a_row, a_col, b_batch, b_row, b_col, first, nullptr, row_sums);
}

// In tiles of 128 x 128.  nn: rows of a and of b are contiguous; nt: columns of b; tn: columns of a; tt: both.  Each is
// a multiple of 4 long and starts on a 16-byte boundary.
extern "C" __global__ void __launch_bounds__(256, 2)
    matmul_vectorized_nn(const float *a, const float *b, float *out, int M, int N, int K, long long a_batch, int a_row,
                          int a_col, long long b_batch, int b_row, int b_col, int first,
                          const float *bias) {
    using Tiled = RegisterTiled<ALONG_K, ALONG_SIDE, 4, 2, 8, 8>;
    __shared__ __align__(16) float shared[Tiled::SHARED];
    Tiled::run(shared, a, b, out, M, N, K, a_batch, a_row, a_col, b_batch, b_row, b_col, first, bias);
}

extern "C" __global__ void __launch_bounds__(256, 2)
    matmul_vectorized_nt(const float *a, const float *b, float *out, int M, int N, int K, long long a_batch, int a_row,
                          int a_col, long long b_batch, int b_row, int b_col, int first,
                          const float *bias) {
    using Tiled = RegisterTiled<ALONG_K, ALONG_K, 4, 2, 8, 8>;
    __shared__ __align__(16) float shared[Tiled::SHARED];
    Tiled::run(shared, a, b, out, M, N, K, a_batch, a_row, a_col, b_batch, b_row, b_col, first, bias);
}

extern "C" __global__ void __launch_bounds__(256, 2)
    matmul_vectorized_tn(const float *a, const float *b, float *out, int M, int N, int K, long long a_batch, int a_row,
                          int a_col, long long b_batch, int b_row, int b_col, int first,
                          const float *bias) {
    using Tiled = RegisterTiled<ALONG_SIDE, ALONG_SIDE, 4, 2, 8, 8>;
    __shared__ __align__(16) float shared[Tiled::SHARED];
    Tiled::run(shared, a, b, out, M, N, K, a_batch, a_row, a_col, b_batch, b_row, b_col, first, bias);
}

extern "C" __global__ void __launch_bounds__(256, 2)
    matmul_vectorized_tt(const float *a, const float *b, float *out, int M, int N, int K, long long a_batch, int a_row,
                          int a_col, long long b_batch, int b_row, int b_col, int first,
                          const float *bias) {
    using Tiled = RegisterTiled<ALONG_SIDE, ALONG_K, 4, 2, 8, 8>;
    __shared__ __align__(16) float shared[Tiled::SHARED];
    Tiled::run(shared, a, b, out, M, N, K, a_batch, a_row, a_col, b_batch, b_row, b_col, first, bias);
}
