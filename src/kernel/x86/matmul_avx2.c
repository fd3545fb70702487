/* matmul_avx2.c: the matrix kernels for AVX2 and F16C. */
#define EL_WIDTH        8
#define EL_IN_REGISTERS 0
#define EL_GROUP_START  static __attribute__((noinline))

#include "kernel/lanes.inc"
#include "kernel/x86/dot_avx2.inc"

EL_INLINE lanes half_lanes(const uint16_t *p)
{
    return (lanes){{(vfloat)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)),
                    (vfloat)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8)))}};
}

/* el_scale_table[k] for 8 rows: entry k mod 32, its exponent less by k / 32, is exact. Four
 * permutations by k mod 8, of which bits 3 and 4 choose one: faster than a gather. */
EL_INLINE __m256 table_part(const uint8_t *p)
{
    __m256i k = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
    __m256 entry[4];
    for (int i = 0; i < 4; i++)
        entry[i] = _mm256_permutevar8x32_ps(_mm256_loadu_ps(el_scale_table + 8 * i), k);
    __m256 bit3 = _mm256_castsi256_ps(_mm256_slli_epi32(k, 28)); /* selectors are sign bits */
    __m256 bit4 = _mm256_castsi256_ps(_mm256_slli_epi32(k, 27));
    __m256 low = _mm256_blendv_ps(entry[0], entry[1], bit3);
    __m256 high = _mm256_blendv_ps(entry[2], entry[3], bit3);
    __m256i bits = _mm256_castps_si256(_mm256_blendv_ps(low, high, bit4));
    bits = _mm256_sub_epi32(bits, _mm256_slli_epi32(_mm256_srli_epi32(k, 5), 23));
    __m256i zero = _mm256_cmpeq_epi32(k, _mm256_set1_epi32(255));
    return _mm256_castsi256_ps(_mm256_andnot_si256(zero, bits));
}

EL_INLINE lanes table_lanes(const uint8_t *k)
{
    return (lanes){{(vfloat)table_part(k), (vfloat)table_part(k + 8)}};
}

EL_INLINE lanes byte_lanes(const int8_t *p)
{
    return value_lanes(p);
}

#include "kernel/levels.h"
#include "kernel/matmul.inc"

void el_kernels_matmul_avx2(el_kernels *k)
{
    fill_matmul(k);
}
