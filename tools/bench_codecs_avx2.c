/*
 * bench_codecs_avx2.c: the contenders for AVX2. In every one a 32-bit lane of two registers is a
 * row in the end, so that no sum runs across lanes in float.
 */
#ifdef __AVX2__
#include <immintrin.h>
#include <string.h>

#include "bench_codecs.h"

/* 16 rows. */
typedef struct rows_i {
    __m256i a, b;
} rows_i;
typedef struct rows_f {
    __m256 a, b;
} rows_f;

/* A block made ready for many vectors: codes as bytes or indices, as the contender likes. */
typedef struct ready {
    __m256i v[16];
} ready;
typedef void (*ready_fn)(const uint8_t *codes, int bits, ready *block);
/* The sums of levels times q of block `at` of the activations. */
typedef rows_i (*sum_fn)(const ready *block, const bench_acts *a, size_t at, int bits);
typedef rows_i (*direct_fn)(const uint8_t *codes, const bench_acts *a, size_t at, int bits);

BENCH_INLINE __m256i load(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

BENCH_INLINE rows_f row_scales(const uint16_t *scales)
{
    const __m128i *p = (const __m128i *)(const void *)scales;
    __m256 half = _mm256_set1_ps(0.5f);
    return (rows_f){_mm256_mul_ps(_mm256_cvtph_ps(_mm_loadu_si128(p)), half),
                    _mm256_mul_ps(_mm256_cvtph_ps(_mm_loadu_si128(p + 1)), half)};
}

BENCH_INLINE rows_f add_block(rows_f acc, rows_i sum, rows_f ws, float scale)
{
    __m256 as = _mm256_set1_ps(scale);
    __m256 a = _mm256_mul_ps(_mm256_cvtepi32_ps(sum.a), _mm256_mul_ps(ws.a, as));
    __m256 b = _mm256_mul_ps(_mm256_cvtepi32_ps(sum.b), _mm256_mul_ps(ws.b, as));
    return (rows_f){_mm256_add_ps(acc.a, a), _mm256_add_ps(acc.b, b)};
}

BENCH_INLINE void store_rows(float *out, rows_f acc)
{
    _mm256_storeu_ps(out, acc.a);
    _mm256_storeu_ps(out + 8, acc.b);
}

/* One vector: tiles one after the other, the codes read once. */
BENCH_INLINE void one_vector(const bench_matrix *m, const uint8_t *base, const bench_acts *a,
                             const bench_span *s, float *out, int bits, direct_fn direct)
{
    for (uint32_t tile = s->tile_begin; tile < s->tile_end; tile++) {
        rows_f acc = {_mm256_setzero_ps(), _mm256_setzero_ps()}, ws = acc;
        for (uint32_t b = 0; b < m->blocks; b++) {
            size_t at = (size_t)s->vec_begin * a->blocks + b;
            size_t place = (size_t)tile * m->blocks + b;
            if (b % 2 == 0) ws = row_scales(m->scales + place / 2 * EL_TILE);
            rows_i sum = direct(base + place * (size_t)bits * 64, a, at, bits);
            acc = add_block(acc, sum, ws, a->scale[at]);
        }
        store_rows(out + (size_t)s->vec_begin * m->rows + (size_t)tile * EL_TILE, acc);
    }
}

/* Many vectors: a block is made ready once and meets all of them. */
BENCH_INLINE void many_vectors(const bench_matrix *m, const uint8_t *base, const bench_acts *a,
                               const bench_span *s, float *out, int bits, ready_fn make, sum_fn sum)
{
    for (uint32_t tile = s->tile_begin; tile < s->tile_end; tile++) {
        rows_f acc[BENCH_VECTORS], ws = {_mm256_setzero_ps(), _mm256_setzero_ps()};
        for (uint32_t v = 0; v < s->vec_end - s->vec_begin; v++)
            acc[v] = ws;
        for (uint32_t b = 0; b < m->blocks; b++) {
            size_t place = (size_t)tile * m->blocks + b;
            ready block;
            make(base + place * (size_t)bits * 64, bits, &block);
            if (b % 2 == 0) ws = row_scales(m->scales + place / 2 * EL_TILE);
            for (uint32_t v = s->vec_begin; v < s->vec_end; v++) {
                size_t at = (size_t)v * a->blocks + b;
                rows_f *mine = &acc[v - s->vec_begin];
                *mine = add_block(*mine, sum(&block, a, at, bits), ws, a->scale[at]);
            }
        }
        for (uint32_t v = s->vec_begin; v < s->vec_end; v++) {
            store_rows(out + (size_t)v * m->rows + (size_t)tile * EL_TILE, acc[v - s->vec_begin]);
        }
    }
}

/* ---- int8 products: pmaddubsw ---------------------------------------------------------- */

BENCH_INLINE __m256i four_q(const bench_acts *a, size_t at, int quad)
{
    int32_t q;
    memcpy(&q, a->q + at * EL_BLOCK + quad * 4, sizeof q);
    return _mm256_set1_epi32(q);
}

/* 2 * dot - top * sum_q; the doubling comes free with pmaddwd. */
BENCH_INLINE __m256i level_sum(__m256i dot16, const bench_acts *a, size_t at, int bits)
{
    __m256i dot2 = _mm256_madd_epi16(dot16, _mm256_set1_epi16(2));
    return _mm256_sub_epi32(dot2, _mm256_set1_epi32(bench_top_level(bits) * a->sum[at]));
}

/* Rows half*8 .. half*8+7 of a quad as bytes, from either layout. */
typedef __m256i (*quad_fn)(const uint8_t *codes, int quad, int half, int bits);

BENCH_INLINE __m256i packed_quad(const uint8_t *codes, int quad, int half, int bits)
{
    const uint8_t *rows = codes + half * 32;
    if (bits == 4) {
        __m256i w = load(rows + quad / 2 * 64);
        if (quad % 2) w = _mm256_srli_epi16(w, 4);
        return _mm256_and_si256(w, _mm256_set1_epi8(15));
    }
    __m256i w = _mm256_srli_epi16(load(rows + quad / 4 * 64), quad % 4 * 2);
    w = _mm256_and_si256(w, _mm256_set1_epi8(3));
    if (bits == 2) return w;
    __m256i high = load(rows + 128);
    high = quad < 2 ? _mm256_slli_epi16(high, 2 - quad) : _mm256_srli_epi16(high, quad - 2);
    return _mm256_or_si256(w, _mm256_and_si256(high, _mm256_set1_epi8(4)));
}

/* The longest chain in 16 bits: 8 quads x 2 products x 15 x 127 = 30480. */
BENCH_INLINE rows_i quads_direct(const uint8_t *codes, const bench_acts *a, size_t at, int bits,
                                 quad_fn get)
{
    __m256i sum[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (int quad = 0; quad < 8; quad++) {
        __m256i q = four_q(a, at, quad);
        for (int h = 0; h < 2; h++) {
            __m256i w = get(codes, quad, h, bits);
            sum[h] = _mm256_add_epi16(sum[h], _mm256_maddubs_epi16(w, q));
        }
    }
    return (rows_i){level_sum(sum[0], a, at, bits), level_sum(sum[1], a, at, bits)};
}

/*
 * 2 bits: odd quads are left where they lie, as 4 times the code, and their sum is shifted. Four
 * of them reach 4 x 2 x 12 x 127 = 12192.
 */
BENCH_INLINE __m256i packed_direct2_half(const uint8_t *rows, const bench_acts *a, size_t at)
{
    __m256i even = _mm256_setzero_si256(), odd = even;
    const __m256i low = _mm256_set1_epi8(3), next = _mm256_set1_epi8(12);
    for (int v = 0; v < 2; v++) {
        __m256i w = load(rows + v * 64), w4 = _mm256_srli_epi16(w, 4);
        __m256i p0 = _mm256_maddubs_epi16(_mm256_and_si256(w, low), four_q(a, at, v * 4));
        __m256i p1 = _mm256_maddubs_epi16(_mm256_and_si256(w, next), four_q(a, at, v * 4 + 1));
        __m256i p2 = _mm256_maddubs_epi16(_mm256_and_si256(w4, low), four_q(a, at, v * 4 + 2));
        __m256i p3 = _mm256_maddubs_epi16(_mm256_and_si256(w4, next), four_q(a, at, v * 4 + 3));
        even = _mm256_add_epi16(even, _mm256_add_epi16(p0, p2));
        odd = _mm256_add_epi16(odd, _mm256_add_epi16(p1, p3));
    }
    return level_sum(_mm256_add_epi16(even, _mm256_srai_epi16(odd, 2)), a, at, 2);
}

BENCH_INLINE void packed_ready(const uint8_t *codes, int bits, ready *block)
{
    for (int i = 0; i < 16; i++)
        block->v[i] = packed_quad(codes, i / 2, i % 2, bits);
}

/* The 16 quads halves as bytes, however they came about. */
BENCH_INLINE rows_i bytes_sum(const ready *block, const bench_acts *a, size_t at, int bits)
{
    __m256i lo = _mm256_setzero_si256(), hi = lo;
    for (int quad = 0; quad < 8; quad++) {
        __m256i q = four_q(a, at, quad);
        lo = _mm256_add_epi16(lo, _mm256_maddubs_epi16(block->v[quad * 2], q));
        hi = _mm256_add_epi16(hi, _mm256_maddubs_epi16(block->v[quad * 2 + 1], q));
    }
    return (rows_i){level_sum(lo, a, at, bits), level_sum(hi, a, at, bits)};
}

BENCH_INLINE rows_i packed_direct(const uint8_t *codes, const bench_acts *a, size_t at, int bits)
{
    if (bits != 2) return quads_direct(codes, a, at, bits, packed_quad);
    return (rows_i){packed_direct2_half(codes, a, at), packed_direct2_half(codes + 32, a, at)};
}

/* ---- planes unpacked to int8 products -------------------------------------------------- */

/* Every byte of 8 rows four times: then column i of quad L is bit i, of quad L + 4 bit 4 + i. */
BENCH_INLINE __m256i spread_rows(const uint8_t *indices, int half)
{
    const __m256i rows = _mm256_setr_epi8(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4,
                                          4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7);
    __m256i both = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)indices));
    return _mm256_shuffle_epi8(both, _mm256_add_epi8(rows, _mm256_set1_epi8((char)(half * 8))));
}

BENCH_INLINE __m256i planes_quad(const uint8_t *codes, int quad, int half, int bits)
{
    __m256i mask = _mm256_set1_epi32(quad < 4 ? 0x08040201 : (int)0x80402010u);
    __m256i w = _mm256_setzero_si256();
    for (int p = 0; p < bits; p++) {
        __m256i bytes = spread_rows(codes + p * 64 + quad % 4 * 16, half);
        __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, mask), mask);
        w = _mm256_or_si256(w, _mm256_and_si256(set, _mm256_set1_epi8((char)(1 << p))));
    }
    return w;
}

BENCH_INLINE void planes_bytes_ready(const uint8_t *codes, int bits, ready *block)
{
    for (int i = 0; i < 16; i++)
        block->v[i] = planes_quad(codes, i / 2, i % 2, bits);
}

BENCH_INLINE rows_i planes_mul_direct(const uint8_t *codes, const bench_acts *a, size_t at,
                                      int bits)
{
    return quads_direct(codes, a, at, bits, planes_quad);
}

/* ---- tables ---------------------------------------------------------------------------- */

/* Entry k of a 16-entry vector is q where bit `bit` of k is set. */
BENCH_INLINE __m256i q_where(int q, int bit)
{
    const __m256i k = _mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m256i one = _mm256_set1_epi16((short)(1 << bit));
    __m256i mask = _mm256_cmpeq_epi16(_mm256_and_si256(k, one), one);
    return _mm256_and_si256(mask, _mm256_set1_epi16((short)q));
}

/* Writes the low parts of 16 entries to `table`, the high parts `distance` bytes on. */
BENCH_INLINE void store_split(uint8_t *table, size_t distance, __m256i entry)
{
    __m256i low = _mm256_and_si256(entry, _mm256_set1_epi16(BENCH_SPLIT_MASK));
    __m256i high = _mm256_srai_epi16(entry, BENCH_SPLIT);
    __m256i both = _mm256_permute4x64_epi64(_mm256_packs_epi16(low, high), 0xd8);
    _mm_storeu_si128((__m128i *)table, _mm256_castsi256_si128(both));
    _mm_storeu_si128((__m128i *)(table + distance), _mm256_extracti128_si256(both, 1));
}

#define PLANE_HALF 128 /* bytes of the low parts of a block: 8 quads x 16 */
#define PAIR_HALF  256 /* 16 pairs x 16 */

void bench_plane_tables_avx2(const bench_acts *a, uint32_t n)
{
    for (size_t i = 0; i < (size_t)n * a->blocks * 8; i++) {
        const int8_t *q = a->q + i * 4;
        __m256i entry = _mm256_add_epi16(_mm256_add_epi16(q_where(q[0], 0), q_where(q[1], 1)),
                                         _mm256_add_epi16(q_where(q[2], 2), q_where(q[3], 3)));
        store_split(a->tables + i / 8 * 2 * PLANE_HALF + i % 8 * 16, PLANE_HALF, entry);
    }
}

/* Entries are (code - 2) * q + (code' - 2) * q': centred, they fit the split. */
void bench_pair_tables_avx2(const bench_acts *a, uint32_t n)
{
    for (size_t i = 0; i < (size_t)n * a->blocks * 16; i++) {
        const int8_t *q = a->q + i / 4 * 8 + i % 4;
        __m256i entry = _mm256_add_epi16(_mm256_add_epi16(q_where(q[0], 0), q_where(2 * q[0], 1)),
                                         _mm256_add_epi16(q_where(q[4], 2), q_where(2 * q[4], 3)));
        entry = _mm256_sub_epi16(entry, _mm256_set1_epi16((short)(2 * (q[0] + q[4]))));
        store_split(a->tables + i / 16 * 2 * PAIR_HALF + i % 16 * 16, PAIR_HALF, entry);
    }
}

/*
 * T-MAC's kind of table: one byte an entry, here a quarter of the sum, biased to 0..254. Rounded
 * half to even, or the error would add up over a row.
 */
static void lossy_tables(const bench_acts *a, uint32_t n)
{
    const __m256i one = _mm256_set1_epi16(1), bias = _mm256_set1_epi16(4 * 127 + 1);
    for (size_t i = 0; i < (size_t)n * a->blocks * 8; i++) {
        const int8_t *q = a->q + i * 4;
        __m256i entry = _mm256_add_epi16(_mm256_add_epi16(q_where(q[0], 0), q_where(q[1], 1)),
                                         _mm256_add_epi16(q_where(q[2], 2), q_where(q[3], 3)));
        __m256i odd = _mm256_and_si256(_mm256_srai_epi16(entry, 2), one);
        entry = _mm256_srai_epi16(_mm256_add_epi16(_mm256_add_epi16(entry, bias), odd), 2);
        __m256i bytes = _mm256_permute4x64_epi64(_mm256_packus_epi16(entry, entry), 0xd8);
        _mm_storeu_si128((__m128i *)(a->tables + i * 16), _mm256_castsi256_si128(bytes));
    }
}

/* ---- lookups --------------------------------------------------------------------------- */

BENCH_INLINE rows_i widen(__m256i sum16)
{
    return (rows_i){_mm256_cvtepi16_epi32(_mm256_castsi256_si128(sum16)),
                    _mm256_cvtepi16_epi32(_mm256_extracti128_si256(sum16, 1))};
}

/* 2 * dot + bias * sum_q */
BENCH_INLINE rows_i twice_plus(rows_i dot, int32_t bias)
{
    __m256i c = _mm256_set1_epi32(bias);
    return (rows_i){_mm256_add_epi32(_mm256_slli_epi32(dot.a, 1), c),
                    _mm256_add_epi32(_mm256_slli_epi32(dot.b, 1), c)};
}

/* Adds the planes' sums (16 bits each); two planes reach 3 * 32 * 127 = 12192, three 28448. */
BENCH_INLINE rows_i add_planes(const __m256i *sum, int bits)
{
    __m256i low = _mm256_add_epi16(sum[0], _mm256_slli_epi16(sum[1], 1));
    if (bits == 2) return widen(low);
    if (bits == 3) return widen(_mm256_add_epi16(low, _mm256_slli_epi16(sum[2], 2)));
    rows_i a = widen(low), b = widen(_mm256_add_epi16(sum[2], _mm256_slli_epi16(sum[3], 1)));
    return (rows_i){_mm256_add_epi32(a.a, _mm256_slli_epi32(b.a, 2)),
                    _mm256_add_epi32(a.b, _mm256_slli_epi32(b.b, 2))};
}

BENCH_INLINE __m256i low_nibbles(__m256i w)
{
    return _mm256_and_si256(w, _mm256_set1_epi8(15));
}

BENCH_INLINE __m256i high_nibbles(__m256i w)
{
    return low_nibbles(_mm256_srli_epi16(w, 4));
}

/* Four index vectors a plane, in the order of the quads: 0-1, 2-3, 4-5, 6-7. */
BENCH_INLINE void planes_ready(const uint8_t *codes, int bits, ready *block)
{
    for (int p = 0; p < bits; p++) {
        for (int j = 0; j < 2; j++) {
            __m256i w = load(codes + p * 64 + j * 32);
            block->v[p * 4 + j] = low_nibbles(w);
            block->v[p * 4 + j + 2] = high_nibbles(w);
        }
    }
}

/* Bytes of both 128-bit lanes are different quads of the same rows. The low parts reach
 * 8 * 31 = 248, the high parts 8 * -16 = -128: both still bytes. */
BENCH_INLINE __m256i join_split(__m256i low, __m256i high)
{
    __m128i l = _mm_add_epi8(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
    __m128i h = _mm_add_epi8(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1));
    __m256i high16 = _mm256_slli_epi16(_mm256_cvtepi8_epi16(h), BENCH_SPLIT);
    return _mm256_add_epi16(_mm256_cvtepu8_epi16(l), high16);
}

BENCH_INLINE rows_i planes_sum(const ready *block, const bench_acts *a, size_t at, int bits)
{
    const uint8_t *table = a->tables + at * 2 * PLANE_HALF;
    __m256i sum[4];
    for (int p = 0; p < bits; p++) {
        __m256i low = _mm256_setzero_si256(), high = low;
        for (int j = 0; j < 4; j++) {
            __m256i index = block->v[p * 4 + j];
            low = _mm256_add_epi8(low, _mm256_shuffle_epi8(load(table + j * 32), index));
            high = _mm256_add_epi8(high,
                                   _mm256_shuffle_epi8(load(table + PLANE_HALF + j * 32), index));
        }
        sum[p] = join_split(low, high);
    }
    return twice_plus(add_planes(sum, bits), -bench_top_level(bits) * a->sum[at]);
}

BENCH_INLINE rows_i planes_direct(const uint8_t *codes, const bench_acts *a, size_t at, int bits)
{
    ready block;
    planes_ready(codes, bits, &block);
    return planes_sum(&block, a, at, bits);
}

/* Sums of even and odd bytes side by side; even = all - 256 * odd, modulo 2^16. */
BENCH_INLINE __m256i lossy_plane(const uint8_t *table, const __m256i *index)
{
    __m256i all = _mm256_setzero_si256(), odd = all;
    for (int j = 0; j < 4; j++) {
        __m256i t = _mm256_shuffle_epi8(load(table + j * 32), index[j]);
        all = _mm256_add_epi16(all, t);
        odd = _mm256_add_epi16(odd, _mm256_srli_epi16(t, 8));
    }
    __m128i all8 = _mm_add_epi16(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
    __m128i odd8 = _mm_add_epi16(_mm256_castsi256_si128(odd), _mm256_extracti128_si256(odd, 1));
    __m128i even8 = _mm_sub_epi16(all8, _mm_slli_epi16(odd8, 8));
    __m256i rows =
        _mm256_set_m128i(_mm_unpackhi_epi16(even8, odd8), _mm_unpacklo_epi16(even8, odd8));
    rows = _mm256_sub_epi16(rows, _mm256_set1_epi16(8 * 127));
    return _mm256_slli_epi16(rows, 2);
}

BENCH_INLINE rows_i lossy_sum(const ready *block, const bench_acts *a, size_t at, int bits)
{
    __m256i sum[4];
    for (int p = 0; p < bits; p++) {
        sum[p] = lossy_plane(a->tables + at * PLANE_HALF, block->v + p * 4);
    }
    return twice_plus(add_planes(sum, bits), -bench_top_level(bits) * a->sum[at]);
}

BENCH_INLINE rows_i lossy_direct(const uint8_t *codes, const bench_acts *a, size_t at, int bits)
{
    ready block;
    planes_ready(codes, bits, &block);
    return lossy_sum(&block, a, at, bits);
}

/* 4 x 4 bytes of (row, column) to (column, row): column i of the 16 rows in one 128-bit lane. */
BENCH_INLINE void transpose(const uint8_t *vector, __m256i out[2])
{
    const __m256i bytes = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const __m256i words = _mm256_setr_epi32(0, 4, 2, 6, 1, 5, 3, 7);
    __m256i a = _mm256_shuffle_epi8(load(vector), bytes);
    __m256i b = _mm256_shuffle_epi8(load(vector + 32), bytes);
    a = _mm256_permutevar8x32_epi32(a, words);
    b = _mm256_permutevar8x32_epi32(b, words);
    out[0] = _mm256_unpacklo_epi64(a, b);
    out[1] = _mm256_unpackhi_epi64(a, b);
}

/* Eight index vectors in the order of the tables: columns 0-1, 2-3 of each 8 columns. */
BENCH_INLINE void pairs_ready(const uint8_t *codes, int bits, ready *block)
{
    for (int v = 0; v < bits; v++) {
        __m256i w[2];
        transpose(codes + v * 64, w);
        for (int j = 0; j < 2; j++) {
            block->v[v * 4 + j] = low_nibbles(w[j]);
            block->v[v * 4 + j + 2] = high_nibbles(w[j]);
        }
    }
}

/* Each 128-bit lane adds 8 of the 16 pairs in bytes; the lanes then meet in 16 bits. */
BENCH_INLINE rows_i pairs_sum(const ready *block, const bench_acts *a, size_t at, int bits)
{
    const uint8_t *table = a->tables + at * 2 * PAIR_HALF;
    __m256i low = _mm256_setzero_si256(), high = low;
    for (int j = 0; j < bits * 4; j++) {
        __m256i index = block->v[j];
        low = _mm256_add_epi8(low, _mm256_shuffle_epi8(load(table + j * 32), index));
        high = _mm256_add_epi8(high, _mm256_shuffle_epi8(load(table + PAIR_HALF + j * 32), index));
    }
    __m256i low16 = _mm256_add_epi16(_mm256_cvtepu8_epi16(_mm256_castsi256_si128(low)),
                                     _mm256_cvtepu8_epi16(_mm256_extracti128_si256(low, 1)));
    __m256i high16 = _mm256_add_epi16(_mm256_cvtepi8_epi16(_mm256_castsi256_si128(high)),
                                      _mm256_cvtepi8_epi16(_mm256_extracti128_si256(high, 1)));
    __m256i sum = _mm256_add_epi16(low16, _mm256_slli_epi16(high16, BENCH_SPLIT));
    return twice_plus(widen(sum), a->sum[at]);
}

BENCH_INLINE rows_i pairs_direct(const uint8_t *codes, const bench_acts *a, size_t at, int bits)
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
BENCH_ONE(planes, lossy_direct)
BENCH_MANY(packed, packed_ready, bytes_sum)
BENCH_MANY(planes, planes_bytes_ready, bytes_sum)
BENCH_MANY(packed, pairs_ready, pairs_sum)
BENCH_MANY(planes, planes_ready, planes_sum)
BENCH_MANY(planes, planes_ready, lossy_sum)
BENCH_KERNELS(packed_mul, packed_direct_one, packed_ready_bytes_sum_many)
BENCH_KERNELS(planes_mul, planes_mul_direct_one, planes_bytes_ready_bytes_sum_many)
BENCH_KERNELS_2(packed_lookup, pairs_direct_one, pairs_ready_pairs_sum_many)
BENCH_KERNELS(planes_lookup, planes_direct_one, planes_ready_planes_sum_many)
BENCH_KERNELS(planes_lossy, lossy_direct_one, planes_ready_lossy_sum_many)

const bench_contender bench_avx2[] = {
    {"packed-mul-avx2", true, BENCH_VECTORS, NULL, BENCH_ALL(packed_mul)},
    {"packed-lookup-avx2", true, 4, bench_pair_tables_avx2, BENCH_2(packed_lookup)},
    {"planes-mul-avx2", true, BENCH_VECTORS, NULL, BENCH_ALL(planes_mul)},
    {"planes-lookup-avx2", true, 4, bench_plane_tables_avx2, BENCH_ALL(planes_lookup)},
    {"planes-lossy8-avx2", false, 4, lossy_tables, BENCH_ALL(planes_lossy)},
    {0},
};
#else
typedef int not_for_this_machine; /* an empty file is not C */
#endif
