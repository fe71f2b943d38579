// Convolution in float32 and its two gradients: x (N, C, H, W), w (K, C/G, R, S), y and gy (N, K, P, Q), contiguous.
//
//     y[n, k, p, q] = sum over c, r, s of w[k, c, r, s] x[n, c, p stride + r dilation - top, q stride + ... - left]
//
//   kernel          one thread computes   reads per product   idea
//   naive           one sum               2                   neighbors compute neighboring pixels (coalesced)
//   implicit_gemm   8 x 4 sums            2 / 64              tiles in shared memory and registers, as in matmul.cu
//
// implicit_gemm treats convolution as a matrix product.  For y: filters (K/G, C/G R S) times an unfolded x (C/G R S,
// N P Q), with a column of C/G R S numbers per output position.  The reference writes the unfolded x to memory, 9 times
// the size of x for 3 x 3 filters, and reads it back; here a tile of it is gathered from x when needed, into shared
// memory.  Reads for y: w once per 64 positions, x R S times (mostly from cache) per 64 filters; y is written once.
// Each gradient is such a product as well:
//
//                 rows (matrix)    terms of a sum    columns       gathered from
//   y             k of w           c, r, s           n, p, q       x
//   input grad    c of w           k, r, s           n, h, w       gy
//   weight grad   k of gy          n, p, q           c, r, s       x
//
// The weight gradient's sums are long and few: each is split into parts, one per block, and sum_parts adds the parts in
// order.  No atomics: the same bits every time.  A bias is added to the sums of y before they are written; its gradient
// is the sum of gy's rows, which the weight gradient's blocks of the first columns read anyway.  Offsets have 32 bits:
// cuda.py refuses larger arrays.
#include "register_tile.cuh"

// The sizes that every kernel takes.  Padding at the bottom and on the right is implied by P and Q.
#define GEOMETRY                                                                                             \
    int N, int C, int H, int W, int K, int R, int S, int P, int Q, int groups, int stride_h, int stride_w,   \
        int dilation_h, int dilation_w, int top, int left

// ---- naive ----------------------------------------------------------------------------------------------------------
// One thread per element of the result, indexed in memory order: a warp writes 32 neighbors, reads 32 neighbors of x
// (with stride 1) and shares one weight.  Two reads and one multiply-add per product.

extern "C" __global__ void __launch_bounds__(256) conv2d_naive(const float *x, const float *w, float *y, GEOMETRY,
                                                                   const float *bias) {
    unsigned index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= (unsigned)(N * K * P * Q)) return;
    int q = index % Q, p = index / Q % P, k = index / (P * Q) % K, n = index / (P * Q) / K;
    int channels = C / groups, group = k / (K / groups), y0 = p * stride_h - top, x0 = q * stride_w - left;
    float sum = 0;
    for (int c = 0; c < channels; ++c) {
        const float *plane = x + (n * C + group * channels + c) * H * W;
        const float *taps = w + (k * channels + c) * R * S;
        for (int r = 0; r < R; ++r) {
            int row = y0 + r * dilation_h;
            if (row < 0 || row >= H) continue;
            for (int s = 0; s < S; ++s) {
                int column = x0 + s * dilation_w;
                if (column >= 0 && column < W) sum += taps[r * S + s] * plane[row * W + column];
            }
        }
    }
    y[index] = bias ? sum + bias[k] : sum;
}

// gx[n, c, h, v]: every gy that x[n, c, h, v] contributed to, times the weight it met.
extern "C" __global__ void __launch_bounds__(256)
    conv2d_input_grad_naive(const float *gy, const float *w, float *gx, GEOMETRY) {
    unsigned index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= (unsigned)(N * C * H * W)) return;
    int v = index % W, h = index / W % H, channel = index / (H * W) % C, n = index / (H * W) / C;
    int channels = C / groups, filters = K / groups, first = channel / channels * filters, c = channel % channels;
    float sum = 0;
    for (int r = 0; r < R; ++r) {
        int down = h + top - r * dilation_h;  // = p stride_h
        if (down < 0 || down % stride_h != 0 || down / stride_h >= P) continue;
        for (int s = 0; s < S; ++s) {
            int right = v + left - s * dilation_w;
            if (right < 0 || right % stride_w != 0 || right / stride_w >= Q) continue;
            const float *g = gy + (n * K + first) * P * Q + down / stride_h * Q + right / stride_w;
            const float *weight = w + (first * channels + c) * R * S + r * S + s;
            for (int k = 0; k < filters; ++k) sum += weight[k * channels * R * S] * g[k * P * Q];
        }
    }
    gx[index] = sum;
}

// One thread per element of w, summing over some of the images: parts[blockIdx.y, k, c, r, s].
extern "C" __global__ void __launch_bounds__(256)
    conv2d_weight_grad_naive(const float *x, const float *gy, float *parts, GEOMETRY, int images) {
    int channels = C / groups;
    unsigned size = K * channels * R * S, index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= size) return;
    int s = index % S, r = index / S % R, c = index / (R * S) % channels, k = index / (R * S) / channels;
    int channel = k / (K / groups) * channels + c;
    int first = blockIdx.y * images;
    float sum = 0;
    for (int n = first; n < min(first + images, N); ++n) {
        const float *plane = x + (n * C + channel) * H * W, *g = gy + (n * K + k) * P * Q;
        for (int p = 0; p < P; ++p) {
            int row = p * stride_h + r * dilation_h - top;
            if (row < 0 || row >= H) continue;
            for (int q = 0; q < Q; ++q) {
                int column = q * stride_w + s * dilation_w - left;
                if (column >= 0 && column < W) sum += g[p * Q + q] * plane[row * W + column];
            }
        }
    }
    parts[(long long)blockIdx.y * size + index] = sum;
}

// gw (size) and gb (K), one after the other = the sum of parts (count, size + K) over count, one thread per element.
extern "C" __global__ void __launch_bounds__(256)
    conv2d_sum_parts(const float *parts, float *gw, int size, float *gb, int K, int count) {
    unsigned index = blockIdx.x * blockDim.x + threadIdx.x, length = size + K;
    if (index >= length) return;
    float sum = 0;
    for (int part = 0; part < count; ++part) sum += parts[(long long)part * length + index];
    if (index < (unsigned)size)
        gw[index] = sum;
    else
        gb[index - size] = sum;
}

// ---- implicit_gemm --------------------------------------------------------------------------------------------------
// A block of 128 threads computes 64 rows x 64 columns in steps of 16 terms.  The matrix of rows is read in place; the
// other one is gathered: a term (c, r, s) and a column (n, p, q) each contribute an offset in the image, and their sum
// is the pixel, or lies outside, which counts as 0.  So the loop needs no division: a thread computes the places of its
// columns once, and the places of 16 terms go to shared memory, one per thread, two steps before they are used.
// As in matmul.cu, the next step's floats are loaded into registers while this step's are multiplied.

constexpr int STEP = 16;
using Tile = RegisterTile<2, 2, 8, 4>;
constexpr int SIDE = 64, PITCH = SIDE + 4, THREADS = Tile::THREADS;
constexpr int PER_THREAD = STEP * SIDE / THREADS;  // floats of each tile that a thread copies
static_assert(Tile::ROWS == SIDE && Tile::COLUMNS == SIDE && PER_THREAD == 8, "AlongTerms assumes these");
constexpr int OUTSIDE = -(1 << 30);  // no column's row moves this row into the image

// The place of a term, or of a column.
struct alignas(16) Place {
    int offset, row, column;  // in the gathered image: offset = plane + row * width + column
    int other;                // not in the image: a term's column in the matrix, a column's index in out
};

// All (i, j, k) with i < I, j < J, k < K, with k running fastest: taps (c, r, s), or positions (n, p, q).
struct Walk {
    int I, J, K;
    int plane, width;                        // of the image: elements from i to i + 1; elements in a row
    int row, row_step, column, column_step;  // of the image: at j = k = 0, from j to j + 1, from k to k + 1
    int other_i, other_j, other_k;           // the same steps for `other`

    __device__ __forceinline__ int count() const { return I * J * K; }
    __device__ __forceinline__ Place place(int i, int j, int k) const {
        int r = row + j * row_step, c = column + k * column_step;
        return {i * plane + r * width + c, r, c, i * other_i + j * other_j + k * other_k};
    }
    __device__ __forceinline__ Place place(int number) const {
        return place(number / (J * K), number / K % J, number % K);
    }
};

// Which elements of a tile a thread copies: term and side of the i-th of 8.
struct AlongTerms {  // a warp reads 8 neighboring terms of 4 rows (or columns); its stores hit 32 banks
    static constexpr int SIDES = 4;
    static __device__ __forceinline__ int term(int i) { return threadIdx.x % 8 + i % 2 * 8; }
    static __device__ __forceinline__ int side(int i) { return threadIdx.x / 8 + i / 2 * 16; }
    static __device__ __forceinline__ constexpr int which(int i) { return i / 2; }  // 0 … SIDES - 1
    static __device__ __forceinline__ int column(int side, bool) { return side; }
};
struct AlongColumns {  // a warp reads 32 neighboring columns of one term
    static constexpr int SIDES = 1;
    static __device__ __forceinline__ int term(int i) { return threadIdx.x / SIDE + i * (THREADS / SIDE); }
    static __device__ __forceinline__ int side(int) { return threadIdx.x % SIDE; }
    static __device__ __forceinline__ constexpr int which(int) { return 0; }
    // The column of out that a side of the tile stands for.  The four sides of a thread are neighbors.  Where it cannot
    // write them as a float4 they stand for columns 8 apart: then the 8 threads of a row write 8 neighbors at a time.
    static __device__ __forceinline__ int column(int side, bool in_fours) {
        return in_fours ? side : side / 32 * 32 + side % 4 * 8 + side % 32 / 4;
    }
};

struct Shared {
    Place places[2][STEP];  // of terms
    alignas(16) float matrix[2][STEP * PITCH], image[2][STEP * PITCH];
};

// out (rows, columns) = matrix (rows, terms) times image (terms, columns), over the terms from `first` to `last`.
template <class Gather>
struct Product {
    const float *matrix, *image;
    float *out;
    int rows, matrix_row, out_row;  // count; distances between rows in memory
    int height, width;              // of the image
    Walk terms, columns;
    int first, last;
    bool in_fours;  // 4 columns starting at a multiple of 4 are contiguous in out, on a 16-byte boundary
    const float *bias = nullptr;  // (rows,) to be added to the sums, or null
    float *row_sums = nullptr;    // (rows,) for the sums of the matrix's rows over these terms, or null: AlongTerms

    __device__ __forceinline__ void run(Shared &shared, int tile = blockIdx.x) const {
        int m0 = blockIdx.y * SIDE, n0 = tile * SIDE, end = columns.count();
        if (n0 >= end) return;
        // Rows and columns past the end repeat the last one: their sums are not written.
        int from[AlongTerms::SIDES];
        Place at[Gather::SIDES];
#pragma unroll
        for (int i = 0; i < PER_THREAD; ++i) {
            from[AlongTerms::which(i)] = min(m0 + AlongTerms::side(i), rows - 1) * matrix_row;
            at[Gather::which(i)] = columns.place(min(n0 + Gather::column(Gather::side(i), in_fours), end - 1));
        }
        // Thread t < STEP writes the places of terms first + t, first + t + STEP, ...: (i, j, k) advances by STEP.
        int term = first + threadIdx.x % STEP;
        int i = term / (terms.J * terms.K), j = term / terms.K % terms.J, k = term % terms.K;
        int i_step = STEP / (terms.J * terms.K), j_step = STEP / terms.K % terms.J, k_step = STEP % terms.K;
        auto write_places = [&](Place *to) {
            if (threadIdx.x < STEP) to[threadIdx.x] = term < last ? terms.place(i, j, k) : Place{0, OUTSIDE, 0, 0};
            term += STEP, i += i_step, j += j_step, k += k_step;
            if (k >= terms.K) k -= terms.K, ++j;
            if (j >= terms.J) j -= terms.J, ++i;
        };
        bool summing = row_sums && tile == 0;
        float a[PER_THREAD], b[PER_THREAD], sum[8][4] = {}, of_rows[AlongTerms::SIDES] = {};
        write_places(shared.places[0]);
        __syncthreads();
        write_places(shared.places[1]);
        load(a, b, shared.places[0], last - first, from, at);
        if (summing) add_to_rows(a, of_rows);
        store(a, b, shared.matrix[0], shared.image[0]);
        __syncthreads();
        int m = Tile::row(threadIdx.x), n = Tile::column(threadIdx.x), buffer = 0;
        for (int left = last - first - STEP; left > -STEP; left -= STEP) {
            load(a, b, shared.places[buffer ^ 1], left, from, at);
            write_places(shared.places[buffer]);
            Tile::multiply<STEP, PITCH, PITCH>(shared.matrix[buffer] + m, shared.image[buffer] + n, sum);
            buffer ^= 1;
            if (summing) add_to_rows(a, of_rows);
            store(a, b, shared.matrix[buffer], shared.image[buffer]);
            __syncthreads();
        }
        write(m0 + m, n0, n, end, sum);
        if (summing) write_row_sums(m0, of_rows);
    }

    // AlongTerms: a thread copies two terms each of four rows, its seven neighbors the other fourteen.
    static __device__ __forceinline__ void add_to_rows(const float (&a)[PER_THREAD], float (&of_rows)[4]) {
#pragma unroll
        for (int i = 0; i < PER_THREAD; i += 2) of_rows[i / 2] += a[i] + a[i + 1];
    }
    __device__ __forceinline__ void write_row_sums(int m0, float (&of_rows)[4]) const {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            for (int distance = 4; distance > 0; distance /= 2)
                of_rows[i] += __shfl_xor_sync(FULL_WARP, of_rows[i], distance);
            int row = m0 + AlongTerms::side(2 * i);
            if (threadIdx.x % 8 == 0 && row < rows) row_sums[row] = of_rows[i];
        }
    }

    // This thread's floats of a step; 0 past the last term and outside the image.
    __device__ __forceinline__ void load(float (&a)[PER_THREAD], float (&b)[PER_THREAD], const Place *places, int left,
                                         const int (&from)[AlongTerms::SIDES], const Place (&at)[Gather::SIDES]) const {
#pragma unroll
        for (int i = 0; i < PER_THREAD; ++i) {
            int term = AlongTerms::term(i);
            a[i] = term < left ? matrix[from[AlongTerms::which(i)] + places[term].other] : 0;
        }
#pragma unroll
        for (int i = 0; i < PER_THREAD; ++i) {
            const Place term = places[Gather::term(i)], &column = at[Gather::which(i)];
            bool inside = (unsigned)(term.row + column.row) < (unsigned)height &&
                          (unsigned)(term.column + column.column) < (unsigned)width;
            b[i] = inside ? image[term.offset + column.offset] : 0;
        }
    }

    static __device__ __forceinline__ void store(const float (&a)[PER_THREAD], const float (&b)[PER_THREAD],
                                                 float *matrix_tile, float *image_tile) {
#pragma unroll
        for (int i = 0; i < PER_THREAD; ++i) {
            matrix_tile[AlongTerms::term(i) * PITCH + AlongTerms::side(i)] = a[i];
            image_tile[Gather::term(i) * PITCH + Gather::side(i)] = b[i];
        }
    }

    __device__ __forceinline__ void write(int m, int n0, int n, int end, const float (&sum)[8][4]) const {
        int column[4], to[4];  // of the sums, and their indices in out
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            column[j] = n0 + Gather::column(n + j, in_fours);
            to[j] = columns.place(min(column[j], end - 1)).other;
        }
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            int row = m + Tile::row_apart(i);
            if (row >= rows) continue;
            float *out_of_row = out + row * out_row, start = bias ? bias[row] : 0;
            if (in_fours) {
                if (column[0] < end)
                    store4(out_of_row + to[0], make_float4(sum[i][0] + start, sum[i][1] + start, sum[i][2] + start,
                                                           sum[i][3] + start));
            } else {
#pragma unroll
                for (int j = 0; j < 4; ++j)
                    if (column[j] < end) out_of_row[to[j]] = sum[i][j] + start;
            }
        }
    }
};

// Rows: filters of the group blockIdx.z.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
    conv2d_implicit_gemm(const float *x, const float *w, float *y, GEOMETRY, const float *bias) {
    int channels = C / groups, filters = K / groups, group = blockIdx.z;
    Walk taps = {channels, R, S, H * W, W, 0, dilation_h, 0, dilation_w, R * S, S, 1};
    Walk positions = {N, P, Q, C * H * W, W, -top, stride_h, -left, stride_w, K * P * Q, Q, 1};
    __shared__ Shared shared;
    Product<AlongColumns>{
        w + group * filters * channels * R * S, x + group * channels * H * W, y + group * filters * P * Q,
        filters, channels * R * S, P * Q, H, W, taps, positions, 0, taps.count(), P * Q % 4 == 0,
        bias ? bias + group * filters : nullptr}.run(shared);
}

// Rows: channels of a group.  With a stride of 2, a pixel of x is read by every second tap only, and the pattern
// repeats every 2 pixels.  The pixels first, first + stride, ... form a phase: they share their taps, so the phase is a
// product without zeros.  A Phase describes one dimension:
struct Phase {
    int first, pixels;    // the first pixel, and their number
    int first_tap, taps;  // likewise for the taps, which are tap_step apart
    int output;           // the output at which the first tap reads the first pixel

    // tap_step = stride / gcd(stride, dilation)
    __device__ __forceinline__ Phase(int first, int size, int window, int stride, int dilation, int padding,
                                     int tap_step)
        : first(first), pixels(ceil_div(size - first, stride)), first_tap(0) {
        while (first_tap < tap_step && (first + padding - first_tap * dilation) % stride != 0) ++first_tap;
        taps = first_tap < min(tap_step, window) ? ceil_div(window - first_tap, tap_step) : 0;
        output = (first + padding - first_tap * dilation) / stride;
    }
};

// blockIdx.x counts tiles, phases along h, phases along w: blocks that run together read the same gy, and the pixels
// that they write share sectors, which are whole when they leave the cache.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
    conv2d_input_grad_implicit_gemm(const float *gy, const float *w, float *gx, GEOMETRY, int tap_step_h,
                                    int tap_step_w) {
    int channels = C / groups, filters = K / groups, group = blockIdx.z, tile = blockIdx.x / (stride_h * stride_w);
    int phase_h = blockIdx.x / stride_w % stride_h, phase_w = blockIdx.x % stride_w;
    if (phase_h >= H || phase_w >= W) return;
    Phase h(phase_h, H, R, stride_h, dilation_h, top, tap_step_h);
    Phase v(phase_w, W, S, stride_w, dilation_w, left, tap_step_w);
    int last = filters * h.taps * v.taps;  // 0: no tap reads these pixels, their gradient is 0
    // The next pixel of the phase belongs to the next output; the next tap to the output dilation / gcd before.
    int back_h = tap_step_h * dilation_h / stride_h, back_w = tap_step_w * dilation_w / stride_w;
    Walk taps = {filters, max(h.taps, 1), max(v.taps, 1), P * Q, Q, 0, -back_h, 0, -back_w,
                 channels * R * S, tap_step_h * S, tap_step_w};
    Walk pixels = {N, h.pixels, v.pixels, K * P * Q, Q, h.output, 1, v.output, 1, C * H * W, stride_h * W, stride_w};
    const float *first_tap = w + h.first_tap * S + v.first_tap;
    __shared__ Shared shared;
    Product<AlongColumns>{
        first_tap + group * filters * channels * R * S, gy + group * filters * P * Q,
        gx + group * channels * H * W + h.first * W + v.first,
        channels, R * S, H * W, P, Q, taps, pixels, 0, last, stride_h * stride_w == 1 && H * W % 4 == 0}.run(shared, tile);
}

// Rows: filters of a group.  blockIdx.z counts parts of `terms` terms each, and groups: parts[part, k, c, r, s], which
// are `apart` floats apart; likewise those of the bias's gradient, in `bias_parts` unless it is null.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
    conv2d_weight_grad_implicit_gemm(const float *x, const float *gy, float *parts, GEOMETRY, int terms, int apart,
                                     float *bias_parts) {
    int channels = C / groups, filters = K / groups, group = blockIdx.z % groups, part = blockIdx.z / groups;
    Walk taps = {channels, R, S, H * W, W, 0, dilation_h, 0, dilation_w, R * S, S, 1};
    Walk positions = {N, P, Q, C * H * W, W, -top, stride_h, -left, stride_w, K * P * Q, Q, 1};
    int first = part * terms, last = min(first + terms, positions.count());
    float *gw = parts + (long long)part * apart + group * filters * channels * R * S;
    float *gb = bias_parts ? bias_parts + (long long)part * apart + group * filters : nullptr;
    __shared__ Shared shared;
    Product<AlongTerms>{
        gy + group * filters * P * Q, x + group * channels * H * W, gw,
        filters, P * Q, channels * R * S, H, W, positions, taps, first, last,
        taps.count() % 4 == 0 && (apart % 4 == 0 || gridDim.z == groups), nullptr, gb}.run(shared);
}
