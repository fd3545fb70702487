/* low_rvv.c: matrix kernels of one bit, three levels and chained codes for V 1.0. */
#define EL_LOW         1
#define EL_WIDTH       16
#define EL_GROUP_START static __attribute__((noinline))

#include "kernel/lanes.inc"
#include "kernel/riscv/dot_rvv.inc"
#include "kernel/riscv/scales_rvv.inc"

#include "kernel/levels.h"
#include "kernel/matmul.inc"

void el_kernels_low_rvv(el_kernels *k)
{
    fill_matmul(k);
}
