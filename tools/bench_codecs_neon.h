/* bench_codecs_neon.h: what the contenders of both ARM levels share: rows, scales, loops. */
#ifndef BENCH_CODECS_NEON_H
#define BENCH_CODECS_NEON_H

#include <arm_neon.h>
#include <string.h>

#include "bench_codecs.h"

/* 16 rows, 4 to a register. */
typedef struct rows_i {
    int32x4_t v[4];
} rows_i;
typedef struct rows_f {
    float32x4_t v[4];
} rows_f;

/* A block made ready for many vectors: 32 registers of codes, or fewer of indices. */
typedef struct ready {
    uint8x16_t v[32];
} ready;
typedef void (*ready_fn)(const uint8_t *codes, int bits, ready *block);
typedef void (*sum_fn)(const ready *block, const bench_acts *a, size_t at, int bits, rows_i *sum);
typedef void (*direct_fn)(const uint8_t *codes, const bench_acts *a, size_t at, int bits,
                          rows_i *sum);

BENCH_INLINE void row_scales(const uint16_t *scales, rows_f *ws)
{
    for (int k = 0; k < 4; k++) {
        float16x4_t half = vreinterpret_f16_u16(vld1_u16(scales + k * 4));
        ws->v[k] = vmulq_n_f32(vcvt_f32_f16(half), 0.5f);
    }
}

BENCH_INLINE void add_block(rows_f *acc, const rows_i *sum, const rows_f *ws, float as)
{
    for (int k = 0; k < 4; k++) {
        float32x4_t scale = vmulq_n_f32(ws->v[k], as);
        float32x4_t add = vmulq_f32(vcvtq_f32_s32(sum->v[k]), scale);
        acc->v[k] = vaddq_f32(acc->v[k], add);
    }
}

/* Each block is made ready once and meets all vectors of the span. */
BENCH_INLINE void product(const bench_matrix *m, const uint8_t *base, const bench_acts *a,
                          const bench_span *s, float *out, int bits, ready_fn make, sum_fn sum)
{
    for (uint32_t tile = s->tile_begin; tile < s->tile_end; tile++) {
        rows_f acc[BENCH_VECTORS], ws = {{vdupq_n_f32(0.0f)}}; /* set by the first block */
        memset(acc, 0, (s->vec_end - s->vec_begin) * sizeof *acc);
        for (uint32_t b = 0; b < m->blocks; b++) {
            size_t place = (size_t)tile * m->blocks + b;
            ready block;
            make(base + place * (size_t)bits * 64, bits, &block);
            if (b % 2 == 0) row_scales(m->scales + place / 2 * EL_TILE, &ws);
            for (uint32_t v = s->vec_begin; v < s->vec_end; v++) {
                size_t at = (size_t)v * a->blocks + b;
                rows_i rows;
                sum(&block, a, at, bits, &rows);
                add_block(&acc[v - s->vec_begin], &rows, &ws, a->scale[at]);
            }
        }
        for (uint32_t v = s->vec_begin; v < s->vec_end; v++) {
            memcpy(out + (size_t)v * m->rows + (size_t)tile * EL_TILE, &acc[v - s->vec_begin],
                   sizeof acc[0]);
        }
    }
}

/* One vector: the codes go straight into the sums. */
BENCH_INLINE void product_one(const bench_matrix *m, const uint8_t *base, const bench_acts *a,
                              const bench_span *s, float *out, int bits, direct_fn direct)
{
    for (uint32_t tile = s->tile_begin; tile < s->tile_end; tile++) {
        rows_f acc = {{vdupq_n_f32(0.0f)}}, ws = acc;
        for (uint32_t b = 0; b < m->blocks; b++) {
            size_t at = (size_t)s->vec_begin * a->blocks + b;
            size_t place = (size_t)tile * m->blocks + b;
            if (b % 2 == 0) row_scales(m->scales + place / 2 * EL_TILE, &ws);
            rows_i rows;
            direct(base + place * (size_t)bits * 64, a, at, bits, &rows);
            add_block(&acc, &rows, &ws, a->scale[at]);
        }
        memcpy(out + (size_t)s->vec_begin * m->rows + (size_t)tile * EL_TILE, &acc, sizeof acc);
    }
}

BENCH_INLINE uint8x16_t shift_right(uint8x16_t w, int count)
{
    return vshlq_u8(w, vdupq_n_s8((int8_t)-count));
}

/* Rows 4k .. 4k+3 of a quad as bytes. */
BENCH_INLINE uint8x16_t packed_quad(const uint8_t *codes, int quad, int k, int bits)
{
    int low = bits == 3 ? 2 : bits, per_vector = 8 / low;
    uint8x16_t w = vld1q_u8(codes + quad / per_vector * 64 + k * 16);
    w = vandq_u8(shift_right(w, quad % per_vector * low),
                 vdupq_n_u8((uint8_t)bench_top_level(low)));
    if (bits != 3) return w;
    uint8x16_t high = shift_right(vld1q_u8(codes + 128 + k * 16), quad - 2);
    return vorrq_u8(w, vandq_u8(high, vdupq_n_u8(4)));
}

BENCH_INLINE void packed_ready(const uint8_t *codes, int bits, ready *block)
{
    for (int i = 0; i < 32; i++)
        block->v[i] = packed_quad(codes, i / 4, i % 4, bits);
}

/* 2 * dot + bias */
BENCH_INLINE int32x4_t twice_plus(int32x4_t dot, int32_t bias)
{
    return vaddq_s32(vshlq_n_s32(dot, 1), vdupq_n_s32(bias));
}

BENCH_INLINE int8x16_t four_q(const bench_acts *a, size_t at, int quad)
{
    int32_t four;
    memcpy(&four, a->q + at * EL_BLOCK + quad * 4, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

#define BENCH_NEON(layout, name, direct, make, sum)                                                \
    BENCH_INLINE void name##_one(const bench_matrix *m, const bench_acts *a, const bench_span *s,  \
                                 float *out, int bits)                                             \
    {                                                                                              \
        product_one(m, m->layout, a, s, out, bits, direct);                                        \
    }                                                                                              \
    BENCH_INLINE void name##_many(const bench_matrix *m, const bench_acts *a, const bench_span *s, \
                                  float *out, int bits)                                            \
    {                                                                                              \
        product(m, m->layout, a, s, out, bits, make, sum);                                         \
    }

#endif
