/* low_neon.c: matrix kernels of one bit, three levels and chained codes for NEON. */
#define EL_LOW         1
#define EL_WIDTH       4
#define EL_PAIRS       1
#define EL_GROUP_START static __attribute__((noinline))

#include "kernel/lanes.inc"

#include "kernel/arm/dot_neon.inc"
#ifdef __aarch64__
#include "kernel/arm/scales_neon.inc"
#else
#include "kernel/scalar/scales_scalar.inc"
#endif

#include "kernel/levels.h"
#include "kernel/matmul.inc"

void el_kernels_low_neon(el_kernels *k)
{
    fill_matmul(k);
}
