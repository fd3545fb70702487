/*
 * bench_attention_avx2.c: the contenders for AVX2. Each byte of a vector is a key; a shuffle looks
 * up 32 of them. Two blocks of keys share the loads of the tables.
 */
#ifdef __AVX2__
#define EL_WIDTH 8

#include "kernel/lanes.inc"
#include "kernel/x86/dot_avx2.inc"

#include "kernel/ops.inc"

#include "kernel/attend.inc"
#include "kernel/exact.inc"

EL_INLINE vfloat larger(vfloat a, vfloat b)
{
    return (vfloat)_mm256_max_ps((__m256)a, (__m256)b);
}

EL_INLINE vint pick(vint mask, vint a, vint b)
{
    return (vint)_mm256_blendv_epi8((__m256i)b, (__m256i)a, (__m256i)mask);
}

EL_INLINE void table_bytes(lanes x, float inv, int top, uint8_t *out)
{
    const __m256 by = _mm256_set1_ps(inv);
    __m256i low = _mm256_cvtps_epi32(_mm256_mul_ps((__m256)x.v[0], by));
    __m256i high = _mm256_cvtps_epi32(_mm256_mul_ps((__m256)x.v[1], by));
    __m256i both = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
    __m128i bytes =
        _mm_packs_epi16(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
    _mm_storeu_si128((__m128i *)out, _mm_add_epi8(bytes, _mm_set1_epi8((char)top)));
}

#include "bench_attention.inc"

#define KEYS   32
#define BLOCKS 2

/* 16-bit sums: of all bytes of a word, the odd one times 256, and of the odd one. */
typedef struct words {
    __m256i both, odd;
} words;

EL_INLINE void add_bytes(words *sum, __m256i bytes)
{
    sum->both = _mm256_add_epi16(sum->both, bytes);
    sum->odd = _mm256_add_epi16(sum->odd, _mm256_srli_epi16(bytes, 8));
}

EL_INLINE __m256i table(const uint8_t *p)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));
}

/* What `pairs` bytes of codes of each key look up, in bytes. */
EL_INLINE void look_up(const uint8_t *tables, const uint8_t *codes, size_t stride, const int pairs,
                       words *sum)
{
    const __m256i low = _mm256_set1_epi8(15);
    __m256i bytes[BLOCKS];
    EL_UNROLL
    for (int i = 0; i < pairs; i++) {
        __m256i even = table(tables + i * 32), odd = table(tables + i * 32 + 16);
        EL_UNROLL
        for (int b = 0; b < BLOCKS; b++) {
            __m256i w = load_half(codes + (size_t)b * stride + (size_t)i * KEYS);
            __m256i x = _mm256_shuffle_epi8(even, _mm256_and_si256(w, low));
            __m256i y = _mm256_shuffle_epi8(odd, _mm256_and_si256(_mm256_srli_epi16(w, 4), low));
            if (pairs == 1) {
                add_bytes(&sum[b], x);
                add_bytes(&sum[b], y);
                continue;
            }
            x = _mm256_add_epi8(x, y);
            bytes[b] = i ? _mm256_add_epi8(bytes[b], x) : x;
        }
    }
    if (pairs == 1) return;
    EL_UNROLL
    for (int b = 0; b < BLOCKS; b++)
        add_bytes(&sum[b], bytes[b]);
}

EL_INLINE void store_eight(float *scores, __m128i sums, float factor)
{
    __m256 f = _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(sums));
    _mm256_storeu_ps(scores, _mm256_mul_ps(f, _mm256_set1_ps(factor)));
}

EL_INLINE void store_scores(float *scores, const words *sum, float factor)
{
    __m256i even = _mm256_sub_epi16(sum->both, _mm256_slli_epi16(sum->odd, 8));
    __m256i first = _mm256_unpacklo_epi16(even, sum->odd); /* keys 0..7 and 16..23 */
    __m256i second = _mm256_unpackhi_epi16(even, sum->odd);
    store_eight(scores, _mm256_castsi256_si128(first), factor);
    store_eight(scores + 8, _mm256_castsi256_si128(second), factor);
    store_eight(scores + 16, _mm256_extracti128_si256(first, 1), factor);
    store_eight(scores + 24, _mm256_extracti128_si256(second, 1), factor);
}

EL_INLINE void lookup_scores(bench_head *h, const int pairs)
{
    const float factor = h->step * h->inv_sqrt;
    const size_t stride = (size_t)(h->subs / 2) * KEYS;
    const uint8_t *codes = h->codes, *end = h->tables + (size_t)h->subs * BENCH_CENTROIDS;
    for (uint32_t p = 0; p < h->length; p += BLOCKS * KEYS, codes += BLOCKS * stride) {
        words sum[BLOCKS];
        EL_UNROLL
        for (int b = 0; b < BLOCKS; b++)
            sum[b] = (words){_mm256_setzero_si256(), _mm256_setzero_si256()};
        const uint8_t *at = codes;
        for (const uint8_t *t = h->tables; t < end;
             t += (ptrdiff_t)pairs * 32, at += (ptrdiff_t)pairs * KEYS)
            look_up(t, at, stride, pairs, sum);
        EL_UNROLL
        for (int b = 0; b < BLOCKS; b++)
            store_scores(h->scores + p + b * KEYS, &sum[b], factor);
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

const bench_way bench_ways_avx2[] = {BENCH_INT8,
                                     BENCH_LOOKUP_8(lookup_scores_8, KEYS),
                                     BENCH_LOOKUP_6(lookup_scores_6, KEYS),
                                     {.name = NULL}};

void bench_kernels_avx2(el_kernels *k)
{
    fill_ops(k);
}
#else
typedef int not_for_this_machine; /* an empty file is not C */
#endif
