/*
 * bench_attention_neon.c: the contenders for 64-bit ARM without dot product: smull, smlal and tbl.
 */
#if defined(__aarch64__)
#define EL_WIDTH 4

#include "kernel/lanes.inc"
#include "kernel/scalar/dot_scalar.inc"

#include "kernel/ops.inc"

#include "kernel/attend.inc"
#include "kernel/exact.inc"

#include "bench_attention_neon.inc"

#define KEYS   16
#define BLOCKS 4

/* Two quads of 16 keys: 16-bit products of both, then pairs into 32 bits: half a key a vector. */
EL_INLINE void add_quads(const int8_t *keys, const int8_t *query, int32x4_t *sum)
{
    const int8x16_t q0 = bench_quad(query), q1 = bench_quad(query + 4);
    EL_UNROLL
    for (int v = 0; v < 4; v++) {
        int8x16_t k0 = vld1q_s8(keys + v * 16), k1 = vld1q_s8(keys + 64 + v * 16);
        int16x8_t low = vmull_s8(vget_low_s8(k0), vget_low_s8(q0));
        int16x8_t high = vmull_high_s8(k0, q0);
        low = vmlal_s8(low, vget_low_s8(k1), vget_low_s8(q1));
        high = vmlal_high_s8(high, k1, q1);
        sum[2 * v] = vpadalq_s16(sum[2 * v], low);
        sum[2 * v + 1] = vpadalq_s16(sum[2 * v + 1], high);
    }
}

EL_INLINE void block_dots(const int8_t *keys, const int8_t *query, int32x4_t *dot)
{
    int32x4_t sum[8];
    EL_UNROLL
    for (int v = 0; v < 8; v++)
        sum[v] = vdupq_n_s32(0);
    EL_UNROLL
    for (int quad = 0; quad < 8; quad += 2)
        add_quads(keys + (ptrdiff_t)quad * 64, query + (ptrdiff_t)quad * 4, sum);
    EL_UNROLL
    for (int v = 0; v < 4; v++)
        dot[v] = vpaddq_s32(sum[2 * v], sum[2 * v + 1]);
}

static void multiply_scores(bench_head *h)
{
    bench_neon_scores(h, block_dots);
}

/* What `pairs` bytes of codes of each key look up, in bytes, then into 16 bits. */
EL_INLINE void look_up(const uint8_t *tables, const uint8_t *codes, size_t stride, const int pairs,
                       uint16x8_t *sum)
{
    const uint8x16_t low = vdupq_n_u8(15);
    uint8x16_t bytes[BLOCKS];
    EL_UNROLL
    for (int i = 0; i < pairs; i++) {
        uint8x16_t even = vld1q_u8(tables + i * 32), odd = vld1q_u8(tables + i * 32 + 16);
        EL_UNROLL
        for (int b = 0; b < BLOCKS; b++) {
            uint8x16_t w = vld1q_u8(codes + (size_t)b * stride + (size_t)i * KEYS);
            uint8x16_t x = vqtbl1q_u8(even, vandq_u8(w, low));
            uint8x16_t y = vqtbl1q_u8(odd, vshrq_n_u8(w, 4));
            if (pairs == 1) {
                sum[2 * b] = vaddw_u8(vaddw_u8(sum[2 * b], vget_low_u8(x)), vget_low_u8(y));
                sum[2 * b + 1] = vaddw_high_u8(vaddw_high_u8(sum[2 * b + 1], x), y);
                continue;
            }
            x = vaddq_u8(x, y);
            bytes[b] = i ? vaddq_u8(bytes[b], x) : x;
        }
    }
    if (pairs == 1) return;
    EL_UNROLL
    for (int b = 0; b < BLOCKS; b++) {
        sum[2 * b] = vaddw_u8(sum[2 * b], vget_low_u8(bytes[b]));
        sum[2 * b + 1] = vaddw_high_u8(sum[2 * b + 1], bytes[b]);
    }
}

EL_INLINE void store_eight(float *scores, uint16x8_t sum, float factor)
{
    vst1q_f32(scores, vmulq_n_f32(vcvtq_f32_u32(vmovl_u16(vget_low_u16(sum))), factor));
    vst1q_f32(scores + 4, vmulq_n_f32(vcvtq_f32_u32(vmovl_high_u16(sum)), factor));
}

EL_INLINE void lookup_scores(bench_head *h, const int pairs)
{
    const float factor = h->step * h->inv_sqrt;
    const size_t stride = (size_t)(h->subs / 2) * KEYS;
    const uint8_t *codes = h->codes, *end = h->tables + (size_t)h->subs * BENCH_CENTROIDS;
    for (uint32_t p = 0; p < h->length; p += BLOCKS * KEYS, codes += BLOCKS * stride) {
        uint16x8_t sum[2 * BLOCKS];
        EL_UNROLL
        for (int i = 0; i < 2 * BLOCKS; i++)
            sum[i] = vdupq_n_u16(0);
        const uint8_t *at = codes, *t = h->tables;
        while (t < end) {
            if (pairs == 1) BENCH_MARK("BEGIN lookup-8");
            if (pairs == 2) BENCH_MARK("BEGIN lookup-6");
            look_up(t, at, stride, pairs, sum);
            t += (ptrdiff_t)pairs * 32;
            at += (ptrdiff_t)pairs * KEYS;
            BENCH_MARK("END");
        }
        EL_UNROLL
        for (int i = 0; i < 2 * BLOCKS; i++)
            store_eight(h->scores + p + (ptrdiff_t)i * 8, sum[i], factor);
    }
}

static void lookup_scores_8(bench_head *h)
{
    lookup_scores(h, 1);
}

static void lookup_scores_6(bench_head *h)
{
    lookup_scores(h, 2);
}

const bench_way bench_ways_neon[] = {{"int8", 0, EL_TILE, int8_query, multiply_scores, int8_append},
                                     BENCH_LOOKUP_8(lookup_scores_8, KEYS),
                                     BENCH_LOOKUP_6(lookup_scores_6, KEYS),
                                     {.name = NULL}};

void bench_kernels_neon(el_kernels *k)
{
    fill_ops(k);
}
#else
typedef int not_for_this_machine; /* an empty file is not C */
#endif
