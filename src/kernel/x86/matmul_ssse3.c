/* matmul_ssse3.c: the matrix kernels for SSSE3 and SSE4.1. */
#define EL_WIDTH        4
#define EL_IN_REGISTERS 0
#define EL_GROUP_START  static __attribute__((noinline))

#include "kernel/lanes.inc"
#include "kernel/x86/dot_ssse3.inc"

/* Four binary16 values, all finite, as floats: bits are moved into place and the exponent is
 * corrected. Where it is 0 the fraction * 2^-24 is (2^-14 + fraction * 2^-24) - 2^-14, exact;
 * elsewhere 0 is taken off. */
EL_INLINE __m128 half_part(const uint16_t *p)
{
    __m128i half = _mm_cvtepi16_epi32(_mm_loadl_epi64((const __m128i *)p));
    __m128i bits = _mm_and_si128(_mm_slli_epi32(half, 13), _mm_set1_epi32(0x0fffe000));
    __m128i small = _mm_cmpgt_epi32(_mm_set1_epi32(1 << 23), bits);
    __m128i exponent = _mm_sub_epi32(_mm_set1_epi32(112 << 23), _mm_slli_epi32(small, 23));
    __m128 excess = _mm_and_ps(_mm_castsi128_ps(small), _mm_set1_ps(0x1p-14f));
    __m128 magnitude = _mm_sub_ps(_mm_castsi128_ps(_mm_add_epi32(bits, exponent)), excess);
    return _mm_or_ps(magnitude, _mm_and_ps(_mm_castsi128_ps(half), _mm_set1_ps(-0.0f)));
}

EL_INLINE lanes half_lanes(const uint16_t *p)
{
    return (lanes){{(vfloat)half_part(p), (vfloat)half_part(p + 4), (vfloat)half_part(p + 8),
                    (vfloat)half_part(p + 12)}};
}

EL_INLINE __m128 table_part(const uint8_t *k)
{
    return _mm_setr_ps(el_scale_table[k[0]], el_scale_table[k[1]], el_scale_table[k[2]],
                       el_scale_table[k[3]]);
}

EL_INLINE lanes table_lanes(const uint8_t *k)
{
    return (lanes){{(vfloat)table_part(k), (vfloat)table_part(k + 4), (vfloat)table_part(k + 8),
                    (vfloat)table_part(k + 12)}};
}

EL_INLINE lanes byte_lanes(const int8_t *p)
{
    return value_lanes(p);
}

#include "kernel/levels.h"
#include "kernel/matmul.inc"

void el_kernels_matmul_ssse3(el_kernels *k)
{
    fill_matmul(k);
}
