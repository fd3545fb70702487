/* matmul_avx512.c: the matrix kernels for AVX-512 F, BW, VL, DQ and VNNI. */
#define EL_WIDTH        16
#define EL_IN_REGISTERS 1
#define EL_GROUP_START  EL_INLINE

#include "kernel/lanes.inc"
#include "kernel/x86/dot_avx512.inc"

EL_INLINE lanes half_lanes(const uint16_t *p)
{
    return (lanes){{(vfloat)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p))}};
}

/* el_scale_table[k]: entry k mod 32, its exponent less by k / 32, is exact. */
EL_INLINE lanes table_lanes(const uint8_t *p)
{
    __m512i k = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
    __m512 entry = _mm512_permutex2var_ps(_mm512_loadu_ps(el_scale_table), k,
                                          _mm512_loadu_ps(el_scale_table + 16));
    __m512i drop = _mm512_slli_epi32(_mm512_srli_epi32(k, 5), 23);
    __mmask16 kept = _mm512_cmpneq_epi32_mask(k, _mm512_set1_epi32(255));
    __m512i bits = _mm512_maskz_sub_epi32(kept, _mm512_castps_si512(entry), drop);
    return (lanes){{(vfloat)_mm512_castsi512_ps(bits)}};
}

EL_INLINE lanes byte_lanes(const int8_t *p)
{
    return value_lanes(p);
}

#include "kernel/levels.h"
#include "kernel/matmul.inc"

void el_kernels_matmul_avx512(el_kernels *k)
{
    fill_matmul(k);
}
