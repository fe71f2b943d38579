// out[rows[i]] += x[i] in float32: the gradient of an embedding lookup.  out (V, D), x (n, D).
//
//   kernel            one thread adds             reads
//   add_rows_naive    one element of out          every rows[i], and the x[i] that belong to it: V n / D + n numbers
//   add_rows_chunks   a column of up to 32 x[i]   every x[i] once, in the order of rows; sums that continue in the
//   add_rows_joined   those sums for one row      next chunk are added by a second launch
//
// Several i may name the same row.  Atomics would add them in a different order each time; here `order` (n) sorts them
// by row, and a block adds CHUNK of them one after another.  A row whose i all lie within one chunk is finished there;
// the sums at both ends of a chunk go to `ends` (chunks, 2, D), because their rows may continue in the next chunks.
// Traffic: 4 bytes per element of x read, 8 per element read and written in the rows of out that are named.
#include "common.cuh"

extern "C" __global__ void add_rows_naive(float *out, const long long *rows, const float *x, long long n, long long V,
                                          int D) {
    long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x, row = at / D;
    if (row >= V) return;
    float total = 0;
    for (long long i = 0; i < n; ++i)
        if (rows[i] == row) total += x[i * D + at % D];
    out[at] += total;
}

constexpr int CHUNK = 32;

// Block (chunk, 128 columns).  rows[order[i]] is non-decreasing; rows outside out are skipped.
extern "C" __global__ void __launch_bounds__(128)
    add_rows_chunks(float *out, const long long *rows, const long long *order, const float *x, float *ends, long long n,
                    long long V, int D, int column_groups) {
    long long chunk = blockIdx.x / column_groups, first = chunk * CHUNK;
    int column = blockIdx.x % column_groups * blockDim.x + threadIdx.x, count = (int)min((long long)CHUNK, n - first);
    if (column >= D) return;
    float total = 0;
    bool from_start = true;  // this sum may have started in the previous chunk
    ends[chunk * 2 * D + column] = 0;
    for (int i = 0; i < count; ++i) {
        long long place = order[first + i], row = rows[place];
        total += x[place * D + column];
        if (i + 1 < count && rows[order[first + i + 1]] == row) continue;
        if (i + 1 == count)
            ends[(chunk * 2 + 1) * D + column] = total;  // or of the whole chunk, if it is a single row
        else if (from_start)
            ends[chunk * 2 * D + column] = total;
        else if (row >= 0 && row < V)
            out[row * D + column] += total;
        total = 0, from_start = false;
    }
}

// Block (chunk, 128 columns): if the last row of this chunk starts here, its sum is collected from here on; and a first
// row that starts here is finished.
extern "C" __global__ void __launch_bounds__(128)
    add_rows_joined(float *out, const long long *rows, const long long *order, const float *ends, long long n,
                    long long V, int D, int column_groups) {
    long long chunk = blockIdx.x / column_groups, chunks = (n + CHUNK - 1) / CHUNK;
    int column = blockIdx.x % column_groups * blockDim.x + threadIdx.x;
    if (column >= D) return;
    auto first_row = [&](long long c) { return rows[order[c * CHUNK]]; };
    auto last_row = [&](long long c) { return rows[order[min(n, (c + 1) * CHUNK) - 1]]; };
    auto ends_of = [&](long long c, int end) { return ends[(c * 2 + end) * D + column]; };
    long long first = first_row(chunk), last = last_row(chunk);
    bool begins_here = chunk == 0 || last_row(chunk - 1) != first;
    if (first != last && begins_here && first >= 0 && first < V) out[first * D + column] += ends_of(chunk, 0);
    if (first == last && !begins_here) return;  // the chunk where this row starts adds all of it
    float total = ends_of(chunk, 1);
    for (long long next = chunk + 1; next < chunks && first_row(next) == last; ++next) {
        bool ends_there = last_row(next) != last;
        total += ends_of(next, ends_there ? 0 : 1);
        if (ends_there) break;
    }
    if (last >= 0 && last < V) out[last * D + column] += total;
}
