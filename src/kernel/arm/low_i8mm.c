/* low_i8mm.c: matrix kernels of one bit, three levels and chained codes for ARMv8.2 with int8
 * matrix products. */
#define EL_LOW         1
#define EL_WIDTH       4
#define EL_PAIRS       1
#define EL_GROUP_START static __attribute__((noinline))

#include "kernel/lanes.inc"

#include "kernel/arm/dot_dotprod.inc"
#include "kernel/arm/scales_neon.inc"
#include "kernel/arm/several_i8mm.inc"

#include "kernel/levels.h"
#include "kernel/matmul.inc"

void el_kernels_low_i8mm(el_kernels *k)
{
    fill_matmul(k);
}
