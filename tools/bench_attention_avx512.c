/*
 * bench_attention_avx512.c: the contenders for AVX-512. Each byte of a vector is a key; a shuffle
 * looks up 64 of them. Two blocks of keys share the loads of the tables.
 */
#ifdef __AVX512BW__
#define EL_WIDTH 16

#include "kernel/lanes.inc"
#include "kernel/x86/dot_avx512.inc"

#include "kernel/ops.inc"

#include "kernel/attend.inc"
#include "kernel/exact.inc"

EL_INLINE vfloat larger(vfloat a, vfloat b)
{
    return (vfloat)_mm512_max_ps((__m512)a, (__m512)b);
}

EL_INLINE vint pick(vint mask, vint a, vint b)
{
    __mmask16 set = _mm512_movepi32_mask((__m512i)mask);
    return (vint)_mm512_mask_blend_epi32(set, (__m512i)b, (__m512i)a);
}

EL_INLINE void table_bytes(lanes x, float inv, int top, uint8_t *out)
{
    __m512i code = _mm512_cvtps_epi32(_mm512_mul_ps((__m512)x.v[0], _mm512_set1_ps(inv)));
    __m128i bytes = _mm512_cvtepi32_epi8(code);
    _mm_storeu_si128((__m128i *)out, _mm_add_epi8(bytes, _mm_set1_epi8((char)top)));
}

#include "bench_attention.inc"

#define KEYS   64
#define BLOCKS 2

/* 16-bit sums: of all bytes of a word, the odd one times 256, and of the odd one. */
typedef struct words {
    __m512i both, odd;
} words;

EL_INLINE void add_bytes(words *sum, __m512i bytes)
{
    sum->both = _mm512_add_epi16(sum->both, bytes);
    sum->odd = _mm512_add_epi16(sum->odd, _mm512_srli_epi16(bytes, 8));
}

EL_INLINE __m512i table(const uint8_t *p)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)p));
}

/* What `pairs` bytes of codes of each key look up, in bytes. */
EL_INLINE void look_up(const uint8_t *tables, const uint8_t *codes, size_t stride, const int pairs,
                       words *sum)
{
    const __m512i low = _mm512_set1_epi8(15);
    __m512i bytes[BLOCKS];
    EL_UNROLL
    for (int i = 0; i < pairs; i++) {
        __m512i even = table(tables + i * 32), odd = table(tables + i * 32 + 16);
        EL_UNROLL
        for (int b = 0; b < BLOCKS; b++) {
            __m512i w = load_vector(codes + (size_t)b * stride + (size_t)i * KEYS);
            __m512i x = _mm512_shuffle_epi8(even, _mm512_and_si512(w, low));
            __m512i y = _mm512_shuffle_epi8(odd, _mm512_and_si512(_mm512_srli_epi16(w, 4), low));
            if (pairs == 1) {
                add_bytes(&sum[b], x);
                add_bytes(&sum[b], y);
                continue;
            }
            x = _mm512_add_epi8(x, y);
            bytes[b] = i ? _mm512_add_epi8(bytes[b], x) : x;
        }
    }
    if (pairs == 1) return;
    EL_UNROLL
    for (int b = 0; b < BLOCKS; b++)
        add_bytes(&sum[b], bytes[b]);
}

EL_INLINE void store_sixteen(float *scores, __m256i sums, float factor)
{
    __m512 f = _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(sums));
    _mm512_storeu_ps(scores, _mm512_mul_ps(f, _mm512_set1_ps(factor)));
}

EL_INLINE void store_scores(float *scores, const words *sum, float factor)
{
    const __m512i front = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i back = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    __m512i even = _mm512_sub_epi16(sum->both, _mm512_slli_epi16(sum->odd, 8));
    __m512i first = _mm512_unpacklo_epi16(even, sum->odd); /* keys 0..7, 16..23, 32..39, 48..55 */
    __m512i second = _mm512_unpackhi_epi16(even, sum->odd);
    __m512i near = _mm512_permutex2var_epi64(first, front, second); /* keys 0..31 */
    __m512i far = _mm512_permutex2var_epi64(first, back, second);
    store_sixteen(scores, _mm512_castsi512_si256(near), factor);
    store_sixteen(scores + 16, _mm512_extracti64x4_epi64(near, 1), factor);
    store_sixteen(scores + 32, _mm512_castsi512_si256(far), factor);
    store_sixteen(scores + 48, _mm512_extracti64x4_epi64(far, 1), factor);
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
            sum[b] = (words){_mm512_setzero_si512(), _mm512_setzero_si512()};
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

const bench_way bench_ways_avx512[] = {BENCH_INT8,
                                       BENCH_LOOKUP_8(lookup_scores_8, KEYS),
                                       BENCH_LOOKUP_6(lookup_scores_6, KEYS),
                                       {.name = NULL}};

void bench_kernels_avx512(el_kernels *k)
{
    fill_ops(k);
}
#else
typedef int not_for_this_machine; /* an empty file is not C */
#endif
