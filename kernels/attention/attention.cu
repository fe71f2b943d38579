// Attention in float32 without an array of L x T scores: the forward, and the gradients from its log-sum-exp.
//
//   y = p v with the weights p = softmax(s) over the keys, s = scale q kᵀ + bias      q (N, H, L, D), k (N, H, T, D)
//   lse = log Σ exp(s), so that the backward finds p = exp(s - lse) again             v (N, H, T, E), y (N, H, L, E)
//   gv = pᵀ g,  gs = p (g vᵀ - Σ g y),  gq = scale gs k,  gk = scale gsᵀ q
//
//   kernel                          a thread computes      floats read per product   idea
//   attention_naive                 one query              from DRAM, L2: 2          a running maximum and sum
//   attention_tiled_32, 64, 128     4 queries of 64        from shared: 1/3 - 1/2    tiles, products in registers
//   attention_grad_naive_queries    gq of one query        from DRAM, L2: 2          weights recomputed from lse
//   attention_grad_naive_keys       gk, gv of one key      from DRAM, L2: 2          each sum has one owner: no atomics
//   attention_grad_queries_32, …    4 queries of 64 (32)   from shared: 1/3 - 1/2    tiles, products in registers
//   attention_grad_keys_32, …       4 keys of 64 (32)      from shared: 1/3 - 1/2    the same loop, roles exchanged
//
// The forward reads q once and writes y and lse once; it reads k and v once per tile of 64 queries, where the naive
// kernel reads them once per query.  Running maximum and sum: Milakov & Gimelshein 2018, arXiv 1805.02867, alg. 3.
// Tiles: Dao et al. 2022, arXiv 2205.14135.  A block holds its queries and walks over the keys; in the backward a block
// also holds its keys and walks over the queries: Dao 2023, arXiv 2307.08691, whose backward adds to gq with atomics.
// Here a second kernel recomputes the weights for gq: 7 products instead of 5, and the same bits every time.
//
// 32, 64, 128: what D and E are rounded up to.  Rows of q, k, v, g and bias may be anywhere in memory: element (i, j)
// of image n, head h is x[n * x_image + h * x_head + i * x_row + j].  bias is null or broadcast with distances of 0; y,
// lse and all outputs are contiguous.  A query that may see no key gets y = 0, lse = -inf and no gradient.
//
// More than 400 lines: the tiled kernels are best read against the naive ones, and both share Matrix and Head.
#include "common.cuh"

struct Matrix {
    const float *first;
    long long row;  // distance between rows
    int rows, columns;

    __device__ __forceinline__ const float *operator[](int i) const { return first + i * row; }

    // Elements (i, j) to (i, j + 3); 0 outside the matrix.
    __device__ __forceinline__ float4 quad(int i, int j) const {
        if (i >= rows || j >= columns) return make_float4(0, 0, 0, 0);
        const float *at = first + i * row + j;
        if (j + 4 <= columns && (unsigned long long)at % 16 == 0) return load4(at);
        return make_float4(at[0], j + 1 < columns ? at[1] : 0, j + 2 < columns ? at[2] : 0,
                           j + 3 < columns ? at[3] : 0);
    }
};

// One head of one image.
struct Head {
    Matrix q, k, v;
    const float *bias;
    long long bias_row, bias_column;
    float scale;
    bool causal;

    __device__ __forceinline__ bool sees(int query, int key) const {
        return query < q.rows && key < k.rows && !(causal && key > query);
    }
    __device__ __forceinline__ float score(float product, int query, int key) const {
        return product * scale + (bias ? bias[query * bias_row + key * bias_column] : 0);
    }
};

#define ARRAY(x) const float *x, long long x##_image, long long x##_head, long long x##_row
#define ATTENTION                                                                                               \
    ARRAY(q), ARRAY(k), ARRAY(v), const float *bias, long long bias_image, long long bias_head,                 \
        long long bias_row, long long bias_column, int heads, int L, int T, int D, int E, float scale, int causal
#define MATRIX(x, number, rows, columns) \
    Matrix { x + (number) / heads * x##_image + (number) % heads * x##_head, x##_row, rows, columns }
#define HEAD(number)                                                                                            \
    Head {                                                                                                      \
        MATRIX(q, number, L, D), MATRIX(k, number, T, D), MATRIX(v, number, T, E),                              \
            bias ? bias + (number) / heads * bias_image + (number) % heads * bias_head : bias, bias_row,        \
            bias_column, scale, causal != 0                                                                     \
    }

// ---- naive --------------------------------------------------------------------------------------------------------
//
// A thread takes one row and accumulates its sums in memory, in the row that it writes.  Neighbors own rows that are
// far apart, and all of them read the same rows of the other side.

__device__ __forceinline__ float dot(const float *x, const float *y, int n) {
    float sum = 0;
    for (int i = 0; i < n; ++i) sum += x[i] * y[i];
    return sum;
}

extern "C" __global__ void attention_naive(ATTENTION, float *y, float *lse) {
    int blocks = ceil_div(L, blockDim.x), number = blockIdx.x / blocks;
    int query = blockIdx.x % blocks * blockDim.x + threadIdx.x;
    if (query >= L) return;
    Head head = HEAD(number);
    long long row = (long long)number * L + query;
    float *out = y + row * E, highest = -infinity(), total = 0;
    for (int e = 0; e < E; ++e) out[e] = 0;
    for (int key = 0; key < T && head.sees(query, key); ++key) {
        float s = head.score(dot(head.q[query], head.k[key], D), query, key);
        if (s == -infinity()) continue;
        float before = highest;
        highest = fmaxf(highest, s);
        float shrink = expf(before - highest), weight = expf(s - highest);
        total = total * shrink + weight;
        for (int e = 0; e < E; ++e) out[e] = out[e] * shrink + weight * head.v[key][e];
    }
    for (int e = 0; e < E; ++e) out[e] /= total == 0 ? 1 : total;
    lse[row] = total == 0 ? -infinity() : highest + logf(total);
}

// Σ g y of every query, one warp per row; g (N, H, L, E).
extern "C" __global__ void attention_grad_mean(ARRAY(g), const float *y, float *mean, int heads, int L, int E,
                                               long long rows) {
    long long row = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / 32;
    if (row >= rows) return;
    int number = int(row / L), lane = threadIdx.x % 32;
    const float *x = MATRIX(g, number, L, E)[int(row % L)];
    float sum = 0;
    for (int e = lane; e < E; e += 32) sum += x[e] * y[row * E + e];
    sum = warp_sum(sum);
    if (lane == 0) mean[row] = sum;
}

// What to subtract from a query's scores.  A query that saw no key has scores of -inf, and so weights of 0.
__device__ __forceinline__ float shift_of(float lse) { return lse == -infinity() ? 0 : lse; }

extern "C" __global__ void attention_grad_naive_queries(ARRAY(g), ATTENTION, const float *lse, const float *mean,
                                                        float *gq, float *gs) {
    int blocks = ceil_div(L, blockDim.x), number = blockIdx.x / blocks;
    int query = blockIdx.x % blocks * blockDim.x + threadIdx.x;
    if (query >= L) return;
    Head head = HEAD(number);
    long long row = (long long)number * L + query;
    const float *gy = MATRIX(g, number, L, E)[query];
    float *out = gq + row * D, shift = shift_of(lse[row]);
    for (int d = 0; d < D; ++d) out[d] = 0;
    for (int key = 0; key < T && head.sees(query, key); ++key) {
        float p = expf(head.score(dot(head.q[query], head.k[key], D), query, key) - shift);
        float change = p * (dot(gy, head.v[key], E) - mean[row]);
        if (gs) gs[row * T + key] = change;
        for (int d = 0; d < D; ++d) out[d] += scale * change * head.k[key][d];
    }
}

extern "C" __global__ void attention_grad_naive_keys(ARRAY(g), ATTENTION, const float *lse, const float *mean,
                                                     float *gk, float *gv) {
    int blocks = ceil_div(T, blockDim.x), number = blockIdx.x / blocks;
    int key = blockIdx.x % blocks * blockDim.x + threadIdx.x;
    if (key >= T) return;
    Head head = HEAD(number);
    Matrix gy = MATRIX(g, number, L, E);
    float *out_k = gk + ((long long)number * T + key) * D, *out_v = gv + ((long long)number * T + key) * E;
    for (int d = 0; d < D; ++d) out_k[d] = 0;
    for (int e = 0; e < E; ++e) out_v[e] = 0;
    for (int query = causal ? key : 0; query < L; ++query) {
        long long row = (long long)number * L + query;
        float p = expf(head.score(dot(head.q[query], head.k[key], D), query, key) - shift_of(lse[row]));
        float change = p * (dot(gy[query], head.v[key], E) - mean[row]);
        for (int e = 0; e < E; ++e) out_v[e] += p * gy[query][e];
        for (int d = 0; d < D; ++d) out_k[d] += scale * change * head.q[query][d];
    }
}

// ---- tiled --------------------------------------------------------------------------------------------------------
//
// A block owns OWN rows (queries; keys in attention_grad_keys), which stay in shared memory with all their columns.  It
// walks over the other rows 32 at a time, and over their columns 32 at a time: a chunk.  Thread (ty, tx) has the rows
// ty, ty + TY, … of the block and computes from them and a chunk
//   scores    4 x 4 sums over the chunk's columns, with the other rows tx, tx + 8, …: 8 float4 make 64 products
//   weighted  4 x 4 sums over the other rows, for columns 4 tx … 4 tx + 3: 8 float4 make 64 products, or 20 make 256 if
//             four chunks make up 128 columns
// The weights of a row pass through shared memory to the seven other threads of that row, which are in the same warp.
// Pitches of 32 k + 4 put the rows that a warp reads at once on different banks.

constexpr int CHUNK = 32, PITCH = CHUNK + 4;

__device__ __forceinline__ float dot(float4 x, float4 y, float sum) {
    return sum + x.x * y.x + x.y * y.y + x.z * y.z + x.w * y.w;
}

__device__ __forceinline__ void add(float4 &sum, float factor, float4 x) {
    sum.x += factor * x.x, sum.y += factor * x.y, sum.z += factor * x.z, sum.w += factor * x.w;
}

__device__ __forceinline__ float4 operator*(float4 x, float factor) {
    return make_float4(x.x * factor, x.y * factor, x.z * factor, x.w * factor);
}

__device__ __forceinline__ float4 operator/(float4 x, float divisor) {
    return make_float4(x.x / divisor, x.y / divisor, x.z / divisor, x.w / divisor);
}

// Over the 8 threads that share rows: they are neighbors in a warp.
__device__ __forceinline__ float row_sum(float v) {
    for (int distance = 4; distance > 0; distance /= 2) v += __shfl_xor_sync(FULL_WARP, v, distance);
    return v;
}

__device__ __forceinline__ float row_max(float v) {
    for (int distance = 4; distance > 0; distance /= 2) v = fmaxf(v, __shfl_xor_sync(FULL_WARP, v, distance));
    return v;
}

template <int COLUMNS, int OWN>
struct Tiled {
    static constexpr int THREADS = 2 * OWN, TY = OWN / 4, CHUNKS = COLUMNS / CHUNK, OWN_PITCH = COLUMNS + 4;
    static constexpr int OWN_FLOATS = OWN * OWN_PITCH, CHUNK_FLOATS = CHUNK * PITCH, WEIGHTS = OWN * PITCH;

    int tx = threadIdx.x % 8, ty = threadIdx.x / 8;

    // Copy ROWS rows and 32 columns of m, from (row, column) on, to shared memory.
    template <int ROWS, int TO_PITCH>
    __device__ __forceinline__ void copy(Matrix m, int row, int column, float *to) const {
#pragma unroll
        for (int i = ty; i < ROWS; i += TY) store4(to + i * TO_PITCH + 4 * tx, m.quad(row + i, column + 4 * tx));
    }

    __device__ __forceinline__ void copy_own(Matrix m, int row, float *own) const {
        for (int column = 0; column < m.columns; column += CHUNK)
            copy<OWN, OWN_PITCH>(m, row, column, own + column);
    }

    // Load the next chunk, once all threads are done with the previous one.
    __device__ __forceinline__ void next(Matrix m, int row, int column, float *chunk) const {
        __syncthreads();
        copy<CHUNK, PITCH>(m, row, column, chunk);
        __syncthreads();
    }

    // sum[r][c] += Σ_d own[ty + TY r][d] chunk[tx + 8 c][d]
    __device__ __forceinline__ void scores(const float *own, const float *chunk, float (&sum)[4][4]) const {
#pragma unroll 2
        for (int d = 0; d < CHUNK; d += 4) {
            float4 x[4], y[4];
#pragma unroll
            for (int r = 0; r < 4; ++r) x[r] = load4(own + (ty + TY * r) * OWN_PITCH + d);
#pragma unroll
            for (int c = 0; c < 4; ++c) y[c] = load4(chunk + (tx + 8 * c) * PITCH + d);
#pragma unroll
            for (int r = 0; r < 4; ++r)
#pragma unroll
                for (int c = 0; c < 4; ++c) sum[r][c] = dot(x[r], y[c], sum[r][c]);
        }
    }

    // Pass weights to the threads of the same rows, which read them after the barriers of the next chunk:
    // weights[ty + TY r][tx + 8 c] = w[r][c]
    __device__ __forceinline__ void hand_over(const float (&w)[4][4], float *weights) const {
        __syncwarp();  // the previous weights have been read
#pragma unroll
        for (int r = 0; r < 4; ++r)
#pragma unroll
            for (int c = 0; c < 4; ++c) weights[(ty + TY * r) * PITCH + tx + 8 * c] = w[r][c];
    }

    // sum[r] += Σ_t weights[ty + TY r][t] chunk[t][4 tx … 4 tx + 3]
    __device__ __forceinline__ void weighted(const float *weights, const float *chunk, float4 (&sum)[4]) const {
#pragma unroll 2
        for (int t = 0; t < CHUNK; t += 4) {
            float4 w[4];
#pragma unroll
            for (int r = 0; r < 4; ++r) w[r] = load4(weights + (ty + TY * r) * PITCH + t);
            const float *others = chunk + t * PITCH + 4 * tx;
            float4 x = load4(others), y = load4(others + PITCH), z = load4(others + 2 * PITCH);
            float4 last = load4(others + 3 * PITCH);
#pragma unroll
            for (int r = 0; r < 4; ++r)
                add(sum[r], w[r].x, x), add(sum[r], w[r].y, y), add(sum[r], w[r].z, z), add(sum[r], w[r].w, last);
        }
    }

    // Write the sums times factor[r] to a contiguous matrix of `rows` x `columns`.
    __device__ __forceinline__ void write(const float4 (&sum)[CHUNKS][4], const float (&factor)[4], int first,
                                          int rows, int columns, float *out) const {
#pragma unroll
        for (int r = 0; r < 4; ++r) {
            int row = first + ty + TY * r;
#pragma unroll
            for (int j = 0; j < CHUNKS; ++j) {
                int column = j * CHUNK + 4 * tx;
                if (row >= rows || column >= columns) continue;
                float *to = out + (long long)row * columns + column;
                float4 v = sum[j][r] * factor[r];
                if (columns % 4 == 0) {
                    store4(to, v);
                } else {
                    to[0] = v.x;
                    if (column + 1 < columns) to[1] = v.y;
                    if (column + 2 < columns) to[2] = v.z;
                    if (column + 3 < columns) to[3] = v.w;
                }
            }
        }
    }

    // y (L, E) and lse (L) for OWN queries from `first` on.
    __device__ __forceinline__ void forward(Head head, int first, float *own, float *chunk, float *weights, float *y,
                                            float *lse) const {
        float highest[4] = {-infinity(), -infinity(), -infinity(), -infinity()};
        float total[4] = {};  // this thread's share of Σ exp(score - highest)
        float4 sum[CHUNKS][4] = {};
        int D = head.q.columns, E = head.v.columns, T = head.k.rows;
        copy_own(head.q, first, own);
        int end = head.causal ? min(T, first + OWN) : T;
        for (int start = 0; start < end; start += CHUNK) {
            float score[4][4] = {};
            for (int d = 0; d < D; d += CHUNK) {
                next(head.k, start, d, chunk);
                scores(own + d, chunk, score);
            }
#pragma unroll
            for (int r = 0; r < 4; ++r) {
                int query = first + ty + TY * r;
                float before = highest[r];
#pragma unroll
                for (int c = 0; c < 4; ++c) {
                    int key = start + tx + 8 * c;
                    score[r][c] = head.sees(query, key) ? head.score(score[r][c], query, key) : -infinity();
                    highest[r] = fmaxf(highest[r], score[r][c]);
                }
                highest[r] = row_max(highest[r]);
                float shift = shift_of(highest[r]), shrink = expf(before - shift);
                total[r] *= shrink;
#pragma unroll
                for (int c = 0; c < 4; ++c) total[r] += score[r][c] = expf(score[r][c] - shift);
#pragma unroll
                for (int j = 0; j < CHUNKS; ++j) sum[j][r] = sum[j][r] * shrink;
            }
            hand_over(score, weights);
#pragma unroll
            for (int j = 0; j < CHUNKS; ++j) {
                if (j * CHUNK >= E) break;
                next(head.v, start, j * CHUNK, chunk);
                weighted(weights, chunk, sum[j]);
            }
        }
#pragma unroll
        for (int r = 0; r < 4; ++r) {
            int query = first + ty + TY * r;
            total[r] = row_sum(total[r]);
            if (tx == 0 && query < head.q.rows) lse[query] = highest[r] + logf(total[r]);
            total[r] = total[r] == 0 ? 1 : total[r];
#pragma unroll
            for (int j = 0; j < CHUNKS; ++j) sum[j][r] = sum[j][r] / total[r];  // rather than times a rounded 1 / total
        }
        constexpr float ONCE[4] = {1, 1, 1, 1};
        write(sum, ONCE, first, head.q.rows, E, y);
    }

    // For OWN queries: gq (L, D), and gs (L, T) unless it is null.  For OWN keys (KEYS): gk (T, D) and gv (T, E).
    template <bool KEYS>
    __device__ __forceinline__ void backward(Head head, Matrix g, const float *lse, const float *mean, int first,
                                             float *own, float *own_values, float *chunk, float *weights,
                                             float *grad, float *grad_values, float *gs) const {
        // p = exp(scale own otherᵀ + bias - lse) and the gradient of p, own_values other_valuesᵀ, are (OWN, 32)
        Matrix mine = KEYS ? head.k : head.q, other = KEYS ? head.q : head.k;
        Matrix mine_values = KEYS ? head.v : g, other_values = KEYS ? g : head.v;
        int D = mine.columns, E = g.columns, L = g.rows, T = head.k.rows;
        float4 sum[CHUNKS][4] = {}, sum_values[CHUNKS][4] = {};
        copy_own(mine, first, own);
        copy_own(mine_values, first, own_values);
        int begin = KEYS && head.causal ? first : 0;  // queries before a key do not see it
        int end = !KEYS && head.causal ? min(T, first + OWN) : other.rows;
        for (int start = begin; start < end; start += CHUNK) {
            float p[4][4] = {}, change[4][4] = {};
            for (int d = 0; d < D; d += CHUNK) {
                next(other, start, d, chunk);
                scores(own + d, chunk, p);
            }
#pragma unroll
            for (int r = 0; r < 4; ++r)
#pragma unroll
                for (int c = 0; c < 4; ++c) {
                    int a = first + ty + TY * r, b = start + tx + 8 * c, query = KEYS ? b : a, key = KEYS ? a : b;
                    bool seen = head.sees(query, key);
                    p[r][c] = seen ? expf(head.score(p[r][c], query, key) - shift_of(lse[query])) : 0;
                }
            if (KEYS) hand_over(p, weights);
#pragma unroll
            for (int j = 0; j < CHUNKS; ++j) {
                if (j * CHUNK >= E) break;
                next(other_values, start, j * CHUNK, chunk);
                scores(own_values + j * CHUNK, chunk, change);
                if (KEYS) weighted(weights, chunk, sum_values[j]);
            }
#pragma unroll
            for (int r = 0; r < 4; ++r)
#pragma unroll
                for (int c = 0; c < 4; ++c) {
                    int a = first + ty + TY * r, b = start + tx + 8 * c, query = KEYS ? b : a, key = KEYS ? a : b;
                    change[r][c] = p[r][c] * (change[r][c] - (query < L ? mean[query] : 0));
                    if (!KEYS && gs && query < L && key < T) gs[(long long)query * T + key] = change[r][c];
                }
            hand_over(change, weights);
#pragma unroll
            for (int j = 0; j < CHUNKS; ++j) {
                if (j * CHUNK >= D) break;
                next(other, start, j * CHUNK, chunk);
                weighted(weights, chunk, sum[j]);
            }
        }
        float scale[4] = {head.scale, head.scale, head.scale, head.scale}, one[4] = {1, 1, 1, 1};
        write(sum, scale, first, mine.rows, D, grad);
        if (KEYS) write(sum_values, one, first, mine.rows, E, grad_values);
    }
};

#define FORWARD(COLUMNS, OWN, BLOCKS)                                                                           \
    extern "C" __global__ void __launch_bounds__(2 * OWN, BLOCKS)                                               \
        attention_tiled_##COLUMNS(ATTENTION, float *y, float *lse) {                                            \
        using Tile = Tiled<COLUMNS, OWN>;                                                                       \
        __shared__ __align__(16) float own[Tile::OWN_FLOATS], chunk[Tile::CHUNK_FLOATS], weights[Tile::WEIGHTS]; \
        int tiles = ceil_div(L, OWN), number = blockIdx.x / tiles, first = blockIdx.x % tiles * OWN;            \
        long long rows = (long long)number * L;                                                                 \
        Tile().forward(HEAD(number), first, own, chunk, weights, y + rows * E, lse + rows);                     \
    }

#define BACKWARD(COLUMNS, OWN, BLOCKS)                                                                          \
    extern "C" __global__ void __launch_bounds__(2 * OWN, BLOCKS)                                               \
        attention_grad_queries_##COLUMNS(ARRAY(g), ATTENTION, const float *lse, const float *mean, float *gq,   \
                                         float *gs) {                                                           \
        using Tile = Tiled<COLUMNS, OWN>;                                                                       \
        __shared__ __align__(16) float own[Tile::OWN_FLOATS], own_values[Tile::OWN_FLOATS];                     \
        __shared__ __align__(16) float chunk[Tile::CHUNK_FLOATS], weights[Tile::WEIGHTS];                       \
        int tiles = ceil_div(L, OWN), number = blockIdx.x / tiles, first = blockIdx.x % tiles * OWN;            \
        long long rows = (long long)number * L;                                                                 \
        Tile().backward<false>(HEAD(number), MATRIX(g, number, L, E), lse + rows, mean + rows, first, own,      \
                               own_values, chunk, weights, gq + rows * D, nullptr, gs ? gs + rows * T : gs);    \
    }                                                                                                           \
    extern "C" __global__ void __launch_bounds__(2 * OWN, BLOCKS)                                               \
        attention_grad_keys_##COLUMNS(ARRAY(g), ATTENTION, const float *lse, const float *mean, float *gk,      \
                                      float *gv) {                                                              \
        using Tile = Tiled<COLUMNS, OWN>;                                                                       \
        __shared__ __align__(16) float own[Tile::OWN_FLOATS], own_values[Tile::OWN_FLOATS];                     \
        __shared__ __align__(16) float chunk[Tile::CHUNK_FLOATS], weights[Tile::WEIGHTS];                       \
        int tiles = ceil_div(T, OWN), number = blockIdx.x / tiles, first = blockIdx.x % tiles * OWN;            \
        long long rows = (long long)number * L, keys = (long long)number * T;                                   \
        Tile().backward<true>(HEAD(number), MATRIX(g, number, L, E), lse + rows, mean + rows, first, own,       \
                              own_values, chunk, weights, gk + keys * D, gv + keys * E, nullptr);               \
    }

// As many rows as fit into 48 KiB of shared memory per block, and as many blocks per multiprocessor as leave each
// thread enough registers.
FORWARD(32, 64, 4)
FORWARD(64, 64, 4)
FORWARD(128, 64, 3)
BACKWARD(32, 64, 3)
BACKWARD(64, 64, 2)
BACKWARD(128, 32, 4)
