/* matmul_scalar.c: the portable level of the matrix kernels. */
#define EL_WIDTH        4
#define EL_IN_REGISTERS 0
#define EL_GROUP_START  static __attribute__((noinline))

#include "kernel/lanes.inc"
#include "kernel/scalar/dot_scalar.inc"

#include "base/half.h"

/* Sixteen binary16 values as floats: bits are moved into place and the exponent is corrected. */
EL_INLINE lanes half_lanes(const uint16_t *p)
{
    float f[EL_TILE];
    for (int i = 0; i < EL_TILE; i++) {
        uint32_t bits = (p[i] & 0x7fffu) << 13, sign = (p[i] & 0x8000u) << 16;
        uint32_t exponent = bits & 0x0f800000u;
        uint32_t normal = bits + (exponent == 0x0f800000u ? 224u << 23 : 112u << 23);
        /* fraction * 2^-24 = (2^-14 + fraction * 2^-24) - 2^-14, exact */
        float small = el_float_of_bits(bits | 113u << 23) - 0x1p-14f;
        uint32_t magnitude = exponent ? normal : el_bits_of_float(small);
        f[i] = el_float_of_bits(magnitude | sign);
    }
    return lanes_load(f);
}

EL_INLINE lanes table_lanes(const uint8_t *k)
{
    float f[EL_TILE];
    for (int i = 0; i < EL_TILE; i++)
        f[i] = el_scale_table[k[i]];
    return lanes_load(f);
}

EL_INLINE lanes byte_lanes(const int8_t *p)
{
    return value_lanes(p);
}

#include "kernel/levels.h"
#include "kernel/matmul.inc"

void el_kernels_matmul_scalar(el_kernels *k)
{
    fill_matmul(k);
}
