/* matmul_rvv.c: the matrix kernels for RISC-V with the vector extension V 1.0. */
#define EL_WIDTH        16
#define EL_IN_REGISTERS 0
#define EL_GROUP_START  static __attribute__((noinline))

#include "kernel/lanes.inc"
#include "kernel/riscv/dot_rvv.inc"

/* Sixteen binary16 values as floats, V alone has none: bits are moved into place and the exponent
 * is corrected. */
EL_INLINE lanes half_lanes(const uint16_t *p)
{
    typedef uint16_t halves __attribute__((vector_size(32)));
    halves h;
    memcpy(&h, p, sizeof h);
    vuint wide = __builtin_convertvector(h, vuint), bits = (wide & 0x7fffu) << 13;
    vuint exponent = bits & 0x0f800000u;
    vuint more = (vuint)(exponent == 0x0f800000u) & (112u << 23);
    /* fraction * 2^-24 = (2^-14 + fraction * 2^-24) - 2^-14, exact */
    vfloat small = (vfloat)(bits | 113u << 23) - 0x1p-14f;
    vfloat normal = (vfloat)(bits + (112u << 23) + more);
    vuint magnitude = (vuint)choose((vint)(exponent == 0u), small, normal);
    return (lanes){{(vfloat)(magnitude | (wide & 0x8000u) << 16)}};
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

void el_kernels_matmul_rvv(el_kernels *k)
{
    fill_matmul(k);
}
