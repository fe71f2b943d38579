// Matrix products by cp.async, ldmatrix and mma, for a GPU and for hostcuda; bfloat16 as its 16 bits.
#include "tensor_core.cuh"

typedef unsigned short bf16;

// d (16, 8) = a (16, 16) b (16, 8): fragments as the PTX ISA defines them, loaded by hand
extern "C" __global__ void one_mma(const bf16 *a, const bf16 *b, float *d) {
    int group = threadIdx.x / 4, member = threadIdx.x % 4;
    unsigned fa[4], fb[2];
    for (int i = 0; i < 4; i++) {
        const bf16 *place = a + (group + (i % 2) * 8) * 16 + member * 2 + (i / 2) * 8;
        fa[i] = place[0] | unsigned(place[1]) << 16;
    }
    for (int i = 0; i < 2; i++) {
        const bf16 *place = b + (member * 2 + i * 8) * 8 + group;
        fb[i] = place[0] | unsigned(place[8]) << 16;
    }
    float sum[4] = {};
    mma_m16n8k16_bf16(sum, fa, fb);
    for (int i = 0; i < 4; i++) d[(group + (i / 2) * 8) * 8 + member * 2 + i % 2] = sum[i];
}

// The same for float16, whose fragments have the same layout.
extern "C" __global__ void one_mma_f16(const bf16 *a, const bf16 *b, float *d) {
    int group = threadIdx.x / 4, member = threadIdx.x % 4;
    unsigned fa[4], fb[2];
    for (int i = 0; i < 4; i++) {
        const bf16 *place = a + (group + (i % 2) * 8) * 16 + member * 2 + (i / 2) * 8;
        fa[i] = place[0] | unsigned(place[1]) << 16;
    }
    for (int i = 0; i < 2; i++) {
        const bf16 *place = b + (member * 2 + i * 8) * 8 + group;
        fb[i] = place[0] | unsigned(place[8]) << 16;
    }
    float sum[4] = {};
    mma_m16n8k16_f16(sum, fa, fb);
    for (int i = 0; i < 4; i++) d[(group + (i / 2) * 8) * 8 + member * 2 + i % 2] = sum[i];
}

// Four 8 x 8 matrices x (4, 8, 8) as each lane gets them through cp.async and ldmatrix: rows, then columns, (2, 32, 4).
extern "C" __global__ void loaded_matrices(const bf16 *x, unsigned *lanes) {
    __shared__ __align__(16) bf16 rows[32][8];
    int lane = threadIdx.x;
    cp_async16(rows[lane], x + lane * 8);
    cp_async_commit();
    cp_async_wait<0>();
    __syncwarp();
    unsigned r[4];
    ldmatrix_x4<false>(r, rows[lane]);
    for (int i = 0; i < 4; i++) lanes[lane * 4 + i] = r[i];
    ldmatrix_x4<true>(r, rows[lane]);
    for (int i = 0; i < 4; i++) lanes[(32 + lane) * 4 + i] = r[i];
}

// d (16, 16) = a (16, k) b (k, 16) in two stages: the next tiles are in flight while these are multiplied.
extern "C" __global__ void mma_loop(const bf16 *a, const bf16 *b, float *d, int k) {
    __shared__ __align__(16) bf16 sa[2][16][24], sb[2][16][24];
    int lane = threadIdx.x;
    float sum[2][4] = {};
    auto load = [&](int stage, int step) {
        cp_async16(&sa[stage][lane / 2][lane % 2 * 8], a + lane / 2 * k + step + lane % 2 * 8);
        cp_async16(&sb[stage][lane / 2][lane % 2 * 8], b + (step + lane / 2) * 16 + lane % 2 * 8);
        cp_async_commit();
    };
    load(0, 0);
    for (int step = 0, stage = 0; step < k; step += 16, stage ^= 1) {
        if (step + 16 < k) {
            load(stage ^ 1, step + 16);
            cp_async_wait<1>();
        } else cp_async_wait<0>();
        __syncwarp();
        unsigned fa[4], fb[4];
        ldmatrix_x4<false>(fa, &sa[stage][lane % 16][lane / 16 * 8]);
        ldmatrix_x4<true>(fb, &sb[stage][lane % 16][lane / 16 * 8]);
        mma_m16n8k16_bf16(sum[0], fa, fb);
        mma_m16n8k16_bf16(sum[1], fa, fb + 2);
        __syncwarp();
    }
    for (int j = 0; j < 2; j++)
        for (int i = 0; i < 4; i++) d[(lane / 4 + (i / 2) * 8) * 16 + j * 8 + lane % 4 * 2 + i % 2] = sum[j][i];
}
