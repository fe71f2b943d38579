// Kernels that work on all arrays of a list in one launch: a block finds its array in a table of 64-bit words.
#pragma once
#include "common.cuh"

// A block works on the CHUNK elements from `start` on of the arrays in `row`, or on the `left` that there are.
constexpr int TABLE_THREADS = 256, QUADS = 4, CHUNK = TABLE_THREADS * QUADS * 4;

// A row of a table: addresses of arrays of `size` elements, whose blocks begin with first_block.
template <int ARRAYS>
struct TableRow {
    float *arrays[ARRAYS];
    long long size, first_block;
};

template <int ARRAYS>
struct Chunk {
    float *x[ARRAYS];
    int left;

    // The chunk of this block.  `table` has `count` rows, `count` at least 1.
    __device__ __forceinline__ Chunk(const long long *table, int count) {
        const TableRow<ARRAYS> *rows = reinterpret_cast<const TableRow<ARRAYS> *>(table);
        int mine = 0;  // the last row that starts at or before this block, found by bisection
        for (int step = 1 << (31 - __clz(count)); step > 0; step /= 2)
            if (mine + step < count && rows[mine + step].first_block <= blockIdx.x) mine += step;
        long long start = (blockIdx.x - rows[mine].first_block) * CHUNK;
        left = (int)min((long long)CHUNK, rows[mine].size - start);
#pragma unroll
        for (int i = 0; i < ARRAYS; ++i) x[i] = in_global(rows[mine].arrays[i] + start);
    }

    // Whether it is CHUNK elements, all on 16-byte boundaries
    __device__ __forceinline__ bool in_quads() const {
        bool quads = left == CHUNK;
#pragma unroll
        for (int i = 0; i < ARRAYS; ++i) quads = quads && in_fours(x[i]);
        return quads;
    }
};
