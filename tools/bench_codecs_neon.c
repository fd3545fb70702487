/* bench_codecs_neon.c: the contenders for every 64-bit ARM: smlal, and tbl on both layouts. */
#ifdef __aarch64__
#include "bench_codecs_neon.h"

/* ---- int8 products: smlal -------------------------------------------------------------- */

/* Two registers of 16-bit sums for 4 rows: a lane adds 8 products of at most 15 * 127. */
typedef struct sums_16 {
    int16x8_t low[4], high[4];
} sums_16;

BENCH_INLINE void add_products(sums_16 *sums, int k, uint8x16_t codes, int8x16_t q)
{
    int8x16_t w = vreinterpretq_s8_u8(codes);
    sums->low[k] = vmlal_s8(sums->low[k], vget_low_s8(w), vget_low_s8(q));
    sums->high[k] = vmlal_high_s8(sums->high[k], w, q);
}

/* Pairs of lanes reach 30480. */
BENCH_INLINE void finish(const sums_16 *sums, const bench_acts *a, size_t at, int bits, rows_i *sum)
{
    for (int k = 0; k < 4; k++) {
        int32x4_t dot = vpaddlq_s16(vpaddq_s16(sums->low[k], sums->high[k]));
        sum->v[k] = twice_plus(dot, -bench_top_level(bits) * a->sum[at]);
    }
}

BENCH_INLINE sums_16 no_products(void)
{
    int16x8_t z = vdupq_n_s16(0);
    return (sums_16){{z, z, z, z}, {z, z, z, z}};
}

BENCH_INLINE void bytes_sum(const ready *block, const bench_acts *a, size_t at, int bits,
                            rows_i *sum)
{
    sums_16 sums = no_products();
    BENCH_UNROLL
    for (int i = 0; i < 32; i++)
        add_products(&sums, i % 4, block->v[i], four_q(a, at, i / 4));
    finish(&sums, a, at, bits, sum);
}

BENCH_INLINE void bytes_direct(const uint8_t *codes, const bench_acts *a, size_t at, int bits,
                               rows_i *sum)
{
    sums_16 sums = no_products();
    BENCH_UNROLL
    for (int i = 0; i < 32; i++) {
        uint8x16_t w = packed_quad(codes, i / 4, i % 4, bits);
        add_products(&sums, i % 4, w, four_q(a, at, i / 4));
    }
    finish(&sums, a, at, bits, sum);
}

/* ---- tables ---------------------------------------------------------------------------- */

#define PLANE_HALF 128 /* bytes of the low parts of a block: 8 quads x 16 */
#define PAIR_HALF  256 /* 16 pairs x 16 */

static void store_split(uint8_t *table, size_t distance, const int16_t *entry)
{
    for (int e = 0; e < 16; e++) {
        table[e] = (uint8_t)(entry[e] & BENCH_SPLIT_MASK);
        table[distance + (size_t)e] = (uint8_t)(entry[e] >> BENCH_SPLIT);
    }
}

static void plane_tables(const bench_acts *a, uint32_t n)
{
    for (size_t i = 0; i < (size_t)n * a->blocks * 8; i++) {
        const int8_t *q = a->q + i * 4;
        int16_t entry[16] = {0};
        for (int k = 0; k < 4; k++) {
            for (int e = 0; e < 1 << k; e++)
                entry[(1 << k) + e] = (int16_t)(entry[e] + q[k]);
        }
        store_split(a->tables + i / 8 * 2 * PLANE_HALF + i % 8 * 16, PLANE_HALF, entry);
    }
}

/* Entries are (code - 2) * q + (code' - 2) * q': centred, they fit the split. */
static void pair_tables(const bench_acts *a, uint32_t n)
{
    for (size_t i = 0; i < (size_t)n * a->blocks * 16; i++) {
        const int8_t *q = a->q + i / 4 * 8 + i % 4;
        int16_t entry[16];
        for (int e = 0; e < 16; e++) {
            entry[e] = (int16_t)(((e & 3) - 2) * q[0] + ((e >> 2) - 2) * q[4]);
        }
        store_split(a->tables + i / 16 * 2 * PAIR_HALF + i % 16 * 16, PAIR_HALF, entry);
    }
}

/* ---- lookups: tbl ---------------------------------------------------------------------- */

/* The sums of 16 rows in 16 bits. */
typedef struct rows_16 {
    int16x8_t v[2];
} rows_16;

/* Eight lookups: low parts reach 8 * 31 = 248, high parts 8 * -16 = -128; both are bytes. */
BENCH_INLINE rows_16 lookup_8(const uint8_t *table, size_t distance, const uint8x16_t *index)
{
    uint8x16_t low = vdupq_n_u8(0), high = low;
    BENCH_UNROLL
    for (int j = 0; j < 8; j++) {
        low = vaddq_u8(low, vqtbl1q_u8(vld1q_u8(table + j * 16), index[j]));
        high = vaddq_u8(high, vqtbl1q_u8(vld1q_u8(table + distance + j * 16), index[j]));
    }
    int8x16_t h = vreinterpretq_s8_u8(high);
    int16x8_t l0 = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(low)));
    int16x8_t l1 = vreinterpretq_s16_u16(vmovl_high_u8(low));
    return (rows_16){{vaddq_s16(l0, vshll_n_s8(vget_low_s8(h), BENCH_SPLIT)),
                      vaddq_s16(l1, vshll_high_n_s8(h, BENCH_SPLIT))}};
}

BENCH_INLINE void add_rows(rows_i *sum, rows_16 add, int shift)
{
    int32x4_t by = vdupq_n_s32(shift);
    for (int k = 0; k < 2; k++) {
        int32x4_t low = vmovl_s16(vget_low_s16(add.v[k])), high = vmovl_high_s16(add.v[k]);
        sum->v[k * 2] = vaddq_s32(sum->v[k * 2], vshlq_s32(low, by));
        sum->v[k * 2 + 1] = vaddq_s32(sum->v[k * 2 + 1], vshlq_s32(high, by));
    }
}

/* Both nibbles of n registers, in the order of the tables. */
BENCH_INLINE void nibbles(const uint8x16_t w[4], uint8x16_t *index)
{
    for (int j = 0; j < 4; j++) {
        index[j] = vandq_u8(w[j], vdupq_n_u8(15));
        index[j + 4] = vshrq_n_u8(w[j], 4);
    }
}

BENCH_INLINE void planes_ready(const uint8_t *codes, int bits, ready *block)
{
    for (int p = 0; p < bits; p++) {
        uint8x16_t w[4];
        for (int j = 0; j < 4; j++)
            w[j] = vld1q_u8(codes + p * 64 + j * 16);
        nibbles(w, block->v + p * 8);
    }
}

BENCH_INLINE void planes_sum(const ready *block, const bench_acts *a, size_t at, int bits,
                             rows_i *sum)
{
    const uint8_t *table = a->tables + at * 2 * PLANE_HALF;
    int32x4_t start = vdupq_n_s32(-bench_top_level(bits) * a->sum[at]);
    *sum = (rows_i){{start, start, start, start}};
    for (int p = 0; p < bits; p++) {
        add_rows(sum, lookup_8(table, PLANE_HALF, block->v + p * 8), p + 1);
    }
}

/* ld4 is the transposition of quads. */
BENCH_INLINE void pairs_ready(const uint8_t *codes, int bits, ready *block)
{
    for (int v = 0; v < bits; v++) {
        uint8x16x4_t w = vld4q_u8(codes + v * 64);
        nibbles(w.val, block->v + v * 8);
    }
}

BENCH_INLINE void pairs_sum(const ready *block, const bench_acts *a, size_t at, int bits,
                            rows_i *sum)
{
    const uint8_t *table = a->tables + at * 2 * PAIR_HALF;
    int32x4_t start = vdupq_n_s32(a->sum[at]);
    *sum = (rows_i){{start, start, start, start}};
    for (int v = 0; v < bits; v++) {
        add_rows(sum, lookup_8(table + v * 128, PAIR_HALF, block->v + v * 8), 1);
    }
}

BENCH_INLINE void planes_direct(const uint8_t *codes, const bench_acts *a, size_t at, int bits,
                                rows_i *sum)
{
    ready block;
    planes_ready(codes, bits, &block);
    planes_sum(&block, a, at, bits, sum);
}

BENCH_INLINE void pairs_direct(const uint8_t *codes, const bench_acts *a, size_t at, int bits,
                               rows_i *sum)
{
    ready block;
    pairs_ready(codes, bits, &block);
    pairs_sum(&block, a, at, bits, sum);
}

/* ---- the list -------------------------------------------------------------------------- */

BENCH_NEON(packed, packed_mul, bytes_direct, packed_ready, bytes_sum)
BENCH_NEON(packed, packed_lookup, pairs_direct, pairs_ready, pairs_sum)
BENCH_NEON(planes, planes_lookup, planes_direct, planes_ready, planes_sum)
BENCH_KERNELS(packed_mul, packed_mul_one, packed_mul_many)
BENCH_KERNELS_2(packed_lookup, packed_lookup_one, packed_lookup_many)
BENCH_KERNELS(planes_lookup, planes_lookup_one, planes_lookup_many)

const bench_contender bench_neon[] = {
    {"packed-mul-neon", true, BENCH_VECTORS, NULL, BENCH_ALL(packed_mul)},
    {"packed-lookup-neon", true, 4, pair_tables, BENCH_2(packed_lookup)},
    {"planes-lookup-neon", true, 4, plane_tables, BENCH_ALL(planes_lookup)},
    {0},
};

bool bench_has_neon(void)
{
    return true;
}
#else
typedef int not_for_this_machine; /* an empty file is not C */
#endif
