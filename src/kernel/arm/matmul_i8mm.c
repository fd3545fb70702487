/* matmul_i8mm.c: the matrix kernels for ARMv8.2 with int8 matrix products: one vector as with dot
 * products. */
#define EL_WIDTH       4
#define EL_PAIRS       1
#define EL_GROUP_START static __attribute__((noinline))

#include "kernel/lanes.inc"

#include "kernel/arm/dot_dotprod.inc"
#include "kernel/arm/scales_neon.inc"
#include "kernel/arm/several_i8mm.inc"

#include "kernel/levels.h"
#include "kernel/matmul.inc"

void el_kernels_matmul_i8mm(el_kernels *k)
{
    fill_matmul(k);
}
