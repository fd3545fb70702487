/* bench_attention_neon_dot.c: int8 scores for 64-bit ARM with dot product (sdot). */
#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)
#define EL_WIDTH 4

#include "kernel/lanes.inc"
#include "kernel/scalar/dot_scalar.inc"

#include "kernel/ops.inc"

#include "kernel/attend.inc"
#include "kernel/exact.inc"

#include "bench_attention_neon.inc"

EL_INLINE void block_dots(const int8_t *keys, const int8_t *query, int32x4_t *dot)
{
    EL_UNROLL
    for (int v = 0; v < 4; v++)
        dot[v] = vdupq_n_s32(0);
    const int8x16_t q[2] = {vld1q_s8(query), vld1q_s8(query + 16)};
#define QUAD(i, lane)                                                                              \
    for (int v = 0; v < 4; v++)                                                                    \
        dot[v] =                                                                                   \
            vdotq_laneq_s32(dot[v], vld1q_s8(keys + ((i)*4 + (lane)) * 64 + v * 16), q[i], lane);
    QUAD(0, 0) QUAD(0, 1) QUAD(0, 2) QUAD(0, 3) QUAD(1, 0) QUAD(1, 1) QUAD(1, 2) QUAD(1, 3)
#undef QUAD
}

static void multiply_scores(bench_head *h)
{
    bench_neon_scores(h, block_dots);
}

const bench_way bench_ways_neon_dot[] = {
    {"int8", 0, EL_TILE, int8_query, multiply_scores, int8_append}, {.name = NULL}};

void bench_kernels_neon_dot(el_kernels *k)
{
    fill_ops(k);
}
#else
typedef int not_for_this_machine; /* an empty file is not C */
#endif
