/* bench_codecs_portable.c: the contenders in plain C, as the compiler vectorises them. */
#include <string.h>

#include "base/half.h"
#include "bench_codecs.h"

#define ROWS  EL_TILE
#define BLOCK EL_BLOCK

/* Computes the integer sums of one block of a tile, as levels times q. */
typedef void (*block_fn)(const uint8_t *codes, const bench_acts *a, size_t at, int bits,
                         int32_t *sum);

BENCH_INLINE void add_block(float *acc, const int32_t *sum, const float *ws, float as)
{
    for (int r = 0; r < ROWS; r++)
        acc[r] += (float)sum[r] * (ws[r] * as);
}

BENCH_INLINE void row_scales(const uint16_t *scales, float *ws)
{
    for (int r = 0; r < ROWS; r++)
        ws[r] = el_float_of_half(scales[r]) * 0.5f;
}

/* Both decode and prefill: every vector meets the codes as they lie. */
BENCH_INLINE void product(const bench_matrix *m, const uint8_t *base, const bench_acts *a,
                          const bench_span *s, float *out, int bits, block_fn block)
{
    size_t block_bytes = (size_t)bits * 64;
    for (uint32_t tile = s->tile_begin; tile < s->tile_end; tile++) {
        for (uint32_t v = s->vec_begin; v < s->vec_end; v++) {
            float acc[ROWS] = {0}, ws[ROWS];
            int32_t sum[ROWS];
            for (uint32_t b = 0; b < m->blocks; b++) {
                size_t at = (size_t)v * a->blocks + b, place = (size_t)tile * m->blocks + b;
                if (b % 2 == 0) row_scales(m->scales + place / 2 * ROWS, ws);
                block(base + place * block_bytes, a, at, bits, sum);
                add_block(acc, sum, ws, a->scale[at]);
            }
            memcpy(out + (size_t)v * m->rows + (size_t)tile * ROWS, acc, sizeof acc);
        }
    }
}

/* ---- packed codes, multiplied ---------------------------------------------------------- */

/* The codes of quad `quad` as bytes, in the order of the layout: row * 4 + column. */
BENCH_INLINE void packed_quad(const uint8_t *codes, int quad, int bits, uint8_t *w)
{
    int low = bits == 3 ? 2 : bits, per_vector = 8 / low;
    const uint8_t *vector = codes + quad / per_vector * 64;
    int shift = quad % per_vector * low, mask = bench_top_level(low);
    for (int i = 0; i < 64; i++)
        w[i] = (uint8_t)(vector[i] >> shift & mask);
    if (bits != 3) return;
    for (int i = 0; i < 64; i++)
        w[i] = (uint8_t)(w[i] | (codes[128 + i] >> quad & 1) << 2);
}

/* Sums stay within 16 bits while a quad is 4 * 15 * 127 at most. */
BENCH_INLINE void add_quad(const uint8_t *w, const int8_t *q, int32_t *sum)
{
    for (int r = 0; r < ROWS; r++) {
        sum[r] += (int16_t)(w[r * 4] * q[0] + w[r * 4 + 1] * q[1] + w[r * 4 + 2] * q[2] +
                            w[r * 4 + 3] * q[3]);
    }
}

BENCH_INLINE void packed_mul_block(const uint8_t *codes, const bench_acts *a, size_t at, int bits,
                                   int32_t *sum)
{
    memset(sum, 0, ROWS * sizeof *sum);
    for (int quad = 0; quad < 8; quad++) {
        uint8_t w[64];
        packed_quad(codes, quad, bits, w);
        add_quad(w, a->q + at * BLOCK + quad * 4, sum);
    }
    for (int r = 0; r < ROWS; r++)
        sum[r] = 2 * sum[r] - bench_top_level(bits) * a->sum[at];
}

BENCH_INLINE void packed_mul(const bench_matrix *m, const bench_acts *a, const bench_span *s,
                             float *out, int bits)
{
    product(m, m->packed, a, s, out, bits, packed_mul_block);
}

/* Prefill unpacks a block once for all vectors. */
BENCH_INLINE void packed_mul_many(const bench_matrix *m, const bench_acts *a, const bench_span *s,
                                  float *out, int bits)
{
    for (uint32_t tile = s->tile_begin; tile < s->tile_end; tile++) {
        float acc[BENCH_VECTORS][ROWS], ws[ROWS];
        memset(acc, 0, sizeof acc);
        for (uint32_t b = 0; b < m->blocks; b++) {
            size_t place = (size_t)tile * m->blocks + b;
            uint8_t w[8][64];
            for (int quad = 0; quad < 8; quad++) {
                packed_quad(m->packed + place * (size_t)bits * 64, quad, bits, w[quad]);
            }
            if (b % 2 == 0) row_scales(m->scales + place / 2 * ROWS, ws);
            for (uint32_t v = s->vec_begin; v < s->vec_end; v++) {
                size_t at = (size_t)v * a->blocks + b;
                int32_t sum[ROWS] = {0};
                for (int k = 0; k < 8; k++)
                    add_quad(w[k], a->q + at * BLOCK + k * 4, sum);
                for (int r = 0; r < ROWS; r++) {
                    sum[r] = 2 * sum[r] - bench_top_level(bits) * a->sum[at];
                }
                add_block(acc[v - s->vec_begin], sum, ws, a->scale[at]);
            }
        }
        for (uint32_t v = s->vec_begin; v < s->vec_end; v++) {
            memcpy(out + (size_t)v * m->rows + (size_t)tile * ROWS, acc[v - s->vec_begin],
                   sizeof acc[0]);
        }
    }
}

/* ---- tables of 16-bit sums ------------------------------------------------------------- */

#define PLANE_WORDS (8 * 16)  /* of a block: 8 quads */
#define PAIR_WORDS  (16 * 16) /* of a block: 16 pairs */

/* Entry e: the sum of q[i] over the bits i set in e. */
static void plane_tables(const bench_acts *a, uint32_t n)
{
    int16_t *table = (int16_t *)(void *)a->tables;
    const int8_t *q = a->q;
    for (size_t quad = 0; quad < (size_t)n * a->blocks * 8; quad++, q += 4, table += 16) {
        table[0] = 0;
        for (int i = 0; i < 4; i++) {
            for (int e = 0; e < 1 << i; e++)
                table[(1 << i) + e] = (int16_t)(table[e] + q[i]);
        }
    }
}

/* Entry e: (e % 4) * q + (e / 4) * q' for the columns that a nibble of the layout holds. */
static void pair_tables(const bench_acts *a, uint32_t n)
{
    int16_t *table = (int16_t *)(void *)a->tables;
    for (size_t pair = 0; pair < (size_t)n * a->blocks * 16; pair++, table += 16) {
        const int8_t *q = a->q + pair / 4 * 8 + pair % 4;
        for (int e = 0; e < 16; e++)
            table[e] = (int16_t)((e & 3) * q[0] + (e >> 2) * q[4]);
    }
}

BENCH_INLINE void planes_lookup_block(const uint8_t *codes, const bench_acts *a, size_t at,
                                      int bits, int32_t *sum)
{
    const int16_t *table = (const int16_t *)(const void *)a->tables + at * PLANE_WORDS;
    for (int r = 0; r < ROWS; r++)
        sum[r] = -bench_top_level(bits) * a->sum[at];
    for (int p = 0; p < bits; p++, codes += 64) {
        for (int r = 0; r < ROWS; r++) {
            int one = 0;
            for (int k = 0; k < 4; k++) {
                unsigned byte = codes[k * 16 + r];
                one += table[k * 16 + (byte & 15)] + table[(k + 4) * 16 + (byte >> 4)];
            }
            sum[r] += one * (2 << p);
        }
    }
}

BENCH_INLINE void packed_lookup_block(const uint8_t *codes, const bench_acts *a, size_t at,
                                      int bits, int32_t *sum)
{
    const int16_t *table = (const int16_t *)(const void *)a->tables + at * PAIR_WORDS;
    for (int r = 0; r < ROWS; r++)
        sum[r] = -bench_top_level(bits) * a->sum[at];
    for (int v = 0; v < 2; v++, codes += 64, table += PAIR_WORDS / 2) {
        for (int r = 0; r < ROWS; r++) {
            int one = 0;
            for (int i = 0; i < 4; i++) {
                unsigned byte = codes[r * 4 + i];
                one += table[i * 16 + (byte & 15)] + table[(i + 4) * 16 + (byte >> 4)];
            }
            sum[r] += one * 2;
        }
    }
}

BENCH_INLINE void planes_lookup(const bench_matrix *m, const bench_acts *a, const bench_span *s,
                                float *out, int bits)
{
    product(m, m->planes, a, s, out, bits, planes_lookup_block);
}

BENCH_INLINE void packed_lookup(const bench_matrix *m, const bench_acts *a, const bench_span *s,
                                float *out, int bits)
{
    product(m, m->packed, a, s, out, bits, packed_lookup_block);
}

BENCH_KERNELS(packed_mul, packed_mul, packed_mul_many)
BENCH_KERNELS(planes_lookup, planes_lookup, planes_lookup)
BENCH_KERNELS_2(packed_lookup, packed_lookup, packed_lookup)

const bench_contender bench_portable[] = {
    {"packed-mul-c", true, BENCH_VECTORS, NULL, BENCH_ALL(packed_mul)},
    {"packed-lookup-c", true, 4, pair_tables, BENCH_2(packed_lookup)},
    {"planes-lookup-c", true, 4, plane_tables, BENCH_ALL(planes_lookup)},
    {0},
};

bool bench_has_portable(void)
{
    return true;
}
