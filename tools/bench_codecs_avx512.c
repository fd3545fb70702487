/*
 * bench_codecs_avx512.c: the contenders for AVX-512 BW and VNNI. One register is the 16 rows of a
 * tile.
 */
#ifdef __AVX512VNNI__
#include <immintrin.h>
#include <string.h>

#include "bench_codecs.h"

typedef struct ready {
    __m512i v[8];
} ready;
typedef void (*ready_fn)(const uint8_t *codes, int bits, ready *block);
typedef __m512i (*sum_fn)(const ready *block, const bench_acts *a, size_t at, int bits);
typedef __m512i (*direct_fn)(const uint8_t *codes, const bench_acts *a, size_t at, int bits);

BENCH_INLINE __m512i load(const void *p)
{
    return _mm512_loadu_si512(p);
}

BENCH_INLINE __m512 row_scales(const uint16_t *scales)
{
    __m512 ws = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)scales));
    return _mm512_mul_ps(ws, _mm512_set1_ps(0.5f));
}

BENCH_INLINE __m512 add_block(__m512 acc, __m512i sum, __m512 ws, float as)
{
    __m512 scale = _mm512_mul_ps(ws, _mm512_set1_ps(as));
    return _mm512_add_ps(acc, _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale));
}

BENCH_INLINE void one_vector(const bench_matrix *m, const uint8_t *base, const bench_acts *a,
                             const bench_span *s, float *out, int bits, direct_fn direct)
{
    for (uint32_t tile = s->tile_begin; tile < s->tile_end; tile++) {
        __m512 acc = _mm512_setzero_ps(), ws = acc;
        for (uint32_t b = 0; b < m->blocks; b++) {
            size_t at = (size_t)s->vec_begin * a->blocks + b;
            size_t place = (size_t)tile * m->blocks + b;
            if (b % 2 == 0) ws = row_scales(m->scales + place / 2 * EL_TILE);
            __m512i sum = direct(base + place * (size_t)bits * 64, a, at, bits);
            acc = add_block(acc, sum, ws, a->scale[at]);
        }
        _mm512_storeu_ps(out + (size_t)s->vec_begin * m->rows + (size_t)tile * EL_TILE, acc);
    }
}

BENCH_INLINE void many_vectors(const bench_matrix *m, const uint8_t *base, const bench_acts *a,
                               const bench_span *s, float *out, int bits, ready_fn make, sum_fn sum)
{
    for (uint32_t tile = s->tile_begin; tile < s->tile_end; tile++) {
        __m512 acc[BENCH_VECTORS], ws = _mm512_setzero_ps();
        for (uint32_t v = 0; v < s->vec_end - s->vec_begin; v++)
            acc[v] = ws;
        for (uint32_t b = 0; b < m->blocks; b++) {
            size_t place = (size_t)tile * m->blocks + b;
            ready block;
            make(base + place * (size_t)bits * 64, bits, &block);
            if (b % 2 == 0) ws = row_scales(m->scales + place / 2 * EL_TILE);
            for (uint32_t v = s->vec_begin; v < s->vec_end; v++) {
                size_t at = (size_t)v * a->blocks + b;
                __m512 *mine = &acc[v - s->vec_begin];
                *mine = add_block(*mine, sum(&block, a, at, bits), ws, a->scale[at]);
            }
        }
        for (uint32_t v = s->vec_begin; v < s->vec_end; v++) {
            _mm512_storeu_ps(out + (size_t)v * m->rows + (size_t)tile * EL_TILE,
                             acc[v - s->vec_begin]);
        }
    }
}

/* 2 * dot + bias, bias the same for all rows */
BENCH_INLINE __m512i twice_plus(__m512i dot, int32_t bias)
{
    return _mm512_add_epi32(_mm512_slli_epi32(dot, 1), _mm512_set1_epi32(bias));
}

/* ---- int8 products: vpdpbusd ----------------------------------------------------------- */

BENCH_INLINE __m512i four_q(const bench_acts *a, size_t at, int quad)
{
    int32_t q;
    memcpy(&q, a->q + at * EL_BLOCK + quad * 4, sizeof q);
    return _mm512_set1_epi32(q);
}

/* Adds the products of the codes under `mask`, wherever in the byte they lie. */
BENCH_INLINE __m512i add_masked(__m512i sum, __m512i w, int mask, __m512i q)
{
    return _mm512_dpbusd_epi32(sum, _mm512_and_si512(w, _mm512_set1_epi8((char)mask)), q);
}

/* 2-bit codes are not shifted: the four sums are 1, 4, 16 and 64 times too big, and exact. */
BENCH_INLINE __m512i dot2(const uint8_t *codes, const bench_acts *a, size_t at)
{
    __m512i sum[4];
    for (int s = 0; s < 4; s++) {
        sum[s] = add_masked(_mm512_setzero_si512(), load(codes), 3 << 2 * s, four_q(a, at, s));
        sum[s] = add_masked(sum[s], load(codes + 64), 3 << 2 * s, four_q(a, at, s + 4));
    }
    __m512i low = _mm512_add_epi32(sum[0], _mm512_srai_epi32(sum[1], 2));
    __m512i high = _mm512_add_epi32(sum[2], _mm512_srai_epi32(sum[3], 2));
    return _mm512_add_epi32(low, _mm512_srai_epi32(high, 4));
}

BENCH_INLINE __m512i dot4(const uint8_t *codes, const bench_acts *a, size_t at)
{
    __m512i low = _mm512_setzero_si512(), high = low;
    for (int v = 0; v < 4; v++) {
        low = add_masked(low, load(codes + v * 64), 15, four_q(a, at, v * 2));
        high = add_masked(high, load(codes + v * 64), 240, four_q(a, at, v * 2 + 1));
    }
    return _mm512_add_epi32(low, _mm512_srai_epi32(high, 4));
}

/* Four quads of single bits; the sums are 1, 2, 4, 8 times too big. */
BENCH_INLINE __m512i dot1(__m512i low, __m512i high, const bench_acts *a, size_t at)
{
    __m512i sum[4];
    for (int s = 0; s < 4; s++) {
        sum[s] = add_masked(_mm512_setzero_si512(), low, 1 << s, four_q(a, at, s));
        sum[s] = add_masked(sum[s], high, 1 << s, four_q(a, at, s + 4));
    }
    __m512i first = _mm512_add_epi32(sum[0], _mm512_srai_epi32(sum[1], 1));
    __m512i second = _mm512_add_epi32(sum[2], _mm512_srai_epi32(sum[3], 1));
    return _mm512_add_epi32(first, _mm512_srai_epi32(second, 2));
}

BENCH_INLINE __m512i packed_direct(const uint8_t *codes, const bench_acts *a, size_t at, int bits)
{
    __m512i dot;
    if (bits == 4) {
        dot = dot4(codes, a, at);
    } else {
        dot = dot2(codes, a, at);
    }
    if (bits == 3) {
        __m512i w = load(codes + 128);
        __m512i top = dot1(w, _mm512_srli_epi16(w, 4), a, at);
        dot = _mm512_add_epi32(dot, _mm512_slli_epi32(top, 2));
    }
    return twice_plus(dot, -bench_top_level(bits) * a->sum[at]);
}

BENCH_INLINE __m512i packed_quad(const uint8_t *codes, int quad, int bits)
{
    int low = bits == 3 ? 2 : bits, per_vector = 8 / low;
    __m512i w = _mm512_srli_epi16(load(codes + quad / per_vector * 64),
                                  (unsigned)(quad % per_vector * low));
    w = _mm512_and_si512(w, _mm512_set1_epi8((char)bench_top_level(low)));
    if (bits != 3) return w;
    __mmask64 high = _mm512_test_epi8_mask(load(codes + 128), _mm512_set1_epi8((char)(1 << quad)));
    return _mm512_mask_add_epi8(w, high, w, _mm512_set1_epi8(4));
}

BENCH_INLINE void packed_ready(const uint8_t *codes, int bits, ready *block)
{
    for (int quad = 0; quad < 8; quad++)
        block->v[quad] = packed_quad(codes, quad, bits);
}

BENCH_INLINE __m512i bytes_sum(const ready *block, const bench_acts *a, size_t at, int bits)
{
    __m512i even = _mm512_setzero_si512(), odd = even;
    for (int quad = 0; quad < 8; quad += 2) {
        even = _mm512_dpbusd_epi32(even, block->v[quad], four_q(a, at, quad));
        odd = _mm512_dpbusd_epi32(odd, block->v[quad + 1], four_q(a, at, quad + 1));
    }
    return twice_plus(_mm512_add_epi32(even, odd), -bench_top_level(bits) * a->sum[at]);
}

/* ---- planes unpacked to int8 products -------------------------------------------------- */

/* A table of 16 lanes turns an index into its 4 bits as bytes. vpermd looks at 4 bits only. */
BENCH_INLINE __m512i planes_quad(const uint8_t *codes, int quad, int bits)
{
    const __m512i spread =
        _mm512_setr_epi32(0x00000000, 0x00000001, 0x00000100, 0x00000101, 0x00010000, 0x00010001,
                          0x00010100, 0x00010101, 0x01000000, 0x01000001, 0x01000100, 0x01000101,
                          0x01010000, 0x01010001, 0x01010100, 0x01010101);
    __m512i w = _mm512_setzero_si512();
    for (int p = 0; p < bits; p++) {
        const uint8_t *from = codes + p * 64 + quad % 4 * 16;
        __m512i index = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)from));
        if (quad >= 4) index = _mm512_srli_epi32(index, 4);
        __m512i table = _mm512_slli_epi32(spread, (unsigned)p);
        w = _mm512_or_si512(w, _mm512_permutexvar_epi32(index, table));
    }
    return w;
}

BENCH_INLINE void planes_bytes_ready(const uint8_t *codes, int bits, ready *block)
{
    for (int quad = 0; quad < 8; quad++)
        block->v[quad] = planes_quad(codes, quad, bits);
}

BENCH_INLINE __m512i planes_mul_direct(const uint8_t *codes, const bench_acts *a, size_t at,
                                       int bits)
{
    ready block;
    planes_bytes_ready(codes, bits, &block);
    return bytes_sum(&block, a, at, bits);
}

/* ---- lookups --------------------------------------------------------------------------- */

#define PLANE_HALF 128
#define PAIR_HALF  256

BENCH_INLINE __m512i low_nibbles(__m512i w)
{
    return _mm512_and_si512(w, _mm512_set1_epi8(15));
}

BENCH_INLINE __m512i high_nibbles(__m512i w)
{
    return low_nibbles(_mm512_srli_epi16(w, 4));
}

BENCH_INLINE __m256i add_halves(__m512i v)
{
    return _mm256_add_epi8(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
}

BENCH_INLINE __m128i add_quarters(__m512i v)
{
    __m256i half = add_halves(v);
    return _mm_add_epi8(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

BENCH_INLINE void planes_ready(const uint8_t *codes, int bits, ready *block)
{
    for (int p = 0; p < bits; p++) {
        block->v[p * 2] = low_nibbles(load(codes + p * 64));
        block->v[p * 2 + 1] = high_nibbles(load(codes + p * 64));
    }
}

/* The sums of one plane: the four 128-bit lanes are different quads of the same rows. */
BENCH_INLINE __m512i plane_sum(const uint8_t *table, const __m512i *index)
{
    __m512i low = _mm512_add_epi8(_mm512_shuffle_epi8(load(table), index[0]),
                                  _mm512_shuffle_epi8(load(table + 64), index[1]));
    table += PLANE_HALF;
    __m512i high = _mm512_add_epi8(_mm512_shuffle_epi8(load(table), index[0]),
                                   _mm512_shuffle_epi8(load(table + 64), index[1]));
    __m256i high16 = _mm256_cvtepi8_epi16(add_quarters(high));
    __m256i sum = _mm256_add_epi16(_mm256_cvtepu8_epi16(add_quarters(low)),
                                   _mm256_slli_epi16(high16, BENCH_SPLIT));
    return _mm512_cvtepi16_epi32(sum);
}

BENCH_INLINE __m512i planes_sum(const ready *block, const bench_acts *a, size_t at, int bits)
{
    const uint8_t *table = a->tables + at * 2 * PLANE_HALF;
    __m512i sum = plane_sum(table, block->v + bits * 2 - 2);
    for (int p = bits - 2; p >= 0; p--) {
        sum = _mm512_add_epi32(_mm512_slli_epi32(sum, 1), plane_sum(table, block->v + p * 2));
    }
    return twice_plus(sum, -bench_top_level(bits) * a->sum[at]);
}

BENCH_INLINE __m512i planes_direct(const uint8_t *codes, const bench_acts *a, size_t at, int bits)
{
    ready block;
    planes_ready(codes, bits, &block);
    return planes_sum(&block, a, at, bits);
}

/* (row, column) to (column, row): column i of the 16 rows in 128-bit lane i. */
BENCH_INLINE __m512i transpose(const uint8_t *vector)
{
    const __m512i bytes =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const __m512i words = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(words, _mm512_shuffle_epi8(load(vector), bytes));
}

BENCH_INLINE void pairs_ready(const uint8_t *codes, int bits, ready *block)
{
    for (int v = 0; v < bits; v++) {
        __m512i w = transpose(codes + v * 64);
        block->v[v * 2] = low_nibbles(w);
        block->v[v * 2 + 1] = high_nibbles(w);
    }
}

/* Each 128-bit lane adds 4 of the 16 pairs, two of them 8 in bytes: 248 and -128 at most. */
BENCH_INLINE __m512i pairs_sum(const ready *block, const bench_acts *a, size_t at, int bits)
{
    const uint8_t *table = a->tables + at * 2 * PAIR_HALF;
    __m512i low = _mm512_setzero_si512(), high = low;
    for (int j = 0; j < bits * 2; j++) {
        low = _mm512_add_epi8(low, _mm512_shuffle_epi8(load(table + j * 64), block->v[j]));
        high = _mm512_add_epi8(high,
                               _mm512_shuffle_epi8(load(table + PAIR_HALF + j * 64), block->v[j]));
    }
    __m256i l = add_halves(low), h = add_halves(high);
    __m512i low16 = _mm512_cvtepu8_epi16(l), high16 = _mm512_cvtepi8_epi16(h);
    __m512i sum = _mm512_add_epi16(low16, _mm512_slli_epi16(high16, BENCH_SPLIT));
    __m256i both = _mm256_add_epi16(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64(sum, 1));
    return twice_plus(_mm512_cvtepi16_epi32(both), a->sum[at]);
}

BENCH_INLINE __m512i pairs_direct(const uint8_t *codes, const bench_acts *a, size_t at, int bits)
{
    ready block;
    pairs_ready(codes, bits, &block);
    return pairs_sum(&block, a, at, bits);
}

/* ---- the list: the same contenders as at the other levels, under the same names ---------- */

BENCH_ONE(packed, packed_direct)
BENCH_ONE(planes, planes_mul_direct)
BENCH_ONE(packed, pairs_direct)
BENCH_ONE(planes, planes_direct)
BENCH_MANY(packed, packed_ready, bytes_sum)
BENCH_MANY(planes, planes_bytes_ready, bytes_sum)
BENCH_MANY(packed, pairs_ready, pairs_sum)
BENCH_MANY(planes, planes_ready, planes_sum)
BENCH_KERNELS(packed_mul, packed_direct_one, packed_ready_bytes_sum_many)
BENCH_KERNELS(planes_mul, planes_mul_direct_one, planes_bytes_ready_bytes_sum_many)
BENCH_KERNELS_2(packed_lookup, pairs_direct_one, pairs_ready_pairs_sum_many)
BENCH_KERNELS(planes_lookup, planes_direct_one, planes_ready_planes_sum_many)

const bench_contender bench_avx512[] = {
    {"packed-mul-avx512", true, BENCH_VECTORS, NULL, BENCH_ALL(packed_mul)},
    {"packed-lookup-avx512", true, 4, bench_pair_tables_avx2, BENCH_2(packed_lookup)},
    {"planes-mul-avx512", true, BENCH_VECTORS, NULL, BENCH_ALL(planes_mul)},
    {"planes-lookup-avx512", true, 4, bench_plane_tables_avx2, BENCH_ALL(planes_lookup)},
    {0},
};
#else
typedef int not_for_this_machine; /* an empty file is not C */
#endif
