// Matrix products in float32: out (B, M, N) = a (B, M, K) times b (B, K, N), the ladder from one thread a sum to tiles
// in registers.  a and b may be transposed or broadcast: element (i, k) of a is a[i * a_row + k * a_col], the next matrix
// of the batch begins a_batch further on.  out is contiguous.
//
//   kernel           one thread computes     reads of a and b, in floats a product   what it adds
//   naive            one sum                 2                                       neighbours read neighbours (coalesced)
//   tiled            one sum                 2 / 32                                  tiles of 32 x 32 in shared memory
//
// Blocks: x counts tiles of rows (the longest grid is along x), y tiles of columns, z matrices of the batch.
// Sums run over k in order: the same bits every time.
#include "common.cuh"

// One thread, one element of out; threads next to each other take columns next to each other, so that a warp reads 32
// neighbours of b at once and one element of a that all of them share.  Per product two reads and one multiply-add:
// bound by memory, whatever the caches keep.
extern "C" __global__ void matmul_naive(const float *a, const float *b, float *out, int M, int N, int K,
                                        long long a_batch, int a_row, int a_col, long long b_batch, int b_row,
                                        int b_col, int batches) {
    int m = blockIdx.x * blockDim.y + threadIdx.y, n = blockIdx.y * blockDim.x + threadIdx.x;
    if (m >= M || n >= N) return;
    for (int batch = blockIdx.z; batch < batches; batch += gridDim.z) {
        const float *x = a + batch * a_batch + (long long)m * a_row;
        const float *y = b + batch * b_batch + (long long)n * b_col;
        float sum = 0;
        for (int k = 0; k < K; ++k) sum += x[(long long)k * a_col] * y[(long long)k * b_row];
        out[((long long)batch * M + m) * N + n] = sum;
    }
}

// A block of 32 x 32 threads computes a tile of out.  Step by step along k it copies a 32 x 32 tile of a and one of b to
// shared memory, each thread one element of each, and every element is then used 32 times: a 32nd of naive's reads.
// Threads next to each other copy what lies next to each other, which is along k or along m; the 33rd column keeps a
// transposed copy from hitting one bank of shared memory 32 times.
constexpr int TILE = 32;

extern "C" __global__ void __launch_bounds__(TILE * TILE)
    matmul_tiled(const float *a, const float *b, float *out, int M, int N, int K, long long a_batch, int a_row,
                 int a_col, long long b_batch, int b_row, int b_col, int batches) {
    __shared__ float a_tile[TILE][TILE + 1], b_tile[TILE][TILE + 1];
    int tx = threadIdx.x, ty = threadIdx.y, m0 = blockIdx.x * TILE, n0 = blockIdx.y * TILE;
    int am = a_col == 1 ? ty : tx, ak = a_col == 1 ? tx : ty;  // the element of each tile that this thread copies
    int bn = b_col == 1 ? tx : ty, bk = b_col == 1 ? ty : tx;
    for (int batch = blockIdx.z; batch < batches; batch += gridDim.z) {
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
}
